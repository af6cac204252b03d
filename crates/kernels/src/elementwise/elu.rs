//! The exponential linear unit, `x` above 0 and `e^x - 1` below.

use super::{CHUNK, expect_len, for_chunks};
use crate::detect::{Kernel, dispatch};
use crate::math::one_minus_exp_neg;
use crate::simd::Simd;

/// `y = elu(x)`, exact to relative accuracy near 0.
///
/// # Panics
/// If the lengths do not agree.
pub fn elu(x: &[f32], y: &mut [f32]) {
    expect_len("result", y.len(), x.len());
    for_chunks(y, CHUNK, |i, y| {
        let x = &x[i * CHUNK..][..y.len()];
        dispatch(Elu { x, y });
    });
}

/// `dx = dy * elu'(x)`: the slope is 1 above 0 and `e^x` below.
///
/// # Panics
/// If the lengths do not agree.
pub fn elu_backward(x: &[f32], dy: &[f32], dx: &mut [f32]) {
    expect_len("input", x.len(), dx.len());
    expect_len("gradient", dy.len(), dx.len());
    for_chunks(dx, CHUNK, |i, dx| {
        let range = i * CHUNK..i * CHUNK + dx.len();
        let (x, dy) = (&x[range.clone()], &dy[range]);
        dispatch(EluBackward { x, dy, dx });
    });
}

struct Elu<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Elu<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let zero = s.splat(0.0);
        for i in (0..self.x.len()).step_by(S::LANES) {
            let x = s.load_partial(&self.x[i..]);
            let below = s.neg(one_minus_exp_neg(s, s.neg(s.min(x, zero))));
            let y = s.select(s.lt(zero, x), x, below);
            s.store_partial(&mut self.y[i..], y);
        }
    }
}

struct EluBackward<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for EluBackward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [zero, one] = [0.0, 1.0].map(|number| s.splat(number));
        for i in (0..self.dx.len()).step_by(S::LANES) {
            let x = s.load_partial(&self.x[i..]);
            let slope = s.sub(one, one_minus_exp_neg(s, s.neg(s.min(x, zero))));
            let dx = s.mul(s.load_partial(&self.dy[i..]), slope);
            s.store_partial(&mut self.dx[i..], dx);
        }
    }
}
