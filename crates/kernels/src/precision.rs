//! What numbers are multiplied as.
//!
//! Sixteen-bit numbers come in pairs, a pair in each 32-bit element of a buffer: the first number
//! in the low half. A buffer of pairs is a `[f32]` whose elements are never used as numbers, so
//! that everything that only moves elements works for both precisions. Rows of odd length end
//! with a pair whose second number is 0.

use crate::simd::Simd;

/// What the operands of multiplications are rounded to. Inputs, outputs, weights, gradients and
/// all sums are single precision in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Single precision.
    #[default]
    Fp32,
    /// Operands of convolutions are rounded to bfloat16 (to nearest, ties to even), except where
    /// [`crate::bottleneck::Bottleneck::precisions`] says otherwise, and so are the hidden activations kept for the backward pass. Processors with dot products of bfloat16
    /// take denormal operands and sums for 0.
    Bf16,
}

impl Precision {
    /// 32-bit elements that a row of so many numbers takes.
    #[inline(always)]
    pub(crate) fn elements(self, numbers: usize) -> usize {
        match self {
            Precision::Fp32 => numbers,
            Precision::Bf16 => numbers.div_ceil(2),
        }
    }
}

/// How two elements are multiplied and added to a sum.
pub(crate) trait Arithmetic {
    /// `sum + a * b`, for pairs over both numbers.
    fn multiply_add<S: Simd>(s: S, a: S::F, b: S::F, sum: S::F) -> S::F;
}

/// Elements are numbers.
pub(crate) struct Single;

/// Elements are pairs of bfloat16.
pub(crate) struct Pairs;

impl Arithmetic for Single {
    #[inline(always)]
    fn multiply_add<S: Simd>(s: S, a: S::F, b: S::F, sum: S::F) -> S::F {
        s.fma(a, b, sum)
    }
}

impl Arithmetic for Pairs {
    #[inline(always)]
    fn multiply_add<S: Simd>(s: S, a: S::F, b: S::F, sum: S::F) -> S::F {
        s.dot_pairs(a, b, sum)
    }
}
