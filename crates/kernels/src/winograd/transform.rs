//! The transforms of F(4x4, 3x3), along one axis.
//!
//! Filter and input are polynomials; their product is known from its values at five points and its
//! highest coefficient ("the value at infinity"). The points are 0, +-p and +-q with `q = sqrt(2)`,
//! `p = 1 / q`, which keep the errors of single precision small:
//!
//! ```text
//! B' = 1   0  -5/2   0   1  0     G =   1     0     0     A' = 1   1   1    1   1  0
//!      0 -2p  -2     p   1  0         -2/3 -2p/3  -1/3         0   p  -p    q  -q  0
//!      0  2p  -2    -p   1  0         -2/3  2p/3  -1/3         0 1/2 1/2    2   2  0
//!      0 -q/2 -1/2   q   1  0          1/6   q/6   1/3         0 p/2 -p/2  2q -2q  1
//!      0  q/2 -1/2  -q   1  0          1/6  -q/6   1/3
//!      0   1   0   -5/2  0  1           0     0     1
//! ```

use super::{LINE, POSITIONS, SIDE, position_rows};
use crate::detect::{Kernel, dispatch};
use crate::pack::{Weights, room, vectors};
use crate::parallel::{Shared, for_ranges};
use crate::rows::{load, store};
use crate::simd::Simd;
use crate::tile::Panel;
use std::f32::consts::{FRAC_1_SQRT_2 as P, SQRT_2 as Q};
use std::ops::Range;

/// `even + odd` and `even - odd`, where `odd = factor * a`: the values at a point and its negative.
#[inline(always)]
fn at_both<S: Simd>(s: S, even: S::F, factor: f32, a: S::F) -> [S::F; 2] {
    let factor = s.splat(factor);
    [s.fma(factor, a, even), s.fnma(factor, a, even)]
}

/// `a - factor * b`.
#[inline(always)]
fn less<S: Simd>(s: S, a: S::F, factor: f32, b: S::F) -> S::F {
    s.fnma(s.splat(factor), b, a)
}

/// `a + factor * b`.
#[inline(always)]
fn plus<S: Simd>(s: S, a: S::F, factor: f32, b: S::F) -> S::F {
    s.fma(s.splat(factor), b, a)
}

/// `B' d`.
#[inline(always)]
fn input<S: Simd>(s: S, d: [S::F; LINE]) -> [S::F; LINE] {
    let [at_p, at_minus_p] = at_both(s, less(s, d[4], 2.0, d[2]), P, less(s, d[3], 2.0, d[1]));
    let [at_q, at_minus_q] = at_both(s, less(s, d[4], 0.5, d[2]), Q, less(s, d[3], 0.5, d[1]));
    [
        less(s, s.add(d[0], d[4]), 2.5, d[2]),
        at_p,
        at_minus_p,
        at_q,
        at_minus_q,
        less(s, s.add(d[1], d[5]), 2.5, d[3]),
    ]
}

/// `A' m`.
#[inline(always)]
fn output<S: Simd>(s: S, m: [S::F; LINE]) -> [S::F; SIDE] {
    let (even_p, odd_p) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (even_q, odd_q) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    [
        s.add(m[0], s.add(even_p, even_q)),
        plus(s, s.mul(s.splat(P), odd_p), Q, odd_q),
        plus(s, s.mul(s.splat(0.5), even_p), 2.0, even_q),
        plus(s, plus(s, m[5], P / 2.0, odd_p), 2.0 * Q, odd_q),
    ]
}

/// `G g`.
#[inline(always)]
fn filter<S: Simd>(s: S, g: [S::F; 3]) -> [S::F; LINE] {
    let even_p = s.mul(s.splat(-2.0 / 3.0), plus(s, g[0], 0.5, g[2]));
    let even_q = s.mul(s.splat(1.0 / 6.0), plus(s, g[0], 2.0, g[2]));
    let [at_p, at_minus_p] = at_both(s, even_p, -2.0 / 3.0 * P, g[1]);
    let [at_q, at_minus_q] = at_both(s, even_q, 1.0 / 6.0 * Q, g[1]);
    [g[0], at_p, at_minus_p, at_q, at_minus_q, g[2]]
}

