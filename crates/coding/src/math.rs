//! Functions of real numbers that give the same bits on every machine.
//!
//! Only sums, products and quotients of `f64`, which IEEE 754 fixes to the last bit, and no
//! branches, so that loops over them become vectors.

use std::f64::consts::LOG2_E;

/// Largest exponent; `exp` is constant beyond.
const MOST: f64 = 708.0;
/// Adding it rounds to an integer, which then stands in the lowest bits.
const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
/// ln 2 in two parts, the first with so few bits that its multiples are exact.
const LN_2: [f64; 2] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];

/// `e^x` to 1e-15 of its value, for |x| up to 708; constant beyond, NaN for NaN.
#[inline]
pub(crate) fn exp(x: f64) -> f64 {
    let x = if x > MOST { MOST } else { x };
    let x = if x < -MOST { -MOST } else { x };
    let rounded = x * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    // The power series up to r^12 / 12!; |r| is at most ln 2 / 2.
    let mut sum = 1.0;
    for divisor in (1..=12).rev() {
        sum = 1.0 + sum * r * INVERSE[divisor];
    }
    sum * f64::from_bits((rounded.to_bits() << 52).wrapping_add(1.0_f64.to_bits()))
}

/// One over 0 to 12; the first is not used.
const INVERSE: [f64; 13] = {
    let mut inverse = [0.0; 13];
    let mut i = 1;
    while i < inverse.len() {
        inverse[i] = 1.0 / i as f64;
        i += 1;
    }
    inverse
};

/// `1 / (1 + e^-x)`.
#[inline]
pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, to 1e-15.
#[inline]
pub(crate) fn tanh(x: f64) -> f64 {
    1.0 - 2.0 / (1.0 + exp(2.0 * x))
}

/// `1 - e^-x` for `x >= 0`, to 1e-12 of its value.
#[inline]
pub(crate) fn one_minus_exp_neg(x: f64) -> f64 {
    let small = x * (1.0 - x / 2.0 * (1.0 - x / 3.0 * (1.0 - x / 4.0)));
    let large = 1.0 - exp(-x);
    if x < 1e-3 { small } else { large }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64, tolerance: f64) {
        let error = (got - expected).abs();
        assert!(error <= tolerance * expected.abs(), "{got} {expected}");
    }

    #[test]
    fn agree_with_a_library() {
        for i in -70_000..=70_000 {
            let x = f64::from(i) * 0.0101;
            close(exp(x), libm::exp(x), 1e-15);
            close(sigmoid(x), 1.0 / (1.0 + libm::exp(-x)), 1e-15);
            assert!((tanh(x) - libm::tanh(x)).abs() < 1e-15);
        }
        for i in 0..200 {
            let x = libm::exp(f64::from(i) * 0.2 - 36.0);
            close(one_minus_exp_neg(x), -libm::expm1(-x), 1e-12);
        }
    }

    #[test]
    fn ends() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(sigmoid(f64::INFINITY), 1.0);
        assert!(sigmoid(f64::NEG_INFINITY) < 1e-300);
        assert!(exp(1e300).is_finite() && exp(-1e300) > 0.0);
        assert!(exp(f64::NAN).is_nan());
        assert_eq!((tanh(1e9), tanh(-1e9)), (1.0, -1.0));
    }

    /// The last bits are part of the format: an archive is read on other machines.
    #[test]
    fn bits_are_fixed() {
        let hash = (0..4000).fold(0_u64, |hash, i| {
            let x = f64::from(i - 2000) * 0.173;
            hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ exp(x).to_bits() ^ tanh(x * 0.01).to_bits()
        });
        assert_eq!(hash, 0x6fae_40bc_d740_3473);
    }
}
