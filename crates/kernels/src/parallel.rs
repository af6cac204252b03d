//! Sharing work among the threads of the current rayon pool.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Operations (multiplications and additions) below which a second thread costs more than it
/// saves.
const WORTH_A_THREAD: usize = 250_000;

/// Work that can be cut into ranges.
pub struct Job<'a> {
    /// The ranges cover `0..count` once.
    pub count: usize,
    /// All ranges but the last are multiples of this long.
    pub granule: usize,
    /// Multiplications and additions in total.
    pub operations: usize,
    /// Called with each range.
    pub body: Box<dyn Fn(Range<usize>) + Sync + 'a>,
}

/// Does the jobs, which must not depend on one another, on as many threads as they are worth.
pub fn for_jobs(jobs: &[Job]) {
    let threads = threads();
    let operations: usize = jobs.iter().map(|job| job.operations).sum();
    if threads == 1 || operations < 2 * WORTH_A_THREAD {
        for job in jobs.iter().filter(|job| job.count > 0) {
            (job.body)(0..job.count);
        }
        return;
    }
    // A few tasks a thread even out what other programs take; the ranges change no result.
    let most = (operations / WORTH_A_THREAD).min(4 * threads);
    run(jobs.iter().flat_map(|job| {
        let granules = job.count.div_ceil(job.granule);
        let tasks = (most as f64 * job.operations as f64 / operations as f64).round();
        let tasks = (tasks as usize).clamp(granules.min(1), granules);
        (0..tasks).map(move |task| {
            let range = share(job.count, job.granule, task, tasks);
            move || (job.body)(range)
        })
    }));
}

/// Calls `body` with ranges that cover `0..count` once, on as many threads as the work
/// (`operations` in total) is worth; all ranges but the last are multiples of `granule` long.
pub fn for_ranges(
    count: usize,
    granule: usize,
    operations: usize,
    body: impl Fn(Range<usize>) + Sync,
) {
    for_jobs(&[Job {
        count,
        granule,
        operations,
        body: Box::new(body),
    }]);
}

/// Calls `body` with ranges that cover `0..count` once, of at least `granule` items and fewer than
/// twice as many or, where there are fewer for each thread, not so many. As many items as the threads
/// can share evenly are done by one thread each: what one layer leaves for the next stays in that
/// thread's cache. In a call for the others, the threads may share the work inside.
pub fn for_items(
    count: usize,
    granule: usize,
    operations: usize,
    body: impl Fn(Range<usize>) + Sync,
) {
    let mut threads = threads();
    if operations < 2 * WORTH_A_THREAD {
        threads = 1;
    }
    let each = count / threads;
    let whole = each * threads;
    if whole > 0 {
        let tasks = threads * (each / granule).max(1);
        let ranges = (0..tasks).map(|task| share(whole, 1, task, tasks));
        let body = &body;
        if threads == 1 {
            ranges.for_each(body);
        } else {
            run(ranges.map(|range| move || body(range)));
        }
    }
    if whole < count {
        body(whole..count);
    }
}

/// Runs `body`, during which threads of the pool do not fall asleep between tasks: waking one takes
/// longer than many an operation. One call at a time has this effect, others just run.
pub fn awake<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    /// Threads that watch at most: many would mostly look at the same few tasks.
    const WATCHERS: usize = 16;
    /// Two that watch for each other's end would never see it.
    static ACTIVE: AtomicBool = AtomicBool::new(false);
    /// Ends the watch, also after a panic.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
            ACTIVE.store(false, Ordering::Release);
        }
    }
    if rayon::current_num_threads() == 1 || ACTIVE.swap(true, Ordering::AcqRel) {
        return body();
    }
    let done = AtomicBool::new(false);
    rayon::scope(|scope| {
        let end = End(&done);
        let own = rayon::current_thread_index();
        let done = &done;
        scope.spawn_broadcast(move |_, context| {
            if Some(context.index()) != own && context.index() < WATCHERS {
                watch(done);
            }
        });
        let result = body();
        drop(end);
        result
    })
}

