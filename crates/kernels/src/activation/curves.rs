//! The functions themselves, and their slopes.

use super::Activation;
use crate::gelu::{gelu, gelu_and_slope};
use crate::math::{one_minus_exp_neg, swish, swish_and_slope};
use crate::simd::Simd;

/// The activation of a pixel, and of the negative number where that is wanted too.
#[inline(always)]
pub(super) fn values<S: Simd>(s: S, activation: Activation, x: S::F) -> [S::F; 2] {
    let zero = s.splat(0.0);
    match activation {
        Activation::None => [x, zero],
        Activation::Relu => [s.max(zero, x), zero],
        Activation::Gelu => [gelu(s, x), zero],
        Activation::Swish => [swish(s, x), zero],
        Activation::Elu => {
            let below = s.neg(one_minus_exp_neg(s, s.neg(s.min(x, zero))));
            [s.select(s.lt(zero, x), x, below), zero]
        }
        Activation::ConcatElu => {
            let below = s.neg(one_minus_exp_neg(s, s.abs(x)));
            [
                s.select(s.lt(zero, x), x, below),
                s.select(s.lt(x, zero), s.neg(x), below),
            ]
        }
    }
}

/// The derivatives of [`values`].
#[inline(always)]
pub(super) fn slopes<S: Simd>(s: S, activation: Activation, x: S::F) -> [S::F; 2] {
    let [zero, one] = [0.0, 1.0].map(|number| s.splat(number));
    match activation {
        Activation::None => [one, zero],
        Activation::Relu => [s.select(s.lt(zero, x), one, zero), zero],
        Activation::Gelu => [gelu_and_slope(s, x).1, zero],
        Activation::Swish => [swish_and_slope(s, x).1, zero],
        Activation::Elu => {
            let below = one_minus_exp_neg(s, s.neg(s.min(x, zero)));
            [s.sub(one, below), zero]
        }
        Activation::ConcatElu => {
            let below = s.sub(one, one_minus_exp_neg(s, s.abs(x)));
            [
                s.select(s.lt(zero, x), one, below),
                s.neg(s.select(s.lt(x, zero), one, below)),
            ]
        }
    }
}
