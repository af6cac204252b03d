//! Sharing work among the threads of the current rayon pool.

use std::ops::Range;

/// Operations (multiplications and additions) below which a second thread costs more than it
/// saves.
const WORTH_A_THREAD: usize = 250_000;

/// Calls `body` with ranges that cover `0..count` once, on as many threads as the work
/// (`operations` in total) is worth; all ranges but the last are multiples of `granule` long.
pub fn for_ranges(
    count: usize,
    granule: usize,
    operations: usize,
    body: impl Fn(Range<usize>) + Sync,
) {
    let granules = count.div_ceil(granule);
    let threads = rayon::current_num_threads();
    let tasks = (operations / WORTH_A_THREAD).min(granules);
    if threads == 1 || tasks < 2 {
        if count > 0 {
            body(0..count);
        }
        return;
    }
    // A few tasks a thread even out what other programs take; the ranges change no result.
    let tasks = tasks.min(4 * threads);
    rayon::scope(|scope| {
        for task in 1..tasks {
            let body = &body;
            scope.spawn(move |_| body(share(count, granule, task, tasks)));
        }
        body(share(count, granule, 0, tasks));
    });
}

/// Runs `body` on a thread of the pool where it is worth it, so that the ranges inside it start
/// without waking anybody through a lock.
pub fn enter<T: Send>(operations: usize, body: impl FnOnce() -> T + Send) -> T {
    let worth_it = operations >= 2 * WORTH_A_THREAD && rayon::current_num_threads() > 1;
    if worth_it && rayon::current_thread_index().is_none() {
        rayon::scope(|_| body())
    } else {
        body()
    }
}

/// The range of `task` among `tasks`, in whole granules.
fn share(count: usize, granule: usize, task: usize, tasks: usize) -> Range<usize> {
    let granules = count.div_ceil(granule);
    let start = granules * task / tasks * granule;
    let end = granules * (task + 1) / tasks * granule;
    start..end.min(count)
}

/// A pointer that may cross to other threads.
///
/// Whoever uses it promises that the threads write disjoint places and that the memory outlives
/// them; [`for_ranges`] returns only when all its tasks are done.
#[derive(Clone, Copy, Debug)]
pub struct Shared(pub *mut f32);

// SAFETY: see the promise above; the places that read or write through it repeat it.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_once() {
        for (count, granule, tasks) in [(1, 4, 1), (17, 4, 3), (64, 16, 4), (7, 1, 7)] {
            let mut next = 0;
            for task in 0..tasks {
                let range = share(count, granule, task, tasks);
                assert_eq!(range.start, next);
                assert!(task + 1 == tasks || range.len().is_multiple_of(granule));
                next = range.end;
            }
            assert_eq!(next, count);
        }
    }
}
