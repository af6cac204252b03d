//! Bottleneck blocks at the shapes that the presets have, in both precisions. Throughput is in
//! useful operations, those of direct convolutions: `Gelem/s` reads as GFLOP/s.

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use criterion::{criterion_group, criterion_main};
use vdvae_kernels::Precision;
use vdvae_kernels::bottleneck::{Bottleneck, Weights, backward_new, forward_new};

/// Batch, side of the images, channels of the preset `cifar10`.
const CIFAR10: [(usize, usize, usize); 5] = [
    (4, 32, 384),
    (4, 16, 384),
    (4, 8, 384),
    (4, 4, 384),
    (4, 1, 384),
];
/// Those of the preset `small`.
const SMALL: [(usize, usize, usize); 5] = [
    (16, 32, 64),
    (16, 16, 64),
    (16, 8, 64),
    (16, 4, 64),
    (16, 1, 64),
];

/// Pseudo-random numbers in -scale..scale.
fn numbers(count: usize, scale: f32) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    (0..count).map(|_| next()).collect()
}

fn block((batch, side, channels): (usize, usize, usize), precision: Precision) -> Bottleneck {
    Bottleneck {
        batch,
        height: side,
        width: side,
        c_x: channels,
        c_act: 0,
        mid: channels / 4,
        c_out: channels,
        kernel: if side > 2 { 3 } else { 1 },
        residual: true,
        precision,
    }
}

fn measure(group: &mut BenchmarkGroup<WallTime>, shape: Bottleneck) {
    let x = numbers(shape.pixels() * shape.c_x, 1.0);
    let [w1, w2, w3, w4] = shape.weight_lengths().map(|n| numbers(n, 0.1));
    let b = numbers(shape.c_out, 0.1);
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
    let name = format!(
        "B{} {}x{} {} {:?}",
        shape.batch, shape.height, shape.width, shape.c_x, shape.precision
    );
    let operations = shape.operations() as u64;
    group.throughput(Throughput::Elements(operations));
    group.bench_function(format!("forward {name}"), |bencher| {
        bencher.iter(|| forward_new(&shape, &x, None, &weights, false));
    });
    group.throughput(Throughput::Elements(3 * operations));
    group.bench_function(format!("forward and backward {name}"), |bencher| {
        bencher.iter(|| {
            let (y, hidden) = forward_new(&shape, &x, None, &weights, true);
            let hidden = hidden.expect("kept as asked");
            backward_new(&shape, &x, None, &weights, &hidden, &y, [None; 2])
        });
    });
}

fn bottlenecks(criterion: &mut Criterion) {
    // This thread is one of the pool's, as it would be in a training loop.
    let pool = rayon::ThreadPoolBuilder::new().use_current_thread();
    pool.build_global().expect("nobody has made a pool before");
    for (preset, shapes) in [("cifar10", CIFAR10), ("small", SMALL)] {
        let mut group = criterion.benchmark_group(preset);
        for shape in shapes {
            for precision in [Precision::Fp32, Precision::Bf16] {
                let shape = block(shape, precision);
                measure(&mut group, shape);
            }
        }
    }
}

criterion_group!(benches, bottlenecks);
criterion_main!(benches);
