//! Shifted convolutions at the shapes of PixelCNN++'s preset for CIFAR-10: `Gelem/s` reads as GFLOP/s. Before each
//! case stands the highest rate of multiply-adds.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use vdvae_kernels::activation::Activation;
use vdvae_kernels::window::{
    Transposed, Window, backward_new, forward_new, transposed_backward_new, transposed_forward_new,
};
use vdvae_kernels::{Precision, peak};

/// Filters; convolutions read twice as many.
const FILTERS: usize = 160;

/// Pseudo-random numbers in -1..1.
fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn window(batch: usize, side: usize, kernel: [usize; 2], c_out: usize, stride: usize) -> Window {
    // One row above, as many columns on both sides, or one to the left.
    let right = kernel[1] / 3;
    Window {
        batch,
        height: side,
        width: side,
        c_in: FILTERS,
        c_out,
        activation: Activation::ConcatElu,
        kernel,
        before: [kernel[0] - 1, kernel[1] - 1 - right],
        after: [0, right],
        stride,
    }
}

fn windows(criterion: &mut Criterion) {
    // This thread is one of the pool's, as it would be in a training loop.
    let pool = rayon::ThreadPoolBuilder::new().use_current_thread();
    pool.build_global().expect("nobody has made a pool before");
    println!(
        "at most {:.0} GFLOP/s",
        peak::multiply_add_gflops(Precision::Fp32)
    );
    let mut group = criterion.benchmark_group("window");
    group.sample_size(10);
    for batch in [1, 4, 16] {
        for side in [32, 16, 8] {
            for (kernel, c_out) in [
                ([2, 3], FILTERS),
                ([2, 3], 2 * FILTERS),
                ([2, 2], FILTERS),
                ([2, 2], 2 * FILTERS),
                ([1, 1], FILTERS),
            ] {
                let shape = window(batch, side, kernel, c_out, 1);
                measure(&mut group, &shape);
            }
            if side > 8 {
                let shape = window(batch, side, [2, 3], FILTERS, 2);
                measure(
                    &mut group,
                    &Window {
                        activation: Activation::None,
                        ..shape
                    },
                );
            }
            if side < 32 {
                for (kernel, left) in [([2, 3], 1), ([2, 2], 0)] {
                    let (c_in, c_out) = (FILTERS, FILTERS);
                    let (height, width) = (side, side);
                    measure_transposed(
                        &mut group,
                        &Transposed {
                            batch,
                            height,
                            width,
                            c_in,
                            c_out,
                            kernel,
                            left,
                        },
                    );
                }
            }
        }
    }
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn measure(group: &mut Group, shape: &Window) {
    let x = numbers(shape.batch * shape.height * shape.width * shape.c_in);
    let weights = numbers(shape.weight_length());
    let bias = numbers(shape.c_out);
    let dy = numbers(shape.output_length());
    let before = shape.activation.into();
    let [rows, columns] = shape.kernel;
    let name = format!(
        "{rows}x{columns}/{} B{} {}x{} {}-{}",
        shape.stride,
        shape.batch,
        shape.height,
        shape.width,
        shape.inputs(),
        shape.c_out
    );
    group.throughput(Throughput::Elements(shape.operations() as u64));
    group.bench_function(format!("forward {name}"), |bencher| {
        bencher.iter(|| black_box(forward_new(shape, (&x, before), &weights, Some(&bias))));
    });
    group.throughput(Throughput::Elements(2 * shape.operations() as u64));
    group.bench_function(format!("backward {name}"), |bencher| {
        bencher.iter(|| {
            black_box(backward_new(
                shape,
                (&x, before),
                &weights,
                &dy,
                true,
                true,
                None,
            ))
        });
    });
}

fn measure_transposed(group: &mut Group, shape: &Transposed) {
    let x = numbers(shape.batch * shape.height * shape.width * shape.c_in);
    let weights = numbers(shape.weight_length());
    let bias = numbers(shape.c_out);
    let dy = numbers(shape.output_length());
    let [rows, columns] = shape.kernel;
    let name = format!(
        "{rows}x{columns} transposed B{} {}x{} {}-{}",
        shape.batch, shape.height, shape.width, shape.c_in, shape.c_out
    );
    group.throughput(Throughput::Elements(shape.operations() as u64));
    group.bench_function(format!("forward {name}"), |bencher| {
        bencher.iter(|| black_box(transposed_forward_new(shape, &x, &weights, Some(&bias))));
    });
    group.throughput(Throughput::Elements(2 * shape.operations() as u64));
    group.bench_function(format!("backward {name}"), |bencher| {
        bencher.iter(|| {
            black_box(transposed_backward_new(
                shape, &x, &weights, &dy, true, None,
            ))
        });
    });
}

criterion_group!(benches, windows);
criterion_main!(benches);
