//! The innermost loops: a few rows times a panel of weights.

use crate::parallel::Shared;
use crate::simd::Simd;
use crate::tile::{load, store};
use std::ops::Range;

/// How wide panels are for an instruction set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Numbers in a vector.
    pub lanes: usize,
    /// Vectors in a panel at most: as many as leave registers for several rows.
    pub widest: usize,
}

impl Layout {
    #[inline(always)]
    pub fn of<S: Simd>() -> Self {
        Self {
            lanes: S::LANES,
            widest: match S::REGISTERS {
                32 => 4,
                16 => 3,
                _ => 2,
            },
        }
    }
}

/// How a weight is kept.
pub(super) trait Element: Copy {
    /// Loads `LANES` weights.
    ///
    /// # Safety
    /// `from` must be readable for as many.
    unsafe fn load<S: Simd>(s: S, from: *const Self) -> S::F;
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, from: *const f32) -> S::F {
        // SAFETY: promised by the caller.
        unsafe { s.load_ptr(from) }
    }
}

impl Element for u16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, from: *const u16) -> S::F {
        // SAFETY: promised by the caller.
        unsafe { s.load_bf16_ptr(from) }
    }
}

/// Rows of inputs, and where their outputs go.
pub(super) struct Block<'a> {
    /// `per_row` for each row.
    pub segments: &'a [&'a [f32]],
    pub per_row: usize,
    /// `[n]`
    pub bias: Option<&'a [f32]>,
    /// `[m, n]`
    pub to: Shared,
    pub n: usize,
}

/// Bytes of weights that are asked for before they are needed.
const AHEAD: usize = 4096;
const LINE: usize = 64;

/// Takes rows `first .. first + count` on from the inputs before `depths`, from the bias if there are
/// none, over those in `depths`. `panel` holds `V` vectors of weights for each input, for the outputs
/// from `start` on. Returns `count`, which is at most `R`.
///
/// # Safety
/// The rows must have segments and room for outputs, which nobody else may use, and `panel` as many rows
/// as there are inputs.
#[inline(always)]
pub(super) unsafe fn rows_times_panel<S: Simd, T: Element, const R: usize, const V: usize>(
    s: S,
    block: &Block,
    panel: &[T],
    start: usize,
    first: usize,
    count: usize,
    depths: Range<usize>,
) -> usize {
    let n = block.n;
    let last = S::LANES.min(n - start - (V - 1) * S::LANES);
    let full = last == S::LANES;
    // Where there are fewer rows than `R`, the last one again.
    let mut rows = [0; R];
    for r in 0..R {
        rows[r] = first + r.min(count - 1);
    }
    // SAFETY: outputs as promised by the caller, inputs and weights within their slices.
    unsafe {
        let mut sum = [[s.splat(0.0); V]; R];
        if depths.start > 0 {
            for r in 0..R {
                sum[r] = load::<S, V>(s, block.to.after(rows[r] * n + start), last, full);
            }
        } else if let Some(bias) = block.bias {
            sum = [load::<S, V>(s, bias[start..].as_ptr(), last, full); R];
        }
        let mut w = panel.as_ptr().add(depths.start * V * S::LANES);
        let mut before = 0;
        for i in 0..block.per_row {
            let len = block.segments[first * block.per_row + i].len();
            let inside = depths.start.max(before)..depths.end.min(before + len);
            let mut from = [std::ptr::null(); R];
            if !inside.is_empty() {
                for r in 0..R {
                    let segment = block.segments[rows[r] * block.per_row + i];
                    from[r] = segment[inside.start - before..].as_ptr();
                }
            }
            for k in 0..inside.len() {
                let mut row = [s.splat(0.0); V];
                for v in 0..V {
                    row[v] = T::load(s, w.add(v * S::LANES));
                }
                let mut ahead = 0;
                while ahead < V * S::LANES * size_of::<T>() {
                    s.prefetch(w.cast::<u8>().wrapping_add(AHEAD + ahead).cast());
                    ahead += LINE;
                }
                for r in 0..R {
                    let a = s.splat(*from[r].add(k));
                    for v in 0..V {
                        sum[r][v] = s.fma(a, row[v], sum[r][v]);
                    }
                }
                w = w.add(V * S::LANES);
            }
            before += len;
        }
        for r in 0..R {
            store::<S, V>(s, block.to.after(rows[r] * n + start), sum[r], last, full);
        }
    }
    count
}
