//! Pairs of bfloat16 where the processor has no instructions for them: what the methods of the
//! same names in [`Simd`] do by themselves.

use crate::simd::Simd;

/// The low half of a lane.
const LOW: i32 = 0xffff;

/// Each number rounded to bfloat16 (nearest, ties to even; NaN stays NaN) in the high half of its
/// lane; the low half is anything.
#[inline(always)]
fn round_high<S: Simd>(s: S, a: S::F) -> S::I {
    let bits = s.to_bits(a);
    let odd = s.and_i(s.shr_i::<16>(bits), s.splat_i(1));
    let rounded = s.add_i(bits, s.add_i(odd, s.splat_i(0x7fff)));
    let quiet = s.or_i(bits, s.splat_i(0x0040_0000));
    let (rounded, quiet) = (s.from_bits(rounded), s.from_bits(quiet));
    s.to_bits(s.select(s.eq(a, a), rounded, quiet))
}

/// [`Simd::join_pairs`].
#[inline(always)]
pub(crate) fn join_pairs<S: Simd>(s: S, a: S::F, b: S::F) -> S::F {
    let low = s.and_i(s.shr_i::<16>(round_high(s, a)), s.splat_i(LOW));
    let high = s.and_i(round_high(s, b), s.splat_i(!LOW));
    s.from_bits(s.or_i(low, high))
}

/// [`Simd::round_pairs`].
#[inline(always)]
pub(crate) fn round_pairs<S: Simd>(s: S, a: S::F, b: S::F) -> S::F {
    let [even, odd] = s.deinterleave(a, b);
    s.join_pairs(even, odd)
}

/// The first numbers of the pairs, and the second ones.
#[inline(always)]
fn split<S: Simd>(s: S, a: S::F) -> [S::F; 2] {
    let bits = s.to_bits(a);
    [
        s.from_bits(s.shl_i::<16>(bits)),
        s.from_bits(s.and_i(bits, s.splat_i(!LOW))),
    ]
}

/// [`Simd::widen_pairs`].
#[inline(always)]
pub(crate) fn widen_pairs<S: Simd>(s: S, a: S::F) -> [S::F; 2] {
    let [first, second] = split(s, a);
    s.interleave(first, second)
}

/// [`Simd::zip_pairs`].
#[inline(always)]
pub(crate) fn zip_pairs<S: Simd>(s: S, a: S::F, b: S::F) -> [S::F; 2] {
    let (a, b) = (s.to_bits(a), s.to_bits(b));
    let first = s.or_i(s.and_i(a, s.splat_i(LOW)), s.shl_i::<16>(b));
    let second = s.and_i(s.shr_i::<16>(a), s.splat_i(LOW));
    let second = s.or_i(second, s.and_i(b, s.splat_i(!LOW)));
    s.interleave(s.from_bits(first), s.from_bits(second))
}

/// [`Simd::dot_pairs`].
#[inline(always)]
pub(crate) fn dot_pairs<S: Simd>(s: S, a: S::F, b: S::F, sum: S::F) -> S::F {
    let ([a0, a1], [b0, b1]) = (split(s, a), split(s, b));
    s.fma(a0, b0, s.fma(a1, b1, sum))
}
