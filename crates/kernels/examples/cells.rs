//! Times of inverted bottlenecks and residual cells against the floor: operations that cannot be done without
//! over the highest rate of multiply-adds. Of all shapes, or of those whose name contains the first
//! argument; of all passes, or of the one that the second argument names.

#[path = "../benches/cases/mod.rs"]
mod cases;

use cases::Case;
use std::time::Instant;
use vdvae_kernels::{Precision, peak};

/// Seconds of the fastest of some calls, if the second argument does not ask for something else.
fn fastest(what: &str, mut body: impl FnMut()) -> Option<f64> {
    if std::env::args().nth(2).is_some_and(|wanted| wanted != what) {
        return None;
    }
    let start = Instant::now();
    let mut best = f64::INFINITY;
    while start.elapsed().as_secs_f64() < 0.6 {
        let start = Instant::now();
        body();
        best = best.min(start.elapsed().as_secs_f64());
    }
    Some(best)
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
    let wanted = std::env::args().nth(1).unwrap_or_default();
    for case in cases::all() {
        if case.name.contains(&wanted) {
            measure(&case, peak);
        }
    }
}

fn measure(case: &Case, peak: f64) {
    let (y, saved) = case.forward();
    let floor = case.operations() as f64 * 1e-9 / peak;
    let passes = [
        (
            "forward",
            floor,
            fastest("forward", || drop(case.forward())),
        ),
        (
            "backward",
            2.0 * floor,
            fastest("backward", || case.backward(&saved, &y)),
        ),
        (
            "evaluation",
            floor,
            fastest("evaluation", || drop(case.evaluation(&saved))),
        ),
    ];
    let megabytes = case.bytes() as f64 * 1e-6;
    println!(
        "{}: floor {:.2} ms, {megabytes:.0} MB",
        case.name,
        floor * 1e3
    );
    for (what, floor, seconds) in passes {
        if let Some(seconds) = seconds {
            let (time, share) = (seconds * 1e3, 100.0 * floor / seconds);
            println!("    {what} {time:.2} ms ({share:.0} % of the peak)");
        }
    }
}
