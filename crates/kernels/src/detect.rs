//! The one place that decides which instruction set is used.
//!
//! The best one that the processor has, or the one that the environment variable
//! `VDVAE_KERNELS` (`avx512_bf16`, `avx512`, `avx2`, `neon` or `portable`) names, read once. A name that
//! this processor cannot run, or an unknown one, falls back to the best.

use crate::arch::portable::Portable;
use crate::simd::Simd;
use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Path {
    /// Plain Rust, vectorised by the compiler.
    Portable = 1,
    /// AVX2 with FMA.
    Avx2 = 2,
    /// AVX-512 F.
    Avx512 = 3,
    /// AVX-512 F and BW with dot products of bfloat16. Single-precision results are those of
    /// [`Path::Avx512`].
    Avx512Bf16 = 4,
    /// NEON.
    Neon = 5,
}

impl Path {
    /// All instruction sets, the slowest first.
    pub const ALL: [Path; 5] = [
        Path::Portable,
        Path::Avx2,
        Path::Avx512,
        Path::Avx512Bf16,
        Path::Neon,
    ];

    /// The name that `VDVAE_KERNELS` knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Path::Portable => "portable",
            Path::Avx2 => "avx2",
            Path::Avx512 => "avx512",
            Path::Avx512Bf16 => "avx512_bf16",
            Path::Neon => "neon",
        }
    }

    /// Whether this processor has the instructions.
    pub fn is_available(self) -> bool {
        match self {
            Path::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512Bf16 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512bf16")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Path::Avx2 | Path::Avx512 | Path::Avx512Bf16 => false,
            Path::Neon => cfg!(target_arch = "aarch64"),
        }
    }
}

/// 0 until decided, then the [`Path`] as a number. Invariant: only available paths are stored.
static IN_USE: AtomicU8 = AtomicU8::new(0);

/// The instruction set in use.
#[inline]
pub fn path() -> Path {
    match IN_USE.load(Ordering::Relaxed) {
        5 => Path::Neon,
        4 => Path::Avx512Bf16,
        3 => Path::Avx512,
        2 => Path::Avx2,
        1 => Path::Portable,
        _ => decide(),
    }
}

/// The name of the instruction set in use, see [`Path::name`].
pub fn name() -> &'static str {
    path().name()
}

/// Uses another instruction set from now on, in the whole process: for tests and benchmarks.
/// Not while a kernel runs on another thread: its results would be a mixture, or it would panic.
///
/// # Panics
/// If this processor does not have it.
pub fn force(path: Path) {
    assert!(path.is_available(), "this processor has no {}", path.name());
    IN_USE.store(path as u8, Ordering::Relaxed);
}

#[cold]
fn decide() -> Path {
    let wanted = std::env::var("VDVAE_KERNELS").unwrap_or_default();
    let available = || Path::ALL.into_iter().rev().filter(|p| p.is_available());
    let path = available()
        .find(|p| p.name() == wanted)
        .or_else(|| available().next())
        .unwrap_or(Path::Portable);
    IN_USE.store(path as u8, Ordering::Relaxed);
    path
}

/// A computation written once for every instruction set.
pub trait Kernel {
    /// What it returns.
    type Output;
    /// The computation; implementations are `#[inline(always)]`, and so is all that they call.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Runs a kernel with the instruction set in use.
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    match path() {
        // SAFETY: `path` returns only what `is_available` found.
        #[cfg(target_arch = "x86_64")]
        Path::Avx512Bf16 => unsafe { run_avx512_bf16(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 => unsafe { run_avx512(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 => unsafe { run_avx2(kernel) },
        #[cfg(target_arch = "aarch64")]
        Path::Neon => kernel.run(crate::arch::neon::Neon),
        _ => kernel.run(Portable),
    }
}

/// # Safety
/// The processor must have AVX-512 F, BW and BF16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
unsafe fn run_avx512_bf16<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: promised by the caller.
    kernel.run(unsafe { crate::arch::avx512::Avx512::<true>::new() })
}

/// # Safety
/// The processor must have AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: promised by the caller.
    kernel.run(unsafe { crate::arch::avx512::Avx512::<false>::new() })
}

/// # Safety
/// The processor must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: promised by the caller.
    kernel.run(unsafe { crate::arch::avx2::Avx2::new() })
}