/// `G' u`.
#[inline(always)]
fn filter_gradient<S: Simd>(s: S, u: [S::F; LINE]) -> [S::F; 3] {
    let (even_p, odd_p) = (s.add(u[1], u[2]), s.sub(u[1], u[2]));
    let (even_q, odd_q) = (s.add(u[3], u[4]), s.sub(u[3], u[4]));
    [
        plus(s, less(s, u[0], 2.0 / 3.0, even_p), 1.0 / 6.0, even_q),
        less(s, s.mul(s.splat(Q / 6.0), odd_q), 2.0 / 3.0 * P, odd_p),
        plus(s, less(s, u[5], 1.0 / 3.0, even_p), 1.0 / 3.0, even_q),
    ]
}

/// `A y`.
#[inline(always)]
fn output_gradient<S: Simd>(s: S, y: [S::F; SIDE]) -> [S::F; LINE] {
    let [at_p, at_minus_p] = at_both(s, plus(s, y[0], 0.5, y[2]), P, plus(s, y[1], 0.5, y[3]));
    let [at_q, at_minus_q] = at_both(s, plus(s, y[0], 2.0, y[2]), Q, plus(s, y[1], 2.0, y[3]));
    [y[0], at_p, at_minus_p, at_q, at_minus_q, y[3]]
}

/// Lines of `B'`: inputs and their factors, of the first 1. Where there are three, the last is taken
/// by halves.
const INPUT_LINES: [[(usize, f32); 4]; LINE] = [
    [(0, 1.0), (4, 1.0), (2, -1.25), (2, -1.25)],
    [(4, 1.0), (3, P), (2, -2.0), (1, -2.0 * P)],
    [(4, 1.0), (3, -P), (2, -2.0), (1, 2.0 * P)],
    [(4, 1.0), (3, Q), (2, -0.5), (1, -0.5 * Q)],
    [(4, 1.0), (3, -Q), (2, -0.5), (1, 0.5 * Q)],
    [(5, 1.0), (1, 1.0), (3, -1.25), (3, -1.25)],
];

/// Lines of `A` between the first and the last: outputs and their factors, of the first 1.
const OUTPUT_LINES: [[(usize, f32); 4]; SIDE] = [
    [(0, 1.0), (1, P), (2, 0.5), (3, 0.5 * P)],
    [(0, 1.0), (1, -P), (2, 0.5), (3, -0.5 * P)],
    [(0, 1.0), (1, Q), (2, 2.0), (3, 2.0 * Q)],
    [(0, 1.0), (1, -Q), (2, 2.0), (3, -2.0 * Q)],
];

/// The sum of the terms of a line; the values lie `stride` numbers apart.
///
/// # Safety
/// `from` must be readable for `n` numbers at each of the line's values.
#[inline(always)]
unsafe fn line_sum<S: Simd>(
    s: S,
    terms: &[(usize, f32); 4],
    from: *const f32,
    stride: usize,
    n: usize,
) -> S::F {
    // SAFETY: promised by the caller.
    unsafe {
        let mut sum = load(s, from.add(terms[0].0 * stride), n);
        for &(i, factor) in &terms[1..] {
            sum = plus(s, sum, factor, load(s, from.add(i * stride), n));
        }
        sum
    }
}

/// `B' d B` of a patch, for all channels; positions lie `stride` numbers apart.
///
/// # Safety
/// `from` must be the first of 6x6 pixels in lines `line` numbers apart, `to` writable for
/// `channels` numbers at each of the positions.
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
            let mut half = [[s.splat(0.0); LINE]; LINE];
            for j in 0..LINE {
                let mut column = [s.splat(0.0); LINE];
                for i in 0..LINE {
                    column[i] = load(s, from.add(i * line + j * channels + c), n);
                }
                half[j] = input(s, column);
            }
            for i in 0..LINE {
                let mut row = [s.splat(0.0); LINE];
                for j in 0..LINE {
                    row[j] = half[j][i];
                }
                let row = input(s, row);
                for j in 0..LINE {
                    store(s, to.add((LINE * i + j) * stride + c), row[j], n);
                }
            }
        }
        c += n;
    }
}

