//! Causal attention: PixelSNAIL's, whole and for the next pixel, and a transformer's. Throughput is in
//! operations of pairs that see each other (`Gelem/s` reads as GFLOP/s); that of steps is in bytes of the
//! cache.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vdvae_kernels::attention::{Attention, backward_new, forward_new, step};
use vdvae_kernels::{Precision, peak};

fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn whole(criterion: &mut Criterion) {
    // This thread is one of the pool's, as it would be in a training loop.
    let pool = rayon::ThreadPoolBuilder::new().use_current_thread();
    pool.build_global().expect("nobody has made a pool before");
    let most = peak::multiply_add_gflops(Precision::Fp32);
    println!("floor: {most:.0} GFLOP/s");
    let mut group = criterion.benchmark_group("attention");
    group.sample_size(10);
    for [batch, n, heads, key_size, value_size] in [
        [8, 1024, 1, 16, 128],
        [1, 4096, 1, 16, 128],
        [1, 1024, 8, 64, 64],
    ] {
        let seen: Vec<usize> = (0..n).collect();
        let attention = Attention {
            batch,
            keys: n,
            heads,
            key_size,
            value_size,
            seen: &seen,
            scale: 1.0 / (key_size as f32).sqrt(),
            epsilon: 1e-6,
        };
        let q = numbers(batch * n * heads * key_size);
        let v = numbers(batch * n * heads * value_size);
        let (out, statistics) = forward_new(&attention, &q, &q, &v);
        let name = format!("B{batch} {n} pixels, {heads} heads of {key_size} and {value_size}");
        let operations = attention.operations() as u64;
        group.throughput(Throughput::Elements(operations));
        group.bench_function(format!("forward {name}"), |bencher| {
            bencher.iter(|| forward_new(&attention, &q, &q, &v));
        });
        // Three products as deep as keys and two as deep as values, where forward there is one of each.
        let backward =
            operations as usize * (3 * key_size + 2 * value_size) / (key_size + value_size);
        group.throughput(Throughput::Elements(backward as u64));
        group.bench_function(format!("backward {name}"), |bencher| {
            bencher.iter(|| backward_new(&attention, [&q, &q, &v], (&out, &statistics), &out));
        });
        let cache = numbers(n * heads * (key_size + value_size));
        let caches = vec![&cache[..]; batch];
        let queries = numbers(batch * heads * key_size);
        let mut result = vec![0.0; batch * heads * value_size];
        group.throughput(Throughput::Bytes((batch * size_of_val(&cache[..])) as u64));
        group.bench_function(format!("step {name}"), |bencher| {
            bencher.iter(|| step(&attention, &queries, &caches, &mut result));
        });
    }
}

criterion_group!(benches, whole);
criterion_main!(benches);
