//! NEON (Advanced SIMD of aarch64, which every such processor has): four numbers a vector, masks as
//! vectors of all-ones lanes.

use crate::simd::{Simd, sealed::Sealed};
use std::arch::aarch64::*;

/// NEON vectors of four numbers.
#[derive(Clone, Copy, Debug)]
pub struct Neon;

impl Sealed for Neon {}

// SAFETY of every block below: the instructions are part of the architecture; what pointers must
// hold is promised by the callers.
impl Simd for Neon {
    type F = float32x4_t;
    type I = int32x4_t;
    type M = uint32x4_t;
    const LANES: usize = 4;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn interleave(self, a: Self::F, b: Self::F) -> [Self::F; 2] {
        unsafe { [vzip1q_f32(a, b), vzip2q_f32(a, b)] }
    }
    #[inline(always)]
    fn deinterleave(self, a: Self::F, b: Self::F) -> [Self::F; 2] {
        unsafe { [vuzp1q_f32(a, b), vuzp2q_f32(a, b)] }
    }

    #[inline(always)]
    fn splat(self, a: f32) -> Self::F {
        unsafe { vdupq_n_f32(a) }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> Self::F {
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, a: Self::F) {
        unsafe { vst1q_f32(to, a) }
    }
    #[inline(always)]
    unsafe fn load_bf16_ptr(self, from: *const u16) -> Self::F {
        unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(from))) }
    }
    #[inline(always)]
    unsafe fn load_ptr_partial(self, from: *const f32, count: usize) -> Self::F {
        let mut lanes = [0.0; Self::LANES];
        unsafe {
            from.copy_to_nonoverlapping(lanes.as_mut_ptr(), count);
            vld1q_f32(lanes.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store_ptr_partial(self, to: *mut f32, a: Self::F, count: usize) {
        let mut lanes = [0.0; Self::LANES];
        unsafe {
            vst1q_f32(lanes.as_mut_ptr(), a);
            to.copy_from_nonoverlapping(lanes.as_ptr(), count);
        }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { vdivq_f32(a, b) }
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F) -> Self::F {
        unsafe { vsqrtq_f32(a) }
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { vfmsq_f32(c, a, b) }
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        // The instruction of this name gives NaN where either is NaN.
        unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { vbslq_f32(vcltq_f32(a, b), a, b) }
    }
    #[inline(always)]
    fn lt(self, a: Self::F, b: Self::F) -> Self::M {
        unsafe { vcltq_f32(a, b) }
    }
    #[inline(always)]
    fn eq(self, a: Self::F, b: Self::F) -> Self::M {
        unsafe { vceqq_f32(a, b) }
    }
    #[inline(always)]
    fn select(self, mask: Self::M, a: Self::F, b: Self::F) -> Self::F {
        unsafe { vbslq_f32(mask, a, b) }
    }
    #[inline(always)]
    fn splat_i(self, a: i32) -> Self::I {
        unsafe { vdupq_n_s32(a) }
    }
    #[inline(always)]
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { vaddq_s32(a, b) }
    }
    #[inline(always)]
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { vsubq_s32(a, b) }
    }
    #[inline(always)]
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { vandq_s32(a, b) }
    }
    #[inline(always)]
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { vorrq_s32(a, b) }
    }
    #[inline(always)]
    fn xor_i(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { veorq_s32(a, b) }
    }
    #[inline(always)]
    fn shl_i<const N: u32>(self, a: Self::I) -> Self::I {
        unsafe { vshlq_s32(a, vdupq_n_s32(N as i32)) }
    }
    #[inline(always)]
    fn shr_i<const N: u32>(self, a: Self::I) -> Self::I {
        // A shift to the left by less than nothing.
        unsafe { vshlq_s32(a, vdupq_n_s32(-(N as i32))) }
    }
    #[inline(always)]
    fn to_bits(self, a: Self::F) -> Self::I {
        unsafe { vreinterpretq_s32_f32(a) }
    }
    #[inline(always)]
    fn from_bits(self, a: Self::I) -> Self::F {
        unsafe { vreinterpretq_f32_s32(a) }
    }
    #[inline(always)]
    fn round_to_int(self, a: Self::F) -> Self::I {
        unsafe { vcvtnq_s32_f32(a) }
    }
    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        unsafe { vcvtq_f32_s32(a) }
    }
}