/// Does the pool's tasks until `done`, or until there have been none for a while: a thread may have
/// begun to watch while it waits inside a task that `done` itself waits for.
fn watch(done: &AtomicBool) {
    /// Looks without success, about 10 microseconds, after which other programs may run.
    const PATIENCE: u32 = 200;
    /// The longest wait.
    const LONGEST: Duration = Duration::from_millis(50);
    let (mut looks, mut since) = (0, Instant::now());
    while !done.load(Ordering::Acquire) {
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            (looks, since) = (0, Instant::now());
        } else if looks < PATIENCE {
            looks += 1;
            std::hint::spin_loop();
        } else if since.elapsed() < LONGEST {
            std::thread::yield_now();
        } else {
            return;
        }
    }
}

/// Runs tasks on all threads, the first on this one.
fn run<T: FnOnce() + Send>(mut tasks: impl Iterator<Item = T>) {
    let own = tasks.next();
    let tasks: Vec<T> = tasks.collect();
    rayon::scope(|scope| {
        for task in tasks {
            scope.spawn(move |_| alone(task));
        }
        if let Some(own) = own {
            alone(own);
        }
    });
}

/// Threads that may share work here.
pub(crate) fn threads() -> usize {
    if ALONE.get() {
        1
    } else {
        rayon::current_num_threads()
    }
}

thread_local! {
    /// Whether this thread is inside a task: then it does alone what the task would share.
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs a task.
fn alone(body: impl FnOnce()) {
    /// Puts back what was, also after a panic.
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            ALONE.set(self.0);
        }
    }
    let _before = Before(ALONE.replace(true));
    body();
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

impl Shared {
    /// So many numbers further.
    ///
    /// # Safety
    /// They must be within the memory that this points into.
    #[inline(always)]
    pub unsafe fn after(self, numbers: usize) -> *mut f32 {
        // SAFETY: promised by the caller.
        unsafe { self.0.add(numbers) }
    }
}

// SAFETY: see the promise above; the places that read or write through it repeat it.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_threads<T: Send>(threads: usize, body: impl FnOnce() -> T + Send) -> T {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(body)
    }

    /// How often each item is in a range.
    fn covered(count: usize, share: impl Fn(&(dyn Fn(Range<usize>) + Sync))) -> Vec<u32> {
        let seen = std::sync::Mutex::new(vec![0; count]);
        share(&|range| {
            for item in range {
                seen.lock().unwrap()[item] += 1;
            }
        });
        seen.into_inner().unwrap()
    }

    #[test]
    fn every_item_is_done_once() {
        const MUCH: usize = 100 * WORTH_A_THREAD;
        for threads in [1, 2, 3, 8] {
            for (count, granule) in [(0, 1), (1, 1), (5, 1), (7, 4), (16, 3), (17, 100)] {
                for operations in [0, MUCH] {
                    let once = with_threads(threads, || {
                        covered(count, |body| for_items(count, granule, operations, body))
                    });
                    assert_eq!(once, vec![1; count], "{threads} {count} {granule}");
                    // Ranges inside are not shared again, and cover everything too.
                    let nested = with_threads(threads, || {
                        covered(count, |body| {
                            for_items(count, granule, MUCH, |range| {
                                for_ranges(range.len(), 1, MUCH, |inside| {
                                    body(range.start + inside.start..range.start + inside.end);
                                });
                            });
                        })
                    });
                    assert_eq!(nested, vec![1; count], "{threads} {count} {granule}");
                }
            }
        }
    }

    #[test]
    fn awake_gives_back_what_its_body_does() {
        let sum = || -> usize {
            let sum = std::sync::atomic::AtomicUsize::new(0);
            for_ranges(1000, 1, 100 * WORTH_A_THREAD, |range| {
                sum.fetch_add(range.sum(), Ordering::Relaxed);
            });
            sum.into_inner()
        };
        assert_eq!(awake(sum), 499_500, "outside of a pool");
        for threads in [1, 2, 5] {
            with_threads(threads, || {
                assert_eq!(awake(|| awake(sum) + sum()), 999_000, "{threads} threads");
                let panics = std::panic::catch_unwind(|| awake(|| panic!("as it should")));
                assert!(panics.is_err());
                assert_eq!(awake(sum), 499_500, "after a panic");
                // Two at once in one pool.
                let (a, b) = rayon::join(|| awake(sum), || awake(sum));
                assert_eq!((a, b), (499_500, 499_500));
            });
        }
    }

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
