//! Elementary functions on vectors, within a few units in the last place of f32.
//!
//! Every function takes the instruction set as its first argument and is inlined into the
//! kernel that calls it. NaN stays NaN. The polynomials are minimax fits (Remez) of the stated
//! relative error, made for this crate.

use crate::simd::Simd;

/// ln 2 in two parts: `n * LN2_HIGH` is exact for every exponent `n` of an f32.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Adding and subtracting 1.5 * 2^23 rounds to an integer, left in the low bits.
const ROUNDING: f32 = 12_582_912.0;

/// `P` in `e^r = 1 + r + r^2 P(r)`, |r| <= ln(2)/2; error 4e-9.
const EXP: [f32; 5] = [
    0.5,
    0.166_665_13,
    0.041_666_187,
    0.008_369_598,
    0.001_395_170_3,
];

/// `P` in `ln(1+f) = f - f^2/2 + f^3 P(f)`, 1/sqrt(2) <= 1 + f <= sqrt(2); error 7e-9.
const LN: [f32; 8] = [
    0.333_333_16,
    -0.250_008_5,
    0.200_023_87,
    -0.166_231_16,
    0.141_780_8,
    -0.131_409_67,
    0.129_087_07,
    -0.078_578_92,
];

/// `c[0] + c[1] x + c[2] x^2 ...`
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, c: &[f32; N], x: S::F) -> S::F {
    let mut sum = s.splat(c[N - 1]);
    for i in (0..N - 1).rev() {
        sum = s.fma(sum, x, s.splat(c[i]));
    }
    sum
}

/// For `x = n ln 2 + r`, |n| < 2^21: `n` as an integer, and `e^r - 1`.
#[inline(always)]
fn split_exp<S: Simd>(s: S, x: S::F) -> (S::I, S::F) {
    let rounding = s.splat(ROUNDING);
    let shifted = s.fma(x, s.splat(std::f32::consts::LOG2_E), rounding);
    let n = s.sub(shifted, rounding);
    let r = s.fnma(n, s.splat(LN2_HIGH), x);
    let r = s.fnma(n, s.splat(LN2_LOW), r);
    let n = s.sub_i(s.to_bits(shifted), s.splat_i(ROUNDING.to_bits() as i32));
    (n, s.fma(s.mul(r, r), polynomial(s, &EXP, r), r))
}

/// `2^n` for -127 < n < 128.
#[inline(always)]
fn power_of_two<S: Simd>(s: S, n: S::I) -> S::F {
    s.from_bits(s.shl_i::<23>(s.add_i(n, s.splat_i(127))))
}

/// `e^x`: 0 and infinity where f32 has nothing else, subnormal numbers in between.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    // The bounds are beyond under- and overflow; this order of arguments lets NaN through.
    let x = s.max(s.splat(-110.0), s.min(s.splat(100.0), x));
    let (n, rest) = split_exp(s, x);
    // 2^n may not be an f32, its two halves are.
    let half = s.shr_i::<1>(n);
    let y = s.mul(s.add(rest, s.splat(1.0)), power_of_two(s, half));
    s.mul(y, power_of_two(s, s.sub_i(n, half)))
}

/// `e^x` for x <= 0, of what is to be a share of a sum: 1e-38 where the true value is smaller.
#[inline(always)]
pub(crate) fn exp_share<S: Simd>(s: S, x: S::F) -> S::F {
    // Within this bound one power of two suffices; this order of arguments lets NaN through.
    let (n, rest) = split_exp(s, s.max(s.splat(-87.0), x));
    let scale = power_of_two(s, n);
    s.fma(rest, scale, scale)
}

/// `1 - e^-x` for x >= 0, exact to relative accuracy near 0.
#[inline(always)]
pub fn one_minus_exp_neg<S: Simd>(s: S, x: S::F) -> S::F {
    // Beyond 40 the result is 1 anyway.
    let (n, rest) = split_exp(s, s.max(s.splat(-40.0), s.neg(x)));
    let scale = power_of_two(s, n);
    s.sub(s.sub(s.splat(1.0), scale), s.mul(scale, rest))
}

