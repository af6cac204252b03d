//! Times of cells with batch normalisation, forward, backward and evaluation, against the floor: operations over
//! the highest rate of multiply-adds. Of all shapes, or of those whose name contains the argument.

use std::time::Instant;
use vdvae_kernels::batch_norm::Norm;
use vdvae_kernels::inverted::{self, Inverted};
use vdvae_kernels::residual::{self, Residual};
use vdvae_kernels::squeeze::Squeeze;
use vdvae_kernels::{Precision, peak};

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
    while start.elapsed().as_secs_f64() < 0.6 {
        let start = Instant::now();
        body();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

fn main() {
    // On a thread of the pool, as a training loop would run.
    vdvae_kernels::parallel::awake(measure_all);
}

fn measure_all() {
    let peak = peak::multiply_add_gflops(Precision::Fp32);
    println!(
        "{}, {} threads, at most {peak:.0} GFLOP/s, copies {:.0} GB/s",
        vdvae_kernels::detect::name(),
        rayon::current_num_threads(),
        peak::copy_gigabytes_per_second()
    );
    for (batch, side, c_in, factor, c_out, upsample) in [
        (2, 16, 256, 6, 256, false),
        (8, 16, 256, 6, 256, false),
        (8, 16, 256, 3, 128, true),
        (8, 32, 128, 3, 128, false),
    ] {
        let shape = Inverted {
            batch,
            height: side,
            width: side,
            c_in,
            expanded: factor * c_in,
            c_out,
            squeezed: c_out / 16,
            kernel: 5,
            upsample,
            epsilon: 1e-5,
            scale: 0.1,
        };
        inverted_bottleneck(&shape, peak);
    }
    for (batch, side, c_in, c_out, stride) in [
        (2, 16, 256, 256, 1),
        (8, 16, 256, 256, 1),
        (8, 32, 128, 128, 1),
        (8, 32, 128, 256, 2),
    ] {
        let shape = Residual {
            batch,
            height: side,
            width: side,
            c_in,
            c_out,
            squeezed: c_out / 16,
            stride,
            epsilon: 1e-5,
            scale: 0.1,
        };
        residual_cell(&shape, peak);
    }
}

fn inverted_bottleneck(shape: &Inverted, peak: f64) {
    let Inverted {
        batch,
        height,
        width,
        c_in,
        c_out,
        expanded,
        squeezed,
        ..
    } = *shape;
    let name = format!("inverted B{batch} {height}x{width} {c_in}-{expanded}-{c_out}");
    if !std::env::args()
        .nth(1)
        .is_none_or(|part| name.contains(&part))
    {
        return;
    }
    let pixels = batch * height * width;
    let out = pixels * c_out * if shape.upsample { 4 } else { 1 };
    let (x, skip) = (numbers(pixels * c_in, 1.0), numbers(out, 1.0));
    let (ones, small) = (vec![1.0; expanded], numbers(expanded, 0.1));
    let norm = |n: usize| Norm {
        gamma: &ones[..n],
        beta: &small[..n],
    };
    let expand = numbers(c_in * expanded, 0.1);
    let depthwise = numbers(25 * expanded, 0.2);
    let project = numbers(expanded * c_out, 0.1);
    let (w1, w2) = (
        numbers(c_out * squeezed, 0.1),
        numbers(c_out * squeezed, 0.1),
    );
    let weights = inverted::Weights {
        norms: [c_in, expanded, expanded, c_out].map(norm),
        expand: &expand,
        depthwise: &depthwise,
        project: &project,
        squeeze: Squeeze {
            w1: &w1,
            b1: &small[..squeezed],
            w2: &w2,
            b2: &small[..c_out],
        },
    };
    let (y, saved) = inverted::forward_new(shape, &x, &skip, &weights);
    let statistics = saved.statistics().clone();
    let forward = fastest(|| {
        inverted::forward_new(shape, &x, &skip, &weights);
    });
    let backward = fastest(|| {
        inverted::backward_new(shape, &x, &weights, &saved, &y, [None; 2]);
    });
    let evaluation = fastest(|| {
        inverted::evaluate(shape, &x, &skip, &weights, &statistics);
    });
    let floor = shape.operations() as f64 * 1e-9 / peak;
    report(&name, floor, [forward, backward, evaluation]);
}

fn residual_cell(shape: &Residual, peak: f64) {
    let Residual {
        batch,
        height,
        width,
        c_in,
        c_out,
        squeezed,
        stride,
        ..
    } = *shape;
    let name = format!("residual B{batch} {height}x{width} {c_in}-{c_out} stride {stride}");
    if !std::env::args()
        .nth(1)
        .is_none_or(|part| name.contains(&part))
    {
        return;
    }
    let pixels = batch * height * width;
    let out = pixels / (stride * stride) * c_out;
    let (x, skip) = (numbers(pixels * c_in, 1.0), numbers(out, 1.0));
    let (ones, small) = (vec![1.0; c_out], numbers(c_out, 0.1));
    let norm = |n: usize| Norm {
        gamma: &ones[..n],
        beta: &small[..n],
    };
    let convolutions = [c_in, c_out].map(|n| numbers(9 * n * c_out, 0.1));
    let (w1, w2) = (
        numbers(c_out * squeezed, 0.1),
        numbers(c_out * squeezed, 0.1),
    );
    let weights = residual::Weights {
        norms: [c_in, c_out].map(norm),
        convolutions: convolutions.each_ref().map(Vec::as_slice),
        biases: [&small, &small],
        squeeze: Squeeze {
            w1: &w1,
            b1: &small[..squeezed],
            w2: &w2,
            b2: &small[..c_out],
        },
    };
    let (y, saved) = residual::forward_new(shape, &x, &skip, &weights);
    let statistics = saved.statistics().clone();
    let forward = fastest(|| {
        residual::forward_new(shape, &x, &skip, &weights);
    });
    let backward = fastest(|| {
        residual::backward_new(shape, &x, &weights, &saved, &y, [None; 2]);
    });
    let evaluation = fastest(|| {
        residual::evaluate(shape, &x, &skip, &weights, &statistics);
    });
    // Minimal filtering takes a quarter of the operations.
    let floor = shape.operations() as f64 * 1e-9 / peak / 4.0;
    report(&name, floor, [forward, backward, evaluation]);
}

/// Prints the times beside the floor of a forward pass.
fn report(name: &str, floor: f64, [forward, backward, evaluation]: [f64; 3]) {
    let part = |what: &str, seconds: f64, floor: f64| {
        format!(
            "{what} {:.2} ms ({:.0} % of the peak)",
            seconds * 1e3,
            100.0 * floor / seconds
        )
    };
    println!(
        "{name}: floor {:.2} ms; {}, {}, {}",
        floor * 1e3,
        part("forward", forward, floor),
        part("backward", backward, 2.0 * floor),
        part("evaluation", evaluation, floor)
    );
}
