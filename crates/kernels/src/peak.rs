//! What this machine can do at most: arithmetic and memory traffic of all threads of the current
//! rayon pool, as the measure that a benchmark's figures are held against.

use std::hint::black_box;
use std::marker::PhantomData;
use std::time::Instant;

use crate::detect::{Kernel, dispatch};
use crate::precision::{Arithmetic, Pairs, Precision, Single};
use crate::simd::Simd;

/// Seconds that one measurement runs, all its repetitions together.
const MEASURED: f64 = 0.3;

/// Repetitions of a measurement, of which the fastest counts.
const REPETITIONS: usize = 15;

/// Most sums that grow side by side, so that none waits for its own last addition.
const SUMS: usize = 12;

/// Numbers that each thread copies to tell the speed of the memory, and the most of all threads
/// together: more than caches hold.
const COPIED: usize = 8 << 20;
const MOST_COPIED: usize = 16 * COPIED;

/// Multiplications and additions of a precision per second, in units of 1e9, that the instruction set
/// in use reaches on all threads together, out of registers.
pub fn multiply_add_gflops(precision: Precision) -> f64 {
    match precision {
        Precision::Fp32 => fastest(|rounds| dispatch(MultiplyAdd::<Single>::new(rounds))),
        Precision::Bf16 => fastest(|rounds| 2.0 * dispatch(MultiplyAdd::<Pairs>::new(rounds))),
    }
}

/// Bytes read plus bytes written per second, in units of 1e9, when all threads together copy more
/// than the caches hold.
pub fn copy_gigabytes_per_second() -> f64 {
    let threads = rayon::current_num_threads();
    let from = vec![1.0_f32; (COPIED * threads).min(MOST_COPIED)];
    let mut to = vec![0.0_f32; from.len()];
    let bytes = 2 * size_of_val(&*from);
    let once = |to: &mut [f32]| {
        let start = Instant::now();
        rayon::scope(|scope| {
            let share = from.len().div_ceil(threads);
            for (to, from) in to.chunks_mut(share).zip(from.chunks(share)) {
                scope.spawn(move |_| to.copy_from_slice(from));
            }
        });
        start.elapsed().as_secs_f64()
    };
    let seconds = (0..REPETITIONS)
        .map(|_| once(&mut to))
        .fold(f64::INFINITY, f64::min);
    black_box(&to);
    bytes as f64 / seconds * 1e-9
}

/// Bytes read per second, in units of 1e9, when all threads together read more than the caches hold.
pub fn read_gigabytes_per_second() -> f64 {
    let threads = rayon::current_num_threads();
    let from = vec![1.0_f32; MOST_COPIED];
    let once = || {
        let start = Instant::now();
        rayon::scope(|scope| {
            for from in from.chunks(from.len().div_ceil(threads)) {
                scope.spawn(move |_| {
                    black_box(dispatch(Read(from)));
                });
            }
        });
        start.elapsed().as_secs_f64()
    };
    let seconds = (0..REPETITIONS)
        .map(|_| once())
        .fold(f64::INFINITY, f64::min);
    size_of_val(&*from) as f64 / seconds * 1e-9
}

/// Adds up numbers as fast as they arrive.
struct Read<'a>(&'a [f32]);

impl Kernel for Read<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        /// Sums that do not wait for one another.
        const SIDE_BY_SIDE: usize = 4;
        let mut sums = [s.splat(0.0); SIDE_BY_SIDE];
        for from in self.0.chunks_exact(SIDE_BY_SIDE * S::LANES) {
            for i in 0..SIDE_BY_SIDE {
                sums[i] = s.add(sums[i], s.load(&from[i * S::LANES..]));
            }
        }
        let mut total = s.splat(0.0);
        for sum in sums {
            total = s.add(total, sum);
        }
        s.sum(total)
    }
}

/// The highest rate at which all threads together run `work`, which is told a number of rounds and
/// returns the operations that it made; in units of 1e9 a second.
fn fastest(work: impl Fn(u64) -> f64 + Sync) -> f64 {
    let together = |rounds: u64| {
        let start = Instant::now();
        let operations: f64 = rayon::broadcast(|_| work(rounds)).into_iter().sum();
        (operations, start.elapsed().as_secs_f64())
    };
    // As many rounds as one repetition has time for.
    let mut rounds = 1 << 12;
    let mut seconds = together(rounds).1;
    let share = MEASURED / REPETITIONS as f64;
    while seconds < share / 4.0 {
        rounds *= 2;
        seconds = together(rounds).1;
    }
    let rounds = (rounds as f64 * share / seconds).ceil() as u64;
    (0..REPETITIONS)
        .map(|_| together(rounds))
        .map(|(operations, seconds)| operations / seconds * 1e-9)
        .fold(0.0, f64::max)
}

/// Multiply-adds of elements in registers; returns the operations made, counting one multiplication
/// and one addition an element.
struct MultiplyAdd<A> {
    rounds: u64,
    arithmetic: PhantomData<A>,
}

impl<A> MultiplyAdd<A> {
    fn new(rounds: u64) -> Self {
        Self {
            rounds,
            arithmetic: PhantomData,
        }
    }

    /// As many as there are registers for.
    const fn sums<S: Simd>() -> usize {
        if S::REGISTERS < 16 { SUMS / 2 } else { SUMS }
    }
}

impl<A: Arithmetic> Kernel for MultiplyAdd<A> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        // Values that the compiler cannot know, numbers or pairs; the sums grow until they stay.
        let (a, b) = (s.splat(black_box(0.5)), s.splat(black_box(0.25)));
        let mut sums = [s.splat(black_box(0.0)); SUMS];
        for _ in 0..self.rounds {
            for i in 0..Self::sums::<S>() {
                sums[i] = A::multiply_add(s, a, b, sums[i]);
            }
        }
        let mut total = s.splat(0.0);
        for sum in sums {
            total = s.add(total, sum);
        }
        black_box(s.sum(total));
        2.0 * self.rounds as f64 * (Self::sums::<S>() * S::LANES) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::portable::Portable;

    #[test]
    fn operations_are_those_of_all_lanes() {
        let operations = MultiplyAdd::<Single>::new(3).run(Portable);
        let sums = MultiplyAdd::<Single>::sums::<Portable>();
        assert_eq!(operations, 2.0 * 3.0 * (8 * sums) as f64);
    }

    #[test]
    fn peaks_are_rates() {
        for rate in [
            multiply_add_gflops(Precision::Fp32),
            multiply_add_gflops(Precision::Bf16),
            copy_gigabytes_per_second(),
            read_gigabytes_per_second(),
        ] {
            assert!(rate.is_finite() && rate > 0.0, "{rate}");
        }
    }
}
