//! GFLOP/s of bottleneck blocks, forward and forward with backward; of all shapes, or of those
//! whose name (such as `bf16 B16 4x4 64`) contains the argument.

use std::time::Instant;
use vdvae_kernels::Precision;
use vdvae_kernels::bottleneck::{Bottleneck, Gradients, Hidden, Weights, backward, forward};

fn numbers(count: usize, scale: f32) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    (0..count).map(|_| next()).collect()
}

/// Seconds of the fastest of some calls.
fn fastest(mut body: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut best = f64::INFINITY;
    while start.elapsed().as_secs_f64() < 0.4 {
        let start = Instant::now();
        body();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

fn measure(name: &str, precision: Precision, batch: usize, size: usize, channels: usize) {
    let shape = Bottleneck {
        batch,
        height: size,
        width: size,
        c_x: channels,
        c_act: 0,
        mid: channels / 4,
        c_out: channels,
        kernel: if size > 2 { 3 } else { 1 },
        residual: true,
        precision,
    };
    let x = numbers(shape.pixels() * channels, 1.0);
    let [w1, w2, w3, w4] = shape.weight_lengths().map(|n| numbers(n, 0.1));
    let b = numbers(channels, 0.1);
    let weights = Weights {
        w1: &w1,
        b1: &b[..shape.mid],
        w2: &w2,
        b2: &b[..shape.mid],
        w3: &w3,
        b3: &b[..shape.mid],
        w4: &w4,
        b4: &b,
        laid_out: None,
    };
    let mut hidden = Hidden::new(&shape);
    let mut gradients = Gradients::new(&shape);
    let (mut y, mut dx) = (x.clone(), x.clone());
    let operations = shape.operations() as f64 * 1e-9;
    let inference = fastest(|| forward(&shape, &x, None, &weights, &mut y, None));
    let training = fastest(|| {
        forward(&shape, &x, None, &weights, &mut y, Some(&mut hidden));
        backward(
            &shape,
            &x,
            None,
            &weights,
            &hidden,
            &y,
            &mut dx,
            None,
            &mut gradients,
        );
    });
    println!(
        "{name}: forward {:.1} GFLOP/s ({:.3} ms), with backward {:.1} GFLOP/s ({:.3} ms)",
        operations / inference,
        inference * 1e3,
        3.0 * operations / training,
        training * 1e3
    );
}

fn main() {
    println!(
        "{}, {} threads",
        vdvae_kernels::detect::name(),
        rayon::current_num_threads()
    );
    // On a thread of the pool, as a training loop would run.
    vdvae_kernels::parallel::awake(measure_all);
}

fn measure_all() {
    for (batch, size, channels) in [
        (4, 32, 384),
        (4, 16, 384),
        (4, 8, 384),
        (4, 4, 384),
        (4, 1, 384),
        (4, 8, 512),
        (16, 32, 64),
        (16, 16, 64),
        (16, 8, 64),
        (16, 4, 64),
        (16, 1, 64),
    ] {
        for (precision, prefix) in [(Precision::Fp32, "fp32"), (Precision::Bf16, "bf16")] {
            let name = format!("{prefix} B{batch} {size}x{size} {channels}");
            let wanted = std::env::args().nth(1);
            if wanted.is_none_or(|part| name.contains(&part)) {
                measure(&name, precision, batch, size, channels);
            }
        }
    }
}