/// Row `i` of `B' d B` of a patch, for `count` of its channels; positions lie `stride` apart.
///
/// # Safety
/// `from` must be the first of 6x6 pixels of `channels` numbers in lines `line` apart, readable
/// for `count` numbers, `to` writable for `count` numbers at each of the 6 positions.
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
    let terms = INPUT_LINES[i];
    let mut c = 0;
    while c < count {
        let n = S::LANES.min(count - c);
        // SAFETY: promised by the caller.
        unsafe {
            let mut half = [s.splat(0.0); LINE];
            for j in 0..LINE {
                half[j] = line_sum(s, &terms, from.add(j * channels + c), line, n);
            }
            let row = input(s, half);
            for j in 0..LINE {
                store(s, to.add(j * stride + c), row[j], n);
            }
        }
        c += n;
    }
}

/// Row `i` of `A dy A'` of a tile, for all channels; positions lie `stride` numbers apart.
///
/// # Safety
/// `from` must be the first of 4x4 pixels in lines `line` numbers apart, `to` writable for
/// `channels` numbers at each of the 6 positions.
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
            let mut half = [s.splat(0.0); SIDE];
            for j in 0..SIDE {
                let from = from.add(j * channels + c);
                half[j] = match i {
                    0 => load(s, from, n),
                    _ if i == LINE - 1 => load(s, from.add((SIDE - 1) * line), n),
                    _ => line_sum(s, &OUTPUT_LINES[i - 1], from, line, n),
                };
            }
            let row = output_gradient(s, half);
            for j in 0..LINE {
                store(s, to.add(j * stride + c), row[j], n);
            }
        }
        c += n;
    }
}

/// `A' m A` of a tile plus the bias, for `n` channels: 4x4 pixels, `[16, n]`.
///
/// # Safety
/// `from` must be readable for `n` numbers at each of the positions, `stride` apart; the bias
/// for `n`, `to` writable for `16 n`.
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
            let mut half = [[s.splat(0.0); SIDE]; LINE];
            for j in 0..LINE {
                let mut column = [s.splat(0.0); LINE];
                for i in 0..LINE {
                    column[i] = load(s, from.add((LINE * i + j) * stride + c), lanes);
                }
                half[j] = output(s, column);
            }
            let bias = bias.map_or(s.splat(0.0), |bias| load(s, bias.add(c), lanes));
            for i in 0..SIDE {
                let mut row = [s.splat(0.0); LINE];
                for j in 0..LINE {
                    row[j] = half[j][i];
                }
                let row = output(s, row);
                for j in 0..SIDE {
                    store(
                        s,
                        to.add((SIDE * i + j) * n + c),
                        s.add(row[j], bias),
                        lanes,
                    );
                }
            }
        }
        c += lanes;
    }
}

/// `G' u G`: the gradient of one input channel's weights, nine rows `tap_stride` apart, from
/// thirty-six rows `stride` apart.
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
            let mut half = [[s.splat(0.0); 3]; LINE];
            for j in 0..LINE {
                let mut column = [s.splat(0.0); LINE];
                for i in 0..LINE {
                    column[i] = load(s, from.add((LINE * i + j) * stride + c), lanes);
                }
                half[j] = filter_gradient(s, column);
            }
            for i in 0..3 {
                let mut row = [s.splat(0.0); LINE];
                for j in 0..LINE {
                    row[j] = half[j][i];
                }
                let row = filter_gradient(s, row);
                for j in 0..3 {
                    store(s, to.add((3 * i + j) * tap_stride + c), row[j], lanes);
                }
            }
        }
        c += lanes;
    }
}

impl Weights<'_> {
    /// Transforms 3x3 weights of nine times `channels` rows: `G g G'`, thirty-six times
    /// `channels` rows with gaps.
    pub fn winograd(&self, channels: usize, outputs: usize) -> Weights<'static> {
        /// A transformed number takes about as many multiplications and additions.
        const OPERATIONS: usize = 150;
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
                    // SAFETY: nine rows of the panel, and 36 of the new one that no other
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
        let mut half = [[s.splat(0.0); LINE]; 3];
        for j in 0..3 {
            let mut column = [s.splat(0.0); 3];
            for i in 0..3 {
                column[i] = s.load_ptr(from.add((3 * i + j) * tap_stride));
            }
            half[j] = filter(s, column);
        }
        for i in 0..LINE {
            let row = filter(s, [half[0][i], half[1][i], half[2][i]]);
            for j in 0..LINE {
                s.store_ptr(to.add((LINE * i + j) * stride), row[j]);
            }
        }
    }
}
