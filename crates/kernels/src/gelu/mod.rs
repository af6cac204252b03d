//! The exact gelu, `x * Phi(x)` with the normal distribution function Phi, and its slope.
//!
//! Where a vector of table entries is as cheap as an addition (AVX-512), polynomials on sixteen
//! intervals, see `tables.rs`. Elsewhere `1/2 + x P(x^2) / Q(x^2)` up to the factor `x`: Phi and
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
    3.9894223e-1,
    3.4375876e-2,
    4.7072195e-3,
    1.7384459e-4,
    6.356139e-6,
    2.2143338e-8,
];
/// Its denominator.
const PHI_Q: [f32; 6] = [
    1.0,
    2.5283325e-1,
    2.8939888e-2,
    1.9129463e-3,
    7.509807e-5,
    1.1801249e-6,
];
/// The slope is 0 or 1 to single precision beyond this.
const SLOPE_LIMIT: f32 = 5.8;
/// Numerator of `(gelu'(x) - 1/2) / x` in powers of `x^2`.
const SLOPE_P: [f32; 8] = [
    7.978847e-1,
    -4.371241e-2,
    1.4608588e-2,
    -1.8399411e-4,
    3.2671458e-5,
    -1.5962421e-7,
    3.3976173e-9,
    -1.8939841e-11,
];
/// Its denominator.
const SLOPE_Q: [f32; 6] = [
    1.0,
    2.7854964e-1,
    3.61548e-2,
    2.8394354e-3,
    1.4190972e-4,
    4.9578157e-6,
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

/// Where `|x|` lies: its interval, in the lowest four bits, and the polynomial's variable.
#[inline(always)]
fn interval<S: Simd>(s: S, x: S::F) -> (S::I, S::F) {
    // Adding 1.5 * 2^23 rounds to an integer, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let per_width = s.splat(1.0 / WIDTH);
    let a = s.min(s.splat(15.0 * WIDTH), s.abs(x));
    let rounded = s.fma(a, per_width, s.splat(ROUND));
    let t = s.fms(a, per_width, s.sub(rounded, s.splat(ROUND)));
    (s.to_bits(rounded), t)
}

/// The polynomial of an interval.
#[inline(always)]
fn piecewise<S: Simd>(s: S, (interval, t): (S::I, S::F), table: &[[f32; 16]; 6]) -> S::F {
    let mut sum = s.lookup(&table[5], interval);
    for coefficients in table[..5].iter().rev() {
        sum = s.fma(sum, t, s.lookup(coefficients, interval));
    }
    sum
}

/// gelu(x), where lookups are fast and its [`interval`] is known.
#[inline(always)]
fn gelu_there<S: Simd>(s: S, x: S::F, place: (S::I, S::F)) -> S::F {
    s.add(s.max(s.splat(0.0), x), piecewise(s, place, &GELU))
}

/// The derivative likewise.
#[inline(always)]
fn slope_there<S: Simd>(s: S, x: S::F, place: (S::I, S::F)) -> S::F {
    let negative = piecewise(s, place, &SLOPE);
    let positive = s.sub(s.splat(1.0), negative);
    s.select(s.lt(x, s.splat(0.0)), negative, positive)
}

/// gelu(x), within 2e-7 * max(1, |x|).
#[inline(always)]
pub fn gelu<S: Simd>(s: S, x: S::F) -> S::F {
    if S::FAST_LOOKUP {
        gelu_there(s, x, interval(s, x))
    } else {
        s.mul(x, sigmoid(s, x, PHI_LIMIT, &PHI_P, &PHI_Q))
    }
}

/// The derivative of gelu at x, within 3e-7.
#[inline(always)]
pub fn slope<S: Simd>(s: S, x: S::F) -> S::F {
    if S::FAST_LOOKUP {
        slope_there(s, x, interval(s, x))
    } else {
        sigmoid(s, x, SLOPE_LIMIT, &SLOPE_P, &SLOPE_Q)
    }
}

/// Both, the same bits as one by one.
#[inline(always)]
pub fn gelu_and_slope<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    if S::FAST_LOOKUP {
        let place = interval(s, x);
        (gelu_there(s, x, place), slope_there(s, x, place))
    } else {
        (gelu(s, x), slope(s, x))
    }
}
