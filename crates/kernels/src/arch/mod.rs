//! The instruction sets: implementations of [`crate::simd::Simd`], one file each.

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
pub mod portable;
