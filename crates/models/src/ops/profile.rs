//! Where the time goes: what each operation on the CPU took while somebody looked on.
//!
//! Off, an operation pays for one look at a flag.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Of the whole process.
static ON: AtomicBool = AtomicBool::new(false);
static TOTALS: Mutex<BTreeMap<String, Total>> = Mutex::new(BTreeMap::new());

/// What one call has to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Work {
    /// The operation's name; calls of the same name are added up.
    pub name: String,
    /// Multiplications and additions of direct convolutions; 0 where moving numbers is the work.
    pub operations: f64,
    /// What must be read and written once at least.
    pub bytes: f64,
}

impl Work {
    /// Reading and writing so many numbers, 4 bytes each.
    pub fn moving(name: &str, numbers: usize) -> Self {
        Self {
            name: name.to_owned(),
            operations: 0.0,
            bytes: 4.0 * numbers as f64,
        }
    }
}

/// What all calls of one name did together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Total {
    /// How many.
    pub calls: u64,
    /// Wall time.
    pub time: Duration,
    /// Multiplications and additions of direct convolutions.
    pub operations: f64,
    /// Bytes that must be read and written at least.
    pub bytes: f64,
}

/// Forgets what was counted and counts from now on.
pub fn start() {
    totals().clear();
    ON.store(true, Ordering::Relaxed);
}

/// Counts no more; returns the totals by the operations' names.
pub fn stop() -> BTreeMap<String, Total> {
    ON.store(false, Ordering::Relaxed);
    std::mem::take(&mut totals())
}

/// Calls `body`; `work` says what it did, given its result.
#[inline]
pub(crate) fn timed<T>(work: impl FnOnce(&T) -> Work, body: impl FnOnce() -> T) -> T {
    if !ON.load(Ordering::Relaxed) {
        return body();
    }
    let start = Instant::now();
    let result = body();
    let time = start.elapsed();
    record(work(&result), time);
    result
}

fn record(work: Work, time: Duration) {
    let mut totals = totals();
    let total = totals.entry(work.name).or_default();
    total.calls += 1;
    total.time += time;
    total.operations += work.operations;
    total.bytes += work.bytes;
}

fn totals() -> MutexGuard<'static, BTreeMap<String, Total>> {
    // Sums stay sums whoever panicked.
    TOTALS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(name: &str) -> Work {
        Work {
            name: name.to_owned(),
            operations: 3.0,
            bytes: 8.0,
        }
    }

    // One test, for there is one profile in a process.
    #[test]
    fn calls_of_a_name_add_up_between_start_and_stop() {
        let pause = || std::thread::sleep(Duration::from_millis(2));
        assert_eq!(timed(|_| unreachable!("nobody looks on"), || 7), 7);
        start();
        timed(|_| work("a profile's b"), pause);
        timed(|_| work("a profile's a"), || ());
        timed(|_| work("a profile's b"), pause);
        let totals = stop();
        timed(|_| unreachable!("nobody looks on any more"), || ());
        let b = totals["a profile's b"];
        assert_eq!((b.calls, b.operations, b.bytes), (2, 6.0, 16.0));
        assert!(b.time >= Duration::from_millis(4));
        assert_eq!(totals["a profile's a"].calls, 1);
        start();
        assert!(
            !stop().contains_key("a profile's a"),
            "from the start again"
        );
    }
}
