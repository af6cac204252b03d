//! What is not a convolution, at the preset `cifar10`'s sizes and batch 4: latents, the mixture of
//! logistics, the optimizer. Throughput is in bytes read and written.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vdvae_kernels::elementwise::dmol::{self, DmolShape, UPPER_EDGE};
use vdvae_kernels::elementwise::latents::{draw, draw_with_kl, draw_with_kl_backward};
use vdvae_kernels::elementwise::optimizer::{AdamW, AdamWTensor, adamw};

const BATCH: usize = 4;

/// Pseudo-random numbers in -1..1.
fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Bytes of so many numbers.
fn bytes(numbers: usize) -> Throughput {
    Throughput::Bytes(4 * numbers as u64)
}

/// A stochastic layer of 16 latents and 384 features.
fn latents(criterion: &mut Criterion) {
    let (z, features) = (16, 384);
    for side in [32, 8, 1] {
        let mut group = criterion.benchmark_group(format!("latents {side}x{side}"));
        let pixels = BATCH * side * side;
        let (q, p) = (
            numbers(pixels * 2 * z),
            numbers(pixels * (2 * z + features)),
        );
        let (eps, dkl) = (numbers(pixels * z), vec![1.0; BATCH]);
        let mut sums = vec![0.0; BATCH];
        let mut out = eps.clone();
        group.throughput(bytes(q.len() + 2 * eps.len()));
        group.bench_function("draw", |bencher| {
            bencher.iter(|| draw(z, &q, &eps, &mut out));
        });
        // Of the prior, only means and log sigmas count.
        group.throughput(bytes(2 * q.len() + 2 * eps.len()));
        group.bench_function("draw with kl", |bencher| {
            bencher.iter(|| draw_with_kl(z, (&q, &p), &eps, &mut out, &mut sums));
        });
        let (mut dq, mut dp) = (q.clone(), p.clone());
        group.throughput(bytes(5 * q.len() + 2 * eps.len()));
        group.bench_function("draw with kl backward", |bencher| {
            bencher.iter(|| {
                let outputs = (&out[..], &dkl[..]);
                let to = (&mut dq[..], &mut dp[..]);
                draw_with_kl_backward(z, (&q, &p), &eps, outputs, true, to);
            });
        });
    }
}

fn mixture_of_logistics(criterion: &mut Criterion) {
    let shape = DmolShape {
        batch: BATCH,
        pixels: 32 * 32,
        mixtures: 10,
        colours: 3,
        bits: 8,
        upper_edge: UPPER_EDGE,
    };
    let pixels = shape.batch * shape.pixels;
    let (logits, target) = (numbers(pixels * 100), numbers(pixels * 3));
    let (mut nll, mut gradient) = (vec![0.0; BATCH], logits.clone());
    let mut group = criterion.benchmark_group("mixture of logistics 32x32");
    group.throughput(bytes(logits.len() + target.len()));
    group.bench_function("loss", |bencher| {
        bencher.iter(|| dmol::nll(&shape, &logits, &target, &mut nll));
    });
    group.throughput(bytes(2 * logits.len() + target.len()));
    group.bench_function("loss and gradient", |bencher| {
        bencher.iter(|| {
            dmol::nll_with_gradient(&shape, &logits, &target, &mut nll, &mut gradient);
        });
    });
}

fn optimizer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("adamw");
    let rule = AdamW {
        learning_rate: 2e-4,
        beta1: 0.9,
        beta2: 0.9,
        epsilon: 1e-8,
        weight_decay: 0.01,
        step: 10,
        grad_scale: 1.0,
        ema_rate: 0.999,
    };
    for length in [10_000, 4_000_000] {
        let grad = numbers(length);
        let [mut param, mut m, mut ema] = [(); 3].map(|()| grad.clone());
        let mut v = vec![1.0; length];
        group.throughput(bytes(9 * length));
        group.bench_function(format!("{length} parameters"), |bencher| {
            bencher.iter(|| {
                let tensor = AdamWTensor {
                    param: &mut param,
                    grad: &grad,
                    m: &mut m,
                    v: &mut v,
                    ema: &mut ema,
                };
                adamw(tensor, &rule);
            });
        });
    }
}

criterion_group!(benches, latents, mixture_of_logistics, optimizer);
criterion_main!(benches);
