//! What the tests share: numbers, comparison, and turns at choosing the instruction set.
#![allow(dead_code)]

use std::sync::Mutex;
use vdvae_kernels::detect::{self, Path};

/// The choice of the instruction set is the whole process's: one test at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Runs a test with each instruction set that this machine has.
pub fn on_every_path(mut test: impl FnMut(&str)) {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let before = detect::path();
    for path in Path::ALL.into_iter().filter(|p| p.is_available()) {
        detect::force(path);
        test(path.name());
    }
    detect::force(before);
}

/// Runs a computation in a pool of some threads.
pub fn with_threads<T: Send>(threads: usize, body: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build().unwrap().install(body)
}

/// Pseudo-random numbers in -scale..scale.
pub fn numbers(count: usize, seed: u32, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    (0..count).map(|_| next()).collect()
}

/// A buffer that shows what was not written.
pub fn poisoned(count: usize) -> Vec<f32> {
    vec![f32::NAN; count]
}

/// Asserts that all numbers are as close as single precision allows for sums of this size.
pub fn assert_close(what: &str, found: &[f32], expected: impl IntoIterator<Item = f64>) {
    assert_within(3e-6, what, found, expected);
}

/// Asserts that no error is larger than this share of the largest number.
pub fn assert_within(
    share: f64,
    what: &str,
    found: &[f32],
    expected: impl IntoIterator<Item = f64>,
) {
    let expected: Vec<f64> = expected.into_iter().collect();
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let size = expected.iter().fold(0.0_f64, |m, e| m.max(e.abs()));
    for (i, (&f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(f) - e).abs();
        assert!(
            error <= share * size + 1e-7,
            "{what}: number {i} is {f}, expected {e} (of at most {size})"
        );
    }
}

/// Asserts that all numbers are as close as operands allow that were rounded to bfloat16: where
/// single precision differs, a few of them are rounded to the other side.
pub fn assert_near(what: &str, found: &[f32], expected: Vec<f64>) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let size = expected.iter().fold(0.0_f64, |m, e| m.max(e.abs()));
    let mut squares = 0.0;
    for (i, (&f, e)) in found.iter().zip(&expected).enumerate() {
        let error = (f64::from(f) - e).abs();
        assert!(
            error <= 1e-2 * size + 1e-7,
            "{what}: number {i} is {f}, expected {e} (of at most {size})"
        );
        squares += error * error;
    }
    let mean = (squares / found.len().max(1) as f64).sqrt();
    assert!(
        mean <= 3e-3 * size + 1e-7,
        "{what}: mean error {mean} of at most {size}"
    );
}

/// The bits of numbers, so that equality is exact.
pub fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|n| n.to_bits()).collect()
}
