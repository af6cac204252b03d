//! The innermost loops: small tiles of outputs in registers.
//!
//! Every output is one chain of multiply-adds in one fixed order, whatever tile it falls into,
//! so that tiling, batch and threads change no bit. What is multiplied are elements: numbers or
//! pairs of them, see [`crate::precision`].

use crate::precision::Arithmetic;
use crate::simd::Simd;

/// Consecutive rows of weights and where their inputs lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Added to each row's input pointer, in elements.
    pub input: isize,
    /// First row of weights.
    pub row: usize,
    /// How many rows of weights, and consecutive inputs.
    pub rows: usize,
}

/// What a tile starts from.
#[derive(Clone, Copy)]
pub(crate) enum Start {
    /// Zero.
    Zero,
    /// These numbers, one per output channel of the tile.
    Bias(*const f32),
}

/// Weights as a matrix of rows, each readable up to a multiple of the lanes.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    pub at: *const f32,
    /// Distance between rows.
    pub stride: usize,
}

/// Rows of weights that are asked for before they are needed: they come from the second cache.
const AHEAD: usize = 8;
/// Vectors of a tile from which on there is time to ask: in narrower ones loading is what takes the time.
const WIDE: usize = 3;

/// `output[r][j] = start[j] + sum over k of input[r][k] * weights[k][j] (+ add[r][j])` for
/// `R` rows and `V` vectors of outputs, of which the last has `last` lanes in use.
///
/// # Safety
/// Inputs must be readable at all segments, weights at all their rows, `V * LANES` numbers
/// wide; bias, output and `add` must be valid for `(V - 1) * LANES + last` numbers; `output`
/// rows must be written by nobody else. A row of `add` may be that of `output`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn rows_times_panel<S: Simd, A: Arithmetic, const R: usize, const V: usize>(
    s: S,
    input: [*const f32; R],
    segments: &[Segment],
    weights: Panel,
    start: Start,
    output: [*mut f32; R],
    add: Option<[*const f32; R]>,
    last: usize,
) {
    // SAFETY: all pointers are used as the caller promised.
    unsafe {
        let full = last == S::LANES;
        let mut sum = [[s.splat(0.0); V]; R];
        match start {
            Start::Zero => {}
            Start::Bias(bias) => {
                let first = load::<S, V>(s, bias, last, full);
                sum = [first; R];
            }
        }
        if let Some(add) = add {
            // What is added lies further away than inputs and weights: it comes while they are
            // multiplied.
            for r in 0..R {
                for v in 0..V {
                    s.prefetch(add[r].wrapping_add(v * S::LANES));
                    s.prefetch(output[r].wrapping_add(v * S::LANES));
                }
            }
        }
        for segment in segments {
            let mut w = weights.at.add(segment.row * weights.stride);
            let mut from = input;
            for r in 0..R {
                from[r] = from[r].offset(segment.input);
            }
            for k in 0..segment.rows {
                let mut row = [s.splat(0.0); V];
                for v in 0..V {
                    row[v] = s.load_ptr(w.add(v * S::LANES));
                    if V >= WIDE {
                        s.prefetch(w.wrapping_add(AHEAD * weights.stride + v * S::LANES));
                    }
                }
                for r in 0..R {
                    let a = s.splat(*from[r].add(k));
                    for v in 0..V {
                        sum[r][v] = A::multiply_add(s, a, row[v], sum[r][v]);
                    }
                }
                w = w.add(weights.stride);
            }
        }
        if let Some(add) = add {
            // All of it before anything is stored: the last row of a chunk may come twice, and its output
            // may take the place of what is added.
            for r in 0..R {
                let more = load::<S, V>(s, add[r], last, full);
                for v in 0..V {
                    sum[r][v] = s.add(sum[r][v], more[v]);
                }
            }
        }
        for r in 0..R {
            store::<S, V>(s, output[r], sum[r], last, full);
        }
    }
}

/// Adds to a tile of a weight gradient what a run of pixels contributes:
/// `sum[r][j] += input[p][r] * slope[p][j]` for `R` consecutive input channels.
///
/// # Safety
/// For each of `pixels` steps, `input` must be readable for `R` numbers and `slope` for
/// `(V - 1) * LANES + last`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn outer_products<S: Simd, A: Arithmetic, const R: usize, const V: usize>(
    s: S,
    mut input: *const f32,
    input_stride: usize,
    mut slope: *const f32,
    slope_stride: usize,
    pixels: usize,
    last: usize,
    sum: &mut [[S::F; V]; R],
) {
    // SAFETY: all pointers are used as the caller promised.
    unsafe {
        let full = last == S::LANES;
        for _ in 0..pixels {
            let row = load::<S, V>(s, slope, last, full);
            for r in 0..R {
                let a = s.splat(*input.add(r));
                for v in 0..V {
                    sum[r][v] = A::multiply_add(s, a, row[v], sum[r][v]);
                }
            }
            input = input.add(input_stride);
            slope = slope.add(slope_stride);
        }
    }
}

/// `V` vectors, the last of them `last` lanes.
///
/// # Safety
/// `from` must be readable for `(V - 1) * LANES + last` numbers.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd, const V: usize>(
    s: S,
    from: *const f32,
    last: usize,
    full: bool,
) -> [S::F; V] {
    let mut a = [s.splat(0.0); V];
    // SAFETY: promised by the caller.
    unsafe {
        for v in 0..V - 1 {
            a[v] = s.load_ptr(from.add(v * S::LANES));
        }
        let from = from.add((V - 1) * S::LANES);
        a[V - 1] = if full {
            s.load_ptr(from)
        } else {
            s.load_ptr_partial(from, last)
        };
    }
    a
}

/// Stores `V` vectors, the last of them `last` lanes.
///
/// # Safety
/// `to` must be writable for `(V - 1) * LANES + last` numbers.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd, const V: usize>(
    s: S,
    to: *mut f32,
    a: [S::F; V],
    last: usize,
    full: bool,
) {
    // SAFETY: promised by the caller.
    unsafe {
        for v in 0..V - 1 {
            s.store_ptr(to.add(v * S::LANES), a[v]);
        }
        let to = to.add((V - 1) * S::LANES);
        if full {
            s.store_ptr(to, a[V - 1]);
        } else {
            s.store_ptr_partial(to, a[V - 1], last);
        }
    }
}
