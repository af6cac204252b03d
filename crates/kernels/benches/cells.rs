//! Inverted bottlenecks and residual cells. Throughput is in operations that cannot be done without (a
//! quarter of those of direct 3x3 convolutions): `Gelem/s` reads as GFLOP/s. Before each case stands its
//! floor: these operations over the highest rate of multiply-adds, and the bytes that must be moved over
//! the rate of copying.

mod cases;

use cases::Case;
use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use criterion::{criterion_group, criterion_main};
use vdvae_kernels::{Precision, peak};

fn measure(group: &mut BenchmarkGroup<WallTime>, case: &Case, [gflops, gigabytes]: [f64; 2]) {
    let (operations, bytes) = (case.operations(), case.bytes());
    println!(
        "{}: floor of a forward pass {:.2} ms at {gflops:.0} GFLOP/s, {:.2} ms at {gigabytes:.0} GB/s",
        case.name,
        operations as f64 / gflops * 1e-6,
        bytes as f64 / gigabytes * 1e-6,
    );
    let (y, saved) = case.forward();
    group.throughput(Throughput::Elements(operations as u64));
    group.bench_function(format!("forward {}", case.name), |bencher| {
        bencher.iter(|| case.forward());
    });
    group.bench_function(format!("evaluation {}", case.name), |bencher| {
        bencher.iter(|| case.evaluation(&saved));
    });
    group.throughput(Throughput::Elements(2 * operations as u64));
    group.bench_function(format!("backward {}", case.name), |bencher| {
        bencher.iter(|| case.backward(&saved, &y));
    });
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(format!("forward, bytes {}", case.name), |bencher| {
        bencher.iter(|| case.forward());
    });
}

fn cells(criterion: &mut Criterion) {
    // This thread is one of the pool's, as it would be in a training loop.
    let pool = rayon::ThreadPoolBuilder::new().use_current_thread();
    pool.build_global().expect("nobody has made a pool before");
    let most = [
        peak::multiply_add_gflops(Precision::Fp32),
        peak::copy_gigabytes_per_second(),
    ];
    let mut group = criterion.benchmark_group("cells");
    group.sample_size(20);
    for case in cases::all() {
        measure(&mut group, &case, most);
    }
}

criterion_group!(benches, cells);
criterion_main!(benches);
