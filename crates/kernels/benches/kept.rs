//! One pixel of 1, 4 and 16 images, and 32 pixels of 16, through layers of an autoregressive model whose
//! weights together are more than caches hold. Throughput is in bytes of weights for up to 16 rows, to
//! be held against the speed of reading, and in operations beyond (`Gelem/s` reads as GFLOP/s).

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vdvae_kernels::kept::{Weights, product};
use vdvae_kernels::{Precision, parallel, peak};

/// Matrices that take turns.
const MATRICES: usize = 60;

fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn products(criterion: &mut Criterion) {
    // This thread is one of the pool's, as it would be in a sampler.
    let pool = rayon::ThreadPoolBuilder::new().use_current_thread();
    pool.build_global().expect("nobody has made a pool before");
    println!(
        "floor: {:.1} GB/s of reading, {:.0} GFLOP/s",
        peak::read_gigabytes_per_second(),
        peak::multiply_add_gflops(Precision::Fp32),
    );
    for (k, n) in [(1280, 320), (640, 160)] {
        let mut group = criterion.benchmark_group(format!("{k} inputs, {n} outputs"));
        for precision in [Precision::Fp32, Precision::Bf16] {
            let weights = numbers(k * n);
            let layers: Vec<Weights> = (0..MATRICES)
                .map(|_| Weights::new(&weights, k, n, precision))
                .collect();
            for m in [1, 4, 16, 32 * 16] {
                let (x, bias, mut y) = (numbers(m * k), numbers(n), vec![0.0; m * n]);
                group.throughput(if m <= 16 {
                    Throughput::Bytes(layers.iter().map(|w| w.bytes() as u64).sum())
                } else {
                    Throughput::Elements((2 * m * k * n * MATRICES) as u64)
                });
                group.bench_function(format!("{m} rows {precision:?}"), |bencher| {
                    bencher.iter(|| {
                        parallel::awake(|| {
                            for layer in &layers {
                                product(layer, &x, Some(&bias), &mut y);
                            }
                        });
                    });
                });
            }
        }
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
