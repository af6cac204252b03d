//! AVX-512 (F): sixteen numbers a vector, masks in mask registers; with or without dot products
//! of bfloat16.

use crate::bf16;
use crate::simd::{Simd, sealed::Sealed};
use std::arch::x86_64::*;
use std::mem::transmute;

/// AVX-512 vectors of sixteen numbers; single-precision results are the same bits for either
/// `BF16`.
#[derive(Clone, Copy, Debug)]
pub struct Avx512<const BF16: bool>(());

impl<const BF16: bool> Avx512<BF16> {
    /// The proof that the processor has these instructions.
    ///
    /// # Safety
    /// The processor must have `avx512f`, for `BF16` also `avx512bw` and `avx512bf16`.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        Self(())
    }
}

impl<const BF16: bool> Sealed for Avx512<BF16> {}

// SAFETY of every block below: a value of this type exists only where the instructions do
// (see `new`); what pointers must hold is promised by the callers.
impl<const BF16: bool> Simd for Avx512<BF16> {
    type F = __m512;
    type I = __m512i;
    type M = __mmask16;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    const FAST_LOOKUP: bool = true;

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    fn lookup(self, table: &[f32; 16], index: Self::I) -> Self::F {
        unsafe { _mm512_permutexvar_ps(index, _mm512_loadu_ps(table.as_ptr())) }
    }
    #[inline(always)]
    fn interleave(self, a: Self::F, b: Self::F) -> [Self::F; 2] {
        // Bit 4 of an index says `b`.
        const LOW: [i32; 16] = [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23];
        const HIGH: [i32; 16] = [8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31];
        unsafe {
            let low = _mm512_loadu_si512(LOW.as_ptr().cast());
            let high = _mm512_loadu_si512(HIGH.as_ptr().cast());
            [
                _mm512_permutex2var_ps(a, low, b),
                _mm512_permutex2var_ps(a, high, b),
            ]
        }
    }
    #[inline(always)]
    fn deinterleave(self, a: Self::F, b: Self::F) -> [Self::F; 2] {
        // Bit 4 of an index says `b`.
        const EVEN: [i32; 16] = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30];
        const ODD: [i32; 16] = [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31];
        unsafe {
            let even = _mm512_loadu_si512(EVEN.as_ptr().cast());
            let odd = _mm512_loadu_si512(ODD.as_ptr().cast());
            [
                _mm512_permutex2var_ps(a, even, b),
                _mm512_permutex2var_ps(a, odd, b),
            ]
        }
    }
    #[inline(always)]
    fn round_pairs(self, a: Self::F, b: Self::F) -> Self::F {
        if BF16 {
            return unsafe { transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(b, a)) };
        }
        bf16::round_pairs(self, a, b)
    }
    #[inline(always)]
    fn join_pairs(self, a: Self::F, b: Self::F) -> Self::F {
        /// Number `i` of the first half, then of the second, for all `i`.
        const ZIP: [i16; 32] = zip(0, 16);
        if BF16 {
            return unsafe {
                let halves = transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a));
                let zip = _mm512_loadu_si512(ZIP.as_ptr().cast());
                _mm512_castsi512_ps(_mm512_permutexvar_epi16(zip, halves))
            };
        }
        bf16::join_pairs(self, a, b)
    }
    #[inline(always)]
    fn zip_pairs(self, a: Self::F, b: Self::F) -> [Self::F; 2] {
        /// Bit 5 of an index says `b`.
        const LOW: [i16; 32] = zip(0, 32);
        const HIGH: [i16; 32] = zip(16, 48);
        if BF16 {
            let (a, b) = (self.to_bits(a), self.to_bits(b));
            return unsafe {
                let low = _mm512_loadu_si512(LOW.as_ptr().cast());
                let high = _mm512_loadu_si512(HIGH.as_ptr().cast());
                [
                    _mm512_castsi512_ps(_mm512_permutex2var_epi16(a, low, b)),
                    _mm512_castsi512_ps(_mm512_permutex2var_epi16(a, high, b)),
                ]
            };
        }
        bf16::zip_pairs(self, a, b)
    }
    #[inline(always)]
    fn dot_pairs(self, a: Self::F, b: Self::F, sum: Self::F) -> Self::F {
        if BF16 {
            return unsafe {
                let a = transmute::<__m512, __m512bh>(a);
                _mm512_dpbf16_ps(sum, a, transmute::<__m512, __m512bh>(b))
            };
        }
        bf16::dot_pairs(self, a, b, sum)
    }
    #[inline(always)]
    fn fms(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { _mm512_fmsub_ps(a, b, c) }
    }

    #[inline(always)]
    fn splat(self, a: f32) -> Self::F {
        unsafe { _mm512_set1_ps(a) }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> Self::F {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, a: Self::F) {
        unsafe { _mm512_storeu_ps(to, a) }
    }
    #[inline(always)]
    unsafe fn load_bf16_ptr(self, from: *const u16) -> Self::F {
        unsafe {
            let high = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(high))
        }
    }
    #[inline(always)]
    unsafe fn load_ptr_partial(self, from: *const f32, count: usize) -> Self::F {
        unsafe { _mm512_maskz_loadu_ps(first(count), from) }
    }
    #[inline(always)]
    unsafe fn store_ptr_partial(self, to: *mut f32, a: Self::F, count: usize) {
        unsafe { _mm512_mask_storeu_ps(to, first(count), a) }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F) -> Self::F {
        unsafe { _mm512_sqrt_ps(a) }
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn lt(self, a: Self::F, b: Self::F) -> Self::M {
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
    }
    #[inline(always)]
    fn eq(self, a: Self::F, b: Self::F) -> Self::M {
        unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
    }
    #[inline(always)]
    fn select(self, mask: Self::M, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_mask_blend_ps(mask, b, a) }
    }
    #[inline(always)]
    fn splat_i(self, a: i32) -> Self::I {
        unsafe { _mm512_set1_epi32(a) }
    }
    #[inline(always)]
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { _mm512_add_epi32(a, b) }
    }
    #[inline(always)]
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { _mm512_sub_epi32(a, b) }
    }
    #[inline(always)]
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { _mm512_and_si512(a, b) }
    }
    #[inline(always)]
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { _mm512_or_si512(a, b) }
    }
    #[inline(always)]
    fn xor_i(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { _mm512_xor_si512(a, b) }
    }
    #[inline(always)]
    fn shl_i<const N: u32>(self, a: Self::I) -> Self::I {
        unsafe { _mm512_sll_epi32(a, _mm_cvtsi32_si128(N as i32)) }
    }
    #[inline(always)]
    fn shr_i<const N: u32>(self, a: Self::I) -> Self::I {
        unsafe { _mm512_sra_epi32(a, _mm_cvtsi32_si128(N as i32)) }
    }
    #[inline(always)]
    fn to_bits(self, a: Self::F) -> Self::I {
        unsafe { _mm512_castps_si512(a) }
    }
    #[inline(always)]
    fn from_bits(self, a: Self::I) -> Self::F {
        unsafe { _mm512_castsi512_ps(a) }
    }
    #[inline(always)]
    fn round_to_int(self, a: Self::F) -> Self::I {
        unsafe { _mm512_cvtps_epi32(a) }
    }
    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        unsafe { _mm512_cvtepi32_ps(a) }
    }
}

/// The first `count` lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1_u32 << count) - 1) as __mmask16
}

/// `[a, b, a + 1, b + 1, ...]`
const fn zip(a: i16, b: i16) -> [i16; 32] {
    let mut indices = [0; 32];
    let mut i = 0;
    while i < 16 {
        indices[2 * i] = a + i as i16;
        indices[2 * i + 1] = b + i as i16;
        i += 1;
    }
    indices
}
