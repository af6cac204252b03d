//! The transforms of F(2x2, 3x3), along one axis:
//!
//! ```text
//! B' = 1  0 -1  0     G =  1   0   0     A' = 1  1  1  0
//!      0  1  1  0         1/2 1/2 1/2         0  1 -1 -1
//!      0 -1  1  0         1/2 -1/2 1/2
//!      0  1  0 -1          0   0   1
//! ```

use super::{POSITIONS, position_rows};
use crate::detect::{Kernel, dispatch};
use crate::pack::{Weights, room, vectors};
use crate::parallel::{Shared, for_ranges};
use crate::rows::{load, store};
use crate::simd::Simd;
use crate::tile::Panel;
use std::ops::Range;

/// `B' d`.
#[inline(always)]
fn input<S: Simd>(s: S, d: [S::F; 4]) -> [S::F; 4] {
    [
        s.sub(d[0], d[2]),
        s.add(d[1], d[2]),
        s.sub(d[2], d[1]),
        s.sub(d[1], d[3]),
    ]
}

/// `A' m`.
#[inline(always)]
fn output<S: Simd>(s: S, m: [S::F; 4]) -> [S::F; 2] {
    let (sum, difference) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    [s.add(m[0], sum), s.sub(difference, m[3])]
}

/// `G g`.
#[inline(always)]
fn filter<S: Simd>(s: S, g: [S::F; 3]) -> [S::F; 4] {
    let half = s.splat(0.5);
    let ends = s.mul(half, s.add(g[0], g[2]));
    let middle = s.mul(half, g[1]);
    [g[0], s.add(ends, middle), s.sub(ends, middle), g[2]]
}

/// `G' u`.
#[inline(always)]
fn filter_gradient<S: Simd>(s: S, u: [S::F; 4]) -> [S::F; 3] {
    let half = s.splat(0.5);
    let sum = s.mul(half, s.add(u[1], u[2]));
    let difference = s.mul(half, s.sub(u[1], u[2]));
    [s.add(u[0], sum), difference, s.add(sum, u[3])]
}

/// Row `i` of `A`, applied to two rows.
#[inline(always)]
fn output_gradient<S: Simd>(s: S, y: [S::F; 2]) -> [S::F; 4] {
    [y[0], s.add(y[0], y[1]), s.sub(y[0], y[1]), s.neg(y[1])]
}

/// `B' d B` of a patch, for all channels; positions lie `stride` numbers apart.
///
/// # Safety
/// `from` must be the first of 4x4 pixels in lines `line` numbers apart, `to` writable for
/// `channels` numbers at each of the 16 positions.
#[inline(always)]
pub(super) unsafe fn transform_patch<S: Simd>(
    s: S,
    from: *const f32,
    line: usize,
    channels: usize,
    to: *mut f32,
    stride: usize,
) {
    let mut c = 0;
    while c < channels {
        let n = S::LANES.min(channels - c);
        // SAFETY: promised by the caller.
        unsafe {
            let mut half = [[s.splat(0.0); 4]; 4];
            for j in 0..4 {
                let mut column = [s.splat(0.0); 4];
                for i in 0..4 {
                    column[i] = load(s, from.add(i * line + j * channels + c), n);
                }
                half[j] = input(s, column);
            }
            for i in 0..4 {
                let row = input(s, [half[0][i], half[1][i], half[2][i], half[3][i]]);
                for j in 0..4 {
                    store(s, to.add((4 * i + j) * stride + c), row[j], n);
                }
            }
        }
        c += n;
    }
}

/// Row `i` of `B' d B` of a patch, for `count` of its channels; positions lie `stride` apart.
///
/// # Safety
/// `from` must be the first of 4x4 pixels of `channels` numbers in lines `line` apart, readable
/// for `count` numbers, `to` writable for `count` numbers at each of the 4 positions.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn transform_patch_row<S: Simd>(
    s: S,
    i: usize,
    from: *const f32,
    line: usize,
    channels: usize,
    count: usize,
    to: *mut f32,
    stride: usize,
) {
    // Which lines are combined, and whether the second is added or taken away.
    let (first, second, plus) = [(0, 2, false), (1, 2, true), (2, 1, false), (1, 3, false)][i];
    let mut c = 0;
    while c < count {
        let n = S::LANES.min(count - c);
        // SAFETY: promised by the caller.
        unsafe {
            let mut half = [s.splat(0.0); 4];
            for j in 0..4 {
                let a = load(s, from.add(first * line + j * channels + c), n);
                let b = load(s, from.add(second * line + j * channels + c), n);
                half[j] = if plus { s.add(a, b) } else { s.sub(a, b) };
            }
            let row = input(s, half);
            for j in 0..4 {
                store(s, to.add(j * stride + c), row[j], n);
            }
        }
        c += n;
    }
}

/// Row `i` of `A dy A'` of a tile, for all channels; positions lie `stride` numbers apart.
///
/// # Safety
/// `from` must be the first of 2x2 pixels in lines `line` numbers apart, `to` writable for
/// `channels` numbers at each of the 4 positions.
#[inline(always)]
pub(super) unsafe fn transform_slope_row<S: Simd>(
    s: S,
    i: usize,
    from: *const f32,
    line: usize,
    channels: usize,
    to: *mut f32,
    stride: usize,
) {
    let mut c = 0;
    while c < channels {
        let n = S::LANES.min(channels - c);
        // SAFETY: promised by the caller.
        unsafe {
            let mut half = [s.splat(0.0); 2];
            for j in 0..2 {
                let a = load(s, from.add(j * channels + c), n);
                let b = load(s, from.add(line + j * channels + c), n);
                half[j] = match i {
                    0 => a,
                    1 => s.add(a, b),
                    2 => s.sub(a, b),
                    _ => s.neg(b),
                };
            }
            let row = output_gradient(s, half);
            for j in 0..4 {
                store(s, to.add(j * stride + c), row[j], n);
            }
        }
        c += n;
    }
}

