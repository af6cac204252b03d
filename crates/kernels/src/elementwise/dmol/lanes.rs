//! Pixels as lanes: `[pixels, channels]` to `[channels, lanes]` and back.

use crate::simd::Simd;

/// Lanes of the widest instruction set.
pub const MOST: usize = 16;

/// Transposes the first `channels` numbers of up to `LANES` pixels, of `stride` numbers each,
/// into as many vectors; lanes without a pixel hold 0.
#[inline(always)]
pub fn gather<S: Simd>(_: S, pixels: &[f32], stride: usize, channels: usize, lanes: &mut [f32]) {
    let lanes = &mut lanes[..channels * S::LANES];
    if pixels.len() < stride * S::LANES {
        lanes.fill(0.0);
    }
    for (lane, pixel) in pixels.chunks_exact(stride).take(S::LANES).enumerate() {
        for (channel, &value) in pixel[..channels].iter().enumerate() {
            lanes[channel * S::LANES + lane] = value;
        }
    }
}

/// The reverse of [`gather`]: fills as many of `pixels` as there are.
#[inline(always)]
pub fn scatter<S: Simd>(_: S, lanes: &[f32], channels: usize, pixels: &mut [f32]) {
    let lanes = &lanes[..channels * S::LANES];
    for (lane, pixel) in pixels.chunks_exact_mut(channels).take(S::LANES).enumerate() {
        for (channel, value) in pixel.iter_mut().enumerate() {
            *value = lanes[channel * S::LANES + lane];
        }
    }
}

/// Vector `index` of a buffer of vectors.
#[inline(always)]
pub fn get<S: Simd>(s: S, lanes: &[f32], index: usize) -> S::F {
    s.load(&lanes[index * S::LANES..])
}

/// Replaces vector `index`.
#[inline(always)]
pub fn set<S: Simd>(s: S, lanes: &mut [f32], index: usize, a: S::F) {
    s.store(&mut lanes[index * S::LANES..], a);
}
