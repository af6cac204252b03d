//! Blocks of rows as the products of small matrices want them.

use crate::pack::transpose_square;
use crate::rows::{load, store};
use crate::simd::Simd;

/// `to[c][j] = from[j][c]` for `rows` rows of `width` numbers, whose starts are `from_row` apart in `from`
/// and `to_row` in `to`.
#[inline(always)]
pub(super) fn transpose<S: Simd>(
    s: S,
    from: &[f32],
    from_row: usize,
    rows: usize,
    width: usize,
    to: &mut [f32],
    to_row: usize,
) {
    let (whole_rows, whole_width) = (rows / S::LANES * S::LANES, width / S::LANES * S::LANES);
    for j in (0..whole_rows).step_by(S::LANES) {
        for c in (0..whole_width).step_by(S::LANES) {
            let from = &from[j * from_row + c..];
            transpose_square(s, from, from_row, &mut to[c * to_row + j..], to_row);
        }
    }
    for j in 0..rows {
        let done = if j < whole_rows { whole_width } else { 0 };
        for c in done..width {
            to[c * to_row + j] = from[j * from_row + c];
        }
    }
}

/// Rows that may be read in whole vectors.
#[derive(Clone, Copy)]
pub(super) struct Padded {
    pub at: *const f32,
    /// From a row to the next.
    pub row: usize,
}

/// `rows` rows of `width` numbers, whose starts are `from_row` apart, in `room`: rows of `room_row`
/// numbers, with zeros behind each. In place where whole vectors hold them and they lie next to each other,
/// or are read only `once`: rows that are far apart share few places of a cache.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) fn pad<S: Simd>(
    s: S,
    from: &[f32],
    from_row: usize,
    rows: usize,
    width: usize,
    room: &mut [f32],
    room_row: usize,
    once: bool,
) -> Padded {
    if width.is_multiple_of(S::LANES) && (once || from_row == width) {
        return Padded {
            at: from.as_ptr(),
            row: from_row,
        };
    }
    for j in 0..rows {
        let from = &from[j * from_row..][..width];
        let to = &mut room[j * room_row..][..room_row];
        for c in (0..width).step_by(S::LANES) {
            s.store(&mut to[c..], s.load_partial(&from[c..]));
        }
    }
    Padded {
        at: room.as_ptr(),
        row: room_row,
    }
}

/// Lanes below `count`.
#[inline(always)]
pub(super) fn first<S: Simd>(s: S, count: usize) -> S::M {
    const INDEX: [f32; 16] = [
        0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
    ];
    s.lt(s.load(&INDEX), s.splat(count as f32))
}

/// The largest lane, in all lanes.
#[inline(always)]
pub(super) fn largest_lane<S: Simd>(s: S, a: S::F) -> S::F {
    let (mut largest, mut width) = (a, S::LANES);
    while width > 1 {
        // Each lane meets the one that is half a vector further, and there are half as many different ones.
        let [low, high] = s.interleave(largest, largest);
        largest = s.max(low, high);
        width /= 2;
    }
    largest
}

/// The sum of products of `n` pairs of numbers.
#[inline(always)]
pub(super) fn dot<S: Simd>(s: S, a: &[f32], b: &[f32]) -> f32 {
    let mut sum = s.splat(0.0);
    for (a, b) in a.chunks(S::LANES).zip(b.chunks(S::LANES)) {
        sum = s.fma(s.load_partial(a), s.load_partial(b), sum);
    }
    s.sum(sum)
}

/// `to = from * factor` for `n` numbers.
///
/// # Safety
/// Both pointers must be valid for `n` numbers.
#[inline(always)]
pub(super) unsafe fn scale_row<S: Simd>(
    s: S,
    from: *const f32,
    factor: f32,
    to: *mut f32,
    n: usize,
) {
    for i in (0..n).step_by(S::LANES) {
        let lanes = S::LANES.min(n - i);
        // SAFETY: no more numbers from `i` on than there are.
        unsafe {
            let numbers = s.mul(load(s, from.add(i), lanes), s.splat(factor));
            store(s, to.add(i), numbers, lanes);
        }
    }
}