/// `A' m A` of a tile plus the bias, for `n` channels: four pixels, `[4, n]`.
///
/// # Safety
/// `from` must be readable for `n` numbers at each of the 16 positions, `stride` apart; the bias
/// for `n`, `to` writable for `4 n`.
#[inline(always)]
pub(super) unsafe fn tile_outputs<S: Simd>(
    s: S,
    from: *const f32,
    stride: usize,
    bias: Option<*const f32>,
    n: usize,
    to: *mut f32,
) {
    let mut c = 0;
    while c < n {
        let lanes = S::LANES.min(n - c);
        // SAFETY: promised by the caller.
        unsafe {
            let mut half = [[s.splat(0.0); 2]; 4];
            for j in 0..4 {
                let mut column = [s.splat(0.0); 4];
                for i in 0..4 {
                    column[i] = load(s, from.add((4 * i + j) * stride + c), lanes);
                }
                half[j] = output(s, column);
            }
            let bias = bias.map_or(s.splat(0.0), |bias| load(s, bias.add(c), lanes));
            for i in 0..2 {
                let row = output(s, [half[0][i], half[1][i], half[2][i], half[3][i]]);
                for j in 0..2 {
                    store(s, to.add((2 * i + j) * n + c), s.add(row[j], bias), lanes);
                }
            }
        }
        c += lanes;
    }
}

/// `G' u G`: the gradient of one input channel's weights, nine rows `tap_stride` apart, from
/// sixteen rows `stride` apart.
///
/// # Safety
/// All rows must be valid for `n` numbers.
#[inline(always)]
pub(super) unsafe fn weight_gradient<S: Simd>(
    s: S,
    from: *const f32,
    stride: usize,
    n: usize,
    to: *mut f32,
    tap_stride: usize,
) {
    let mut c = 0;
    while c < n {
        let lanes = S::LANES.min(n - c);
        // SAFETY: promised by the caller.
        unsafe {
            let mut half = [[s.splat(0.0); 3]; 4];
            for j in 0..4 {
                let mut column = [s.splat(0.0); 4];
                for i in 0..4 {
                    column[i] = load(s, from.add((4 * i + j) * stride + c), lanes);
                }
                half[j] = filter_gradient(s, column);
            }
            for i in 0..3 {
                let row = filter_gradient(s, [half[0][i], half[1][i], half[2][i], half[3][i]]);
                for j in 0..3 {
                    store(s, to.add((3 * i + j) * tap_stride + c), row[j], lanes);
                }
            }
        }
        c += lanes;
    }
}

impl Weights<'_> {
    /// Transforms 3x3 weights of nine times `channels` rows: `G g G'`, sixteen times
    /// `channels` rows with gaps.
    pub fn winograd(&self, channels: usize, outputs: usize) -> Weights<'static> {
        /// A transformed number takes about as many multiplications and additions.
        const OPERATIONS: usize = 60;
        let rows = POSITIONS * position_rows(channels);
        let (mut panels, lanes) = room(rows, outputs);
        let to = Shared(panels.as_mut_ptr());
        for_ranges(channels, 8, OPERATIONS * channels * outputs, |range| {
            dispatch(TransformWeights {
                weights: self,
                channels,
                outputs,
                to,
                lanes,
                range,
            });
        });
        Weights::Packed {
            panels,
            rows,
            lanes,
        }
    }
}

/// Transforms the weights of some input channels.
struct TransformWeights<'a> {
    weights: &'a Weights<'a>,
    channels: usize,
    outputs: usize,
    to: Shared,
    /// Lanes that the new panels are for.
    lanes: usize,
    range: Range<usize>,
}

impl Kernel for TransformWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(self.lanes == S::LANES);
        self.weights.check_lanes::<S>();
        let (channels, outputs) = (self.channels, self.outputs);
        let next = position_rows(channels);
        let mut start = 0;
        while start < outputs {
            let width = vectors::<S>((outputs - start).div_ceil(S::LANES)) * S::LANES;
            let Panel { at, stride } = self.weights.panel(start, width);
            for channel in self.range.clone() {
                for v in (0..width).step_by(S::LANES) {
                    // SAFETY: nine rows of the panel, and sixteen of the new one that no other
                    // range has.
                    unsafe {
                        let from = at.add(channel * stride + v);
                        let to = self
                            .to
                            .0
                            .add(POSITIONS * next * start + channel * width + v);
                        transform_filter(s, from, channels * stride, to, next * width);
                    }
                }
            }
            start += width;
        }
    }
}

/// `G g G'` of a vector of filters.
#[inline(always)]
unsafe fn transform_filter<S: Simd>(
    s: S,
    from: *const f32,
    tap_stride: usize,
    to: *mut f32,
    stride: usize,
) {
    // SAFETY: promised by the caller.
    unsafe {
        let mut half = [[s.splat(0.0); 4]; 3];
        for j in 0..3 {
            let mut column = [s.splat(0.0); 3];
            for i in 0..3 {
                column[i] = s.load_ptr(from.add((3 * i + j) * tap_stride));
            }
            half[j] = filter(s, column);
        }
        for i in 0..4 {
            let row = filter(s, [half[0][i], half[1][i], half[2][i]]);
            for j in 0..4 {
                s.store_ptr(to.add((4 * i + j) * stride), row[j]);
            }
        }
    }
}
