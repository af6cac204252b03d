//! The vector operations that kernels are written in.
//!
//! A kernel is generic over [`Simd`] and marked `#[inline(always)]` all the way down, so that
//! [`crate::detect::dispatch`] compiles it once per instruction set. A value of a [`Simd`] type
//! is the proof that the processor has the instructions: that is why arithmetic is safe and
//! only loads and stores through pointers are not.
//!
//! Closures are not inlined with their caller's instruction set: keep them out of kernels.

use crate::bf16;

pub(crate) mod sealed {
    /// Keeps others from implementing [`super::Simd`].
    pub trait Sealed {}
}

/// A set of vector instructions on `LANES` single-precision numbers at a time.
///
/// Only this crate implements it: its unsafe code relies on `LANES` being a power of two of at
/// most 16, and on loads and stores touching no other memory.
pub trait Simd: sealed::Sealed + Copy + Send + Sync + 'static {
    /// A vector of `LANES` f32.
    type F: Copy;
    /// A vector of `LANES` i32.
    type I: Copy;
    /// One truth value per lane.
    type M: Copy;
    /// Numbers in a vector.
    const LANES: usize;
    /// Vectors that the processor holds in registers: 8, 16 or 32.
    const REGISTERS: usize;

    /// Whether [`Simd::lookup`] costs no more than an addition.
    const FAST_LOOKUP: bool = false;

    /// All lanes `a`.
    fn splat(self, a: f32) -> Self::F;
    /// Loads `LANES` numbers.
    ///
    /// # Safety
    /// `from` must be readable for `LANES` f32; it need not be aligned.
    unsafe fn load_ptr(self, from: *const f32) -> Self::F;
    /// Stores `LANES` numbers.
    ///
    /// # Safety
    /// `to` must be writable for `LANES` f32; it need not be aligned.
    unsafe fn store_ptr(self, to: *mut f32, a: Self::F);
    /// Loads the first `count` numbers, the other lanes are 0.
    ///
    /// # Safety
    /// `from` must be readable for `count` f32, `count <= LANES`.
    unsafe fn load_ptr_partial(self, from: *const f32, count: usize) -> Self::F;
    /// Stores the first `count` lanes.
    ///
    /// # Safety
    /// `to` must be writable for `count` f32, `count <= LANES`.
    unsafe fn store_ptr_partial(self, to: *mut f32, a: Self::F, count: usize);

    /// Loads `LANES` bfloat16.
    ///
    /// # Safety
    /// `from` must be readable for `LANES` u16; it need not be aligned.
    unsafe fn load_bf16_ptr(self, from: *const u16) -> Self::F;

    /// Asks for the cache line of numbers that will be used soon; the pointer may be any.
    #[inline(always)]
    fn prefetch(self, _: *const f32) {}

    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// Square root.
    fn sqrt(self, a: Self::F) -> Self::F;
    /// `a * b + c`, fused where the processor can.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c - a * b`, fused where the processor can.
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `if a > b { a } else { b }`: `b` where either is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `if a < b { a } else { b }`: `b` where either is NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a < b`, false where either is NaN.
    fn lt(self, a: Self::F, b: Self::F) -> Self::M;
    /// `a == b`, false where either is NaN.
    fn eq(self, a: Self::F, b: Self::F) -> Self::M;
    /// `if mask { a } else { b }`.
    fn select(self, mask: Self::M, a: Self::F, b: Self::F) -> Self::F;

    /// All lanes `a`.
    fn splat_i(self, a: i32) -> Self::I;
    /// `a + b`, wrapping.
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - b`, wrapping.
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise and.
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise or.
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise exclusive or.
    fn xor_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Shift left by `N`.
    fn shl_i<const N: u32>(self, a: Self::I) -> Self::I;
    /// Arithmetic shift right by `N` (keeps the sign).
    fn shr_i<const N: u32>(self, a: Self::I) -> Self::I;
    /// The bits of each number.
    fn to_bits(self, a: Self::F) -> Self::I;
    /// The numbers with these bits.
    #[allow(clippy::wrong_self_convention)]
    fn from_bits(self, a: Self::I) -> Self::F;
    /// Nearest integer, ties to even; any value outside of i32 or for NaN.
    fn round_to_int(self, a: Self::F) -> Self::I;
    /// Integers as numbers, rounded to nearest.
    fn to_float(self, a: Self::I) -> Self::F;

    /// `table[i]`, of each `index` only the lowest four bits.
    #[inline(always)]
    fn lookup(self, table: &[f32; 16], index: Self::I) -> Self::F {
        let mut lanes = [0.0_f32; 16];
        let mut places = [0.0_f32; 16];
        // SAFETY: no instruction set here has more than 16 lanes.
        unsafe { self.store_ptr(places.as_mut_ptr(), self.from_bits(index)) };
        for (lane, place) in lanes.iter_mut().zip(places) {
            *lane = table[(place.to_bits() & 15) as usize];
        }
        self.load(&lanes)
    }
    /// `[a0, b0, a1, b1, ...]`: the first and the second `LANES` of these.
    fn interleave(self, a: Self::F, b: Self::F) -> [Self::F; 2];
    /// The inverse of [`Simd::interleave`]: the numbers at even and those at odd places of `a`
    /// followed by `b`.
    #[inline(always)]
    fn deinterleave(self, a: Self::F, b: Self::F) -> [Self::F; 2] {
        // Interleaving moves the bits of each place round by one.
        let mut result = [a, b];
        let mut width = Self::LANES;
        while width > 1 {
            result = self.interleave(result[0], result[1]);
            width /= 2;
        }
        result
    }

    /// Pairs of bfloat16 of the lanes of `a` and `b`, `a` in the low halves. Rounded to nearest,
    /// ties to even; NaN stays NaN; denormal numbers may become 0.
    #[inline(always)]
    fn join_pairs(self, a: Self::F, b: Self::F) -> Self::F {
        bf16::join_pairs(self, a, b)
    }
    /// Pairs of bfloat16 of neighbours in `a` followed by `b`, rounded as by
    /// [`Simd::join_pairs`].
    #[inline(always)]
    fn round_pairs(self, a: Self::F, b: Self::F) -> Self::F {
        bf16::round_pairs(self, a, b)
    }
    /// The numbers of the pairs in their order: the inverse of [`Simd::round_pairs`].
    #[inline(always)]
    fn widen_pairs(self, a: Self::F) -> [Self::F; 2] {
        bf16::widen_pairs(self, a)
    }
    /// Pairs `(a, b)` of the numbers that `a` and `b` hold in pairs: the first and the second
    /// `LANES` of these.
    #[inline(always)]
    fn zip_pairs(self, a: Self::F, b: Self::F) -> [Self::F; 2] {
        bf16::zip_pairs(self, a, b)
    }
    /// `sum + a.0 * b.0 + a.1 * b.1` of pairs of bfloat16, rounded in an order of the
    /// instruction set's own; denormal numbers may count as 0.
    #[inline(always)]
    fn dot_pairs(self, a: Self::F, b: Self::F, sum: Self::F) -> Self::F {
        bf16::dot_pairs(self, a, b, sum)
    }

    /// `a * b - c`, fused where the processor can.
    #[inline(always)]
    fn fms(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        self.neg(self.fnma(a, b, c))
    }
    /// `-a`.
    #[inline(always)]
    fn neg(self, a: Self::F) -> Self::F {
        self.from_bits(self.xor_i(self.to_bits(a), self.splat_i(i32::MIN)))
    }
    /// `|a|`.
    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        self.from_bits(self.and_i(self.to_bits(a), self.splat_i(i32::MAX)))
    }
    /// Loads the first `LANES` numbers of a slice; panics if there are fewer.
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::F {
        assert!(from.len() >= Self::LANES);
        // SAFETY: the slice is long enough.
        unsafe { self.load_ptr(from.as_ptr()) }
    }
    /// Stores to the first `LANES` places of a slice; panics if there are fewer.
    #[inline(always)]
    fn store(self, to: &mut [f32], a: Self::F) {
        assert!(to.len() >= Self::LANES);
        // SAFETY: the slice is long enough.
        unsafe { self.store_ptr(to.as_mut_ptr(), a) }
    }
    /// Loads up to `LANES` numbers from a slice; the lanes that it does not have are 0.
    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> Self::F {
        // Masked loads and stores are slow on some processors: only for the last vector.
        if from.len() >= Self::LANES {
            return self.load(from);
        }
        // SAFETY: the count is that of the slice.
        unsafe { self.load_ptr_partial(from.as_ptr(), from.len()) }
    }
    /// Stores as many lanes as the slice has places for.
    #[inline(always)]
    fn store_partial(self, to: &mut [f32], a: Self::F) {
        if to.len() >= Self::LANES {
            return self.store(to, a);
        }
        // SAFETY: the count is that of the slice.
        unsafe { self.store_ptr_partial(to.as_mut_ptr(), a, to.len()) }
    }
    /// Sum of the lanes, pairwise: lane i with lane i + LANES/2, and so on.
    #[inline(always)]
    fn sum(self, a: Self::F) -> f32 {
        let mut lanes = [0.0_f32; 16];
        // SAFETY: no instruction set here has more than 16 lanes.
        unsafe { self.store_ptr(lanes.as_mut_ptr(), a) };
        let mut width = Self::LANES / 2;
        while width > 0 {
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
            width /= 2;
        }
        lanes[0]
    }
}
