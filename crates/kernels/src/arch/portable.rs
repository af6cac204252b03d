//! Arrays of eight numbers in plain Rust; the compiler turns them into what the target has.
//! Multiply-adds are never fused, so that results are the same on every processor.

use crate::simd::{Simd, sealed::Sealed};

/// Portable vectors of eight numbers.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

const LANES: usize = 8;

macro_rules! lanewise {
    ($i:ident => $value:expr) => {{
        let mut result = [Default::default(); LANES];
        for $i in 0..LANES {
            result[$i] = $value;
        }
        result
    }};
}

impl Sealed for Portable {}

impl Simd for Portable {
    type F = [f32; LANES];
    type I = [i32; LANES];
    type M = [bool; LANES];
    const LANES: usize = LANES;
    const REGISTERS: usize = 8;

    #[inline(always)]
    fn interleave(self, a: Self::F, b: Self::F) -> [Self::F; 2] {
        let from = |i: usize| {
            if i.is_multiple_of(2) {
                a[i / 2]
            } else {
                b[i / 2]
            }
        };
        [
            std::array::from_fn(from),
            std::array::from_fn(|i| from(i + LANES)),
        ]
    }
    #[inline(always)]
    fn splat(self, a: f32) -> Self::F {
        [a; LANES]
    }
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> Self::F {
        // SAFETY: promised by the caller; arrays of f32 have the alignment of f32.
        unsafe { from.cast::<Self::F>().read() }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, a: Self::F) {
        // SAFETY: promised by the caller; arrays of f32 have the alignment of f32.
        unsafe { to.cast::<Self::F>().write(a) }
    }
    #[inline(always)]
    unsafe fn load_bf16_ptr(self, from: *const u16) -> Self::F {
        // SAFETY: promised by the caller; arrays of u16 have the alignment of u16.
        let high = unsafe { from.cast::<[u16; LANES]>().read() };
        lanewise!(i => f32::from_bits(u32::from(high[i]) << 16))
    }
    #[inline(always)]
    unsafe fn load_ptr_partial(self, from: *const f32, count: usize) -> Self::F {
        let mut a = [0.0; LANES];
        // SAFETY: promised by the caller.
        unsafe { from.copy_to_nonoverlapping(a.as_mut_ptr(), count) };
        a
    }
    #[inline(always)]
    unsafe fn store_ptr_partial(self, to: *mut f32, a: Self::F, count: usize) {
        // SAFETY: promised by the caller.
        unsafe { to.copy_from_nonoverlapping(a.as_ptr(), count) }
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        lanewise!(i => a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        lanewise!(i => a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        lanewise!(i => a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        lanewise!(i => a[i] / b[i])
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F) -> Self::F {
        lanewise!(i => a[i].sqrt())
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        lanewise!(i => a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        lanewise!(i => c[i] - a[i] * b[i])
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        lanewise!(i => if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        lanewise!(i => if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn lt(self, a: Self::F, b: Self::F) -> Self::M {
        lanewise!(i => a[i] < b[i])
    }
    #[inline(always)]
    fn eq(self, a: Self::F, b: Self::F) -> Self::M {
        lanewise!(i => a[i] == b[i])
    }
    #[inline(always)]
    fn select(self, mask: Self::M, a: Self::F, b: Self::F) -> Self::F {
        lanewise!(i => if mask[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn splat_i(self, a: i32) -> Self::I {
        [a; LANES]
    }
    #[inline(always)]
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I {
        lanewise!(i => a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I {
        lanewise!(i => a[i].wrapping_sub(b[i]))
    }
    #[inline(always)]
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I {
        lanewise!(i => a[i] & b[i])
    }
    #[inline(always)]
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I {
        lanewise!(i => a[i] | b[i])
    }
    #[inline(always)]
    fn xor_i(self, a: Self::I, b: Self::I) -> Self::I {
        lanewise!(i => a[i] ^ b[i])
    }
    #[inline(always)]
    fn shl_i<const N: u32>(self, a: Self::I) -> Self::I {
        lanewise!(i => a[i] << N)
    }
    #[inline(always)]
    fn shr_i<const N: u32>(self, a: Self::I) -> Self::I {
        lanewise!(i => a[i] >> N)
    }
    #[inline(always)]
    fn to_bits(self, a: Self::F) -> Self::I {
        lanewise!(i => a[i].to_bits() as i32)
    }
    #[inline(always)]
    fn from_bits(self, a: Self::I) -> Self::F {
        lanewise!(i => f32::from_bits(a[i] as u32))
    }
    #[inline(always)]
    fn round_to_int(self, a: Self::F) -> Self::I {
        lanewise!(i => a[i].round_ties_even() as i32)
    }
    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        lanewise!(i => a[i] as f32)
    }
}
