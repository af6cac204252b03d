//! Everything between the convolutions: latents, pooling, upsampling, the likelihood, the
//! optimizer.
//!
//! Tensors are slices, channels last. Sizes that a function can tell from the lengths of its
//! slices are not passed. Outputs are written completely, whatever they held before.

pub mod adamax;
pub mod bilinear;
pub mod categorical;
pub mod clamp;
pub mod dmol;
pub mod elu;
pub mod features;
pub mod gate;
pub mod latents;
pub mod naive;
pub mod normal;
pub mod optimizer;
pub mod pool;
pub mod shift;
pub mod upsample;

use crate::simd::Simd;
use rayon::prelude::*;
use std::ops::Range;

/// Numbers below which a second thread costs more than it saves, for operations that do little
/// more than read and write.
const WORTH_A_THREAD: usize = 1 << 16;

/// Numbers that one task of a simple operation works on.
const CHUNK: usize = 1 << 14;

/// Positions (pixels) per partial sum of an image; part of what defines the result.
pub(crate) const PIXELS_PER_SUM: usize = 64;

/// Asserts that a slice has the length that the shape asks for.
#[track_caller]
fn expect_len(name: &str, found: usize, expected: usize) {
    assert_eq!(
        found, expected,
        "{name}: expected {expected} numbers, found {found}"
    );
}

/// Rows of `row` numbers that one task takes.
fn rows_per_task(row: usize) -> usize {
    (CHUNK / row.max(1)).max(1)
}

/// `to += more`.
///
/// # Panics
/// If the lengths do not agree.
pub fn add(to: &mut [f32], more: &[f32]) {
    expect_len("what is added", more.len(), to.len());
    for_chunks(to, CHUNK, |i, to| {
        let more = &more[i * CHUNK..];
        to.iter_mut().zip(more).for_each(|(to, more)| *to += more);
    });
}

/// Calls `work(index, chunk)` for all chunks of `size` numbers of `out` (the last may be
/// shorter), in parallel if there are enough.
fn for_chunks(out: &mut [f32], size: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let size = size.max(1);
    if out.len() < WORTH_A_THREAD {
        let chunks = out.chunks_mut(size).enumerate();
        chunks.for_each(|(i, chunk)| work(i, chunk));
    } else {
        let chunks = out.par_chunks_mut(size).enumerate();
        chunks.for_each(|(i, chunk)| work(i, chunk));
    }
}

/// The same for two outputs of as many rows, `rows` rows of `size.0` and `size.1` numbers each.
fn for_chunk_pairs(
    out: (&mut [f32], &mut [f32]),
    size: (usize, usize),
    rows: usize,
    work: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    let size = ((size.0 * rows).max(1), (size.1 * rows).max(1));
    if out.0.len() + out.1.len() < WORTH_A_THREAD {
        let pairs = out.0.chunks_mut(size.0).zip(out.1.chunks_mut(size.1));
        pairs.enumerate().for_each(|(i, (a, b))| work(i, a, b));
    } else {
        let pairs = out.0.par_chunks_mut(size.0);
        let pairs = pairs.zip(out.1.par_chunks_mut(size.1));
        pairs.enumerate().for_each(|(i, (a, b))| work(i, a, b));
    }
}

/// The parts of a batch that are summed one by one: ranges of positions in the whole batch,
/// cut alike in every image.
pub(crate) fn image_parts(batch: usize, pixels: usize) -> impl Iterator<Item = Range<usize>> {
    (0..batch).flat_map(move |image| {
        (0..pixels).step_by(PIXELS_PER_SUM).map(move |start| {
            let end = (start + PIXELS_PER_SUM).min(pixels);
            image * pixels + start..image * pixels + end
        })
    })
}

/// Sums `work(part)` over the parts of each image, in their order; `parts` follow
/// [`image_parts`], as many for each of `sums`.
fn sum_per_image<T: Send>(
    parts: Vec<T>,
    parallel: bool,
    sums: &mut [f32],
    work: impl Fn(T) -> f64 + Sync + Send,
) {
    let partial: Vec<f64> = if parallel {
        parts.into_par_iter().map(work).collect()
    } else {
        parts.into_iter().map(work).collect()
    };
    add_parts(&partial, sums);
}

/// Adds up the sums over the parts of each image, in their order.
pub(crate) fn add_parts(partial: &[f64], sums: &mut [f32]) {
    let per_image = partial.len().checked_div(sums.len()).unwrap_or(0);
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum = partial[i * per_image..][..per_image].iter().sum::<f64>() as f32;
    }
}

/// Double-precision sums of vectors, lane by lane.
#[derive(Clone, Copy, Default)]
struct LaneSums([f64; 16]);

impl LaneSums {
    /// Adds a vector.
    #[inline(always)]
    fn add<S: Simd>(&mut self, s: S, a: S::F) {
        let mut lanes = [0.0_f32; 16];
        s.store(&mut lanes, a);
        for (sum, &lane) in self.0.iter_mut().zip(&lanes[..S::LANES]) {
            *sum += f64::from(lane);
        }
    }

    /// The sum over the lanes, pairwise.
    #[inline(always)]
    fn total(mut self) -> f64 {
        let mut width = 8;
        while width > 0 {
            for i in 0..width {
                self.0[i] += self.0[i + width];
            }
            width /= 2;
        }
        self.0[0]
    }
}
