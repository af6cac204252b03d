//! Groups of images whose gradients of parameters are summed one by one, and then together.
//!
//! A group is as large as the caches of a thread that takes it through all steps. The images alone
//! decide, so that the order of additions is the same for any number of threads.

use crate::parallel::{Job, Shared, for_items, for_jobs};
use crate::scratch::Scratch;
use std::ops::Range;

/// A batch cut into groups.
pub(crate) struct Groups {
    batch: usize,
    count: usize,
}

impl Groups {
    /// Groups of a batch of images with so many bytes each, of all that is read and written.
    pub fn new(batch: usize, image_bytes: usize) -> Self {
        /// Bytes that a thread's share of the caches may hold.
        const CACHE: usize = 6 << 20;
        /// Most groups: each has gradients of its own.
        const MOST: usize = 8;
        let images = (CACHE / image_bytes.max(1)).max(1);
        let count = batch.div_ceil(images).min(MOST);
        Self { batch, count }
    }

    /// All images together.
    pub fn one(batch: usize) -> Self {
        Self { batch, count: 1 }
    }

    fn images(&self, group: usize) -> Range<usize> {
        self.batch * group / self.count..self.batch * (group + 1) / self.count
    }

    /// Calls `body` with the images of each group and where it must put its sums, which are of these
    /// `lengths`; adds them up in `result`.
    ///
    /// # Safety
    /// `result` must have room for them and be used by nobody else, and `body` must write all of them.
    pub unsafe fn sum<const N: usize>(
        &self,
        lengths: [usize; N],
        result: [Shared; N],
        operations: usize,
        body: impl Fn(Range<usize>, [Shared; N]) + Sync,
    ) {
        // The first group's place is the result itself.
        let total = lengths.iter().sum();
        let mut rooms: Vec<_> = (1..self.count).map(|_| Scratch::take(total)).collect();
        let others = rooms.iter_mut().map(|room| {
            let mut rest = &mut room[..];
            lengths.map(|length| {
                let (first, others) = std::mem::take(&mut rest).split_at_mut(length);
                rest = others;
                Shared(first.as_mut_ptr())
            })
        });
        let sums: Vec<_> = std::iter::once(result).chain(others).collect();
        for_items(self.count, 1, operations, |range| {
            for group in range {
                body(self.images(group), sums[group]);
            }
        });
        // SAFETY: promised by the caller; the rooms are that long.
        unsafe { add_up(lengths, result, &sums[1..]) };
    }
}

/// Adds sums to those at `to`, one after the other.
///
/// # Safety
/// All must be valid for these lengths, and used by nobody else.
unsafe fn add_up<const N: usize>(lengths: [usize; N], to: [Shared; N], sums: &[[Shared; N]]) {
    if sums.is_empty() {
        return;
    }
    let jobs = std::array::from_fn::<_, N, _>(|i| Job {
        count: lengths[i],
        granule: 1 << 10,
        // An addition waits for memory about as long as these many take.
        operations: 8 * sums.len() * lengths[i],
        body: Box::new(move |range| {
            // SAFETY: promised by the caller; ranges are disjoint.
            unsafe {
                let start = to[i].after(range.start);
                let to = std::slice::from_raw_parts_mut(start, range.len());
                for sums in sums {
                    let start = sums[i].after(range.start);
                    let sums = std::slice::from_raw_parts(start, range.len());
                    to.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum);
                }
            }
        }),
    });
    for_jobs(&jobs);
}