/// `ln(2^n (1 + f))` for 1/sqrt(2) <= 1 + f <= sqrt(2).
#[inline(always)]
fn join_ln<S: Simd>(s: S, n: S::F, f: S::F) -> S::F {
    let f2 = s.mul(f, f);
    let y = s.mul(s.mul(f2, f), polynomial(s, &LN, f));
    let y = s.fma(n, s.splat(LN2_LOW), y);
    let y = s.fnma(f2, s.splat(0.5), y);
    s.fma(n, s.splat(LN2_HIGH), s.add(f, y))
}

/// `ln x`: -infinity at 0, NaN below, right for subnormal numbers.
#[inline(always)]
pub fn ln<S: Simd>(s: S, x: S::F) -> S::F {
    let zero = s.splat(0.0);
    let subnormal = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let normal = s.select(subnormal, s.mul(x, s.splat(8_388_608.0)), x);
    // The exponent of the number once its mantissa is in [1/sqrt(2), sqrt(2)).
    let least = std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32;
    let bits = s.to_bits(normal);
    let n = s.shr_i::<23>(s.sub_i(bits, s.splat_i(least)));
    let mantissa = s.from_bits(s.sub_i(bits, s.shl_i::<23>(n)));
    let n = s.sub(s.to_float(n), s.select(subnormal, s.splat(23.0), zero));
    let y = join_ln(s, n, s.sub(mantissa, s.splat(1.0)));
    let y = s.select(s.lt(x, s.splat(f32::INFINITY)), y, x);
    let pole = s.select(s.eq(x, zero), s.splat(f32::NEG_INFINITY), s.splat(f32::NAN));
    s.select(s.lt(zero, x), y, pole)
}

/// `ln(1 + x)` for 0 <= x <= 1, exact to relative accuracy near 0.
#[inline(always)]
pub fn ln_1p_unit<S: Simd>(s: S, x: S::F) -> S::F {
    // 1 + x = 2 (1 + (x - 1)/2) where that brings it below sqrt(2).
    let large = s.lt(s.splat(std::f32::consts::SQRT_2 - 1.0), x);
    let halved = s.fma(x, s.splat(0.5), s.splat(-0.5));
    let n = s.select(large, s.splat(1.0), s.splat(0.0));
    join_ln(s, n, s.select(large, halved, x))
}

/// `ln(1 + e^x)`.
#[inline(always)]
pub fn softplus<S: Simd>(s: S, x: S::F) -> S::F {
    let tail = ln_1p_unit(s, exp(s, s.neg(s.abs(x))));
    s.add(s.max(s.splat(0.0), x), tail)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let e = exp(s, s.neg(s.abs(x)));
    let upper = s.div(s.splat(1.0), s.add(s.splat(1.0), e));
    s.select(s.lt(x, s.splat(0.0)), s.mul(e, upper), upper)
}

/// Hyperbolic tangent, exact to relative accuracy near 0.
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let t = one_minus_exp_neg(s, s.mul(s.abs(x), s.splat(2.0)));
    let y = s.div(t, s.sub(s.splat(2.0), t));
    s.select(s.lt(x, s.splat(0.0)), s.neg(y), y)
}

/// `1 / (1 + e^-x)` of what activations are made of: 1e-38 where the true value is smaller.
#[inline(always)]
fn gate<S: Simd>(s: S, x: S::F) -> S::F {
    // Within these bounds one power of two suffices; this order of arguments lets NaN through.
    let x = s.max(s.splat(-87.0), s.min(s.splat(87.0), s.neg(x)));
    let (n, rest) = split_exp(s, x);
    let scale = power_of_two(s, n);
    let one = s.splat(1.0);
    s.div(one, s.add(one, s.fma(rest, scale, scale)))
}

/// `x / (1 + e^-x)`, also called SiLU.
#[inline(always)]
pub fn swish<S: Simd>(s: S, x: S::F) -> S::F {
    s.mul(x, gate(s, x))
}

/// The same bits, and the derivative.
#[inline(always)]
pub fn swish_and_slope<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let gate = gate(s, x);
    let swish = s.mul(x, gate);
    let rest = s.sub(s.splat(1.0), gate);
    (swish, s.fma(swish, rest, gate))
}
