//! The exact gelu, `x * Phi(x)` with the normal distribution function Phi, and its slope.
//!
//! Where a vector of table entries is as cheap as an addition (AVX-512), polynomials on sixteen
//! intervals, see [`tables`]. Elsewhere `1/2 + x P(x^2) / Q(x^2)` up to the factor `x`: Phi and
//! the slope `Phi(x) + x phi(x)` minus a half are odd functions that reach +-1/2 near
//! |x| = 5.6. All coefficients are fits made for this crate, 1e-8 to 6e-8 from the exact
//! functions, so that rounding (about 1e-7) is most of what remains.

mod tables;

use crate::simd::Simd;
use tables::{GELU, SLOPE, WIDTH};

/// Phi is 0 or 1 to single precision beyond this.
const PHI_LIMIT: f32 = 5.6;
/// Numerator of `(Phi(x) - 1/2) / x` in powers of `x^2`.
const PHI_P: [f32; 6] = [
    0.398_942_221_842_499_2,
    0.034_375_876_816_979_095,
    0.004_707_219_692_143_085,
    0.000_173_844_592_950_914_1,
    6.356_138_661_292_085e-6,
    2.214_333_844_025_314_7e-8,
];
/// Its denominator.
const PHI_Q: [f32; 6] = [
    1.0,
    0.252_833_260_794_696_8,
    0.028_939_888_671_622_477,
    0.001_912_946_296_529_617_3,
    7.509_807_000_568_078e-5,
    1.180_124_828_958_372e-6,
];
/// The slope is 0 or 1 to single precision beyond this.
const SLOPE_LIMIT: f32 = 5.8;
/// Numerator of `(gelu'(x) - 1/2) / x` in powers of `x^2`.
const SLOPE_P: [f32; 8] = [
    0.797_884_713_908_487_4,
    -0.043_712_409_533_007_81,
    0.014_608_587_710_189_59,
    -0.000_183_994_104_434_522_03,
    3.267_145_728_463_19e-5,
    -1.596_242_112_430_067_4e-7,
    3.397_617_249_125_1e-9,
    -1.893_984_079_658_349_8e-11,
];
/// Its denominator.
const SLOPE_Q: [f32; 6] = [
    1.0,
    0.278_549_628_740_300_26,
    0.036_154_800_916_110_62,
    0.002_839_435_257_679_879,
    0.000_141_909_730_036_192_2,
    4.957_815_485_927_291e-6,
];

/// `c[0] + c[1] u + c[2] u^2 + ...`
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, u: S::F, c: &[f32; N]) -> S::F {
    let mut sum = s.splat(c[N - 1]);
    for i in (0..N - 1).rev() {
        sum = s.fma(sum, u, s.splat(c[i]));
    }
    sum
}

/// `1/2 + x P(x^2) / Q(x^2)` with `x` limited to +-`limit`; NaN stays NaN.
#[inline(always)]
fn sigmoid<S: Simd, const N: usize>(s: S, x: S::F, limit: f32, p: &[f32; N], q: &[f32; 6]) -> S::F {
    let x = s.max(s.splat(-limit), s.min(s.splat(limit), x));
    let u = s.mul(x, x);
    let odd = s.div(s.mul(x, polynomial(s, u, p)), polynomial(s, u, q));
    s.add(odd, s.splat(0.5))
}

/// The polynomial of the interval that `|x|` is in.
#[inline(always)]
fn piecewise<S: Simd>(s: S, x: S::F, table: &[[f32; 16]; 6]) -> S::F {
    // Adding 1.5 * 2^23 rounds to an integer, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let per_width = s.splat(1.0 / WIDTH);
    let a = s.min(s.splat(15.0 * WIDTH), s.abs(x));
    let rounded = s.fma(a, per_width, s.splat(ROUND));
    let interval = s.to_bits(rounded);
    let t = s.fms(a, per_width, s.sub(rounded, s.splat(ROUND)));
    let mut sum = s.lookup(&table[5], interval);
    for coefficients in table[..5].iter().rev() {
        sum = s.fma(sum, t, s.lookup(coefficients, interval));
    }
    sum
}

/// gelu(x), within 2e-7 * max(1, |x|).
#[inline(always)]
pub fn gelu<S: Simd>(s: S, x: S::F) -> S::F {
    if S::FAST_LOOKUP {
        s.add(s.max(s.splat(0.0), x), piecewise(s, x, &GELU))
    } else {
        s.mul(x, sigmoid(s, x, PHI_LIMIT, &PHI_P, &PHI_Q))
    }
}

/// The derivative of gelu at x, within 3e-7.
#[inline(always)]
pub fn slope<S: Simd>(s: S, x: S::F) -> S::F {
    if S::FAST_LOOKUP {
        let negative = piecewise(s, x, &SLOPE);
        let positive = s.sub(s.splat(1.0), negative);
        s.select(s.lt(x, s.splat(0.0)), negative, positive)
    } else {
        sigmoid(s, x, SLOPE_LIMIT, &SLOPE_P, &SLOPE_Q)
    }
}
