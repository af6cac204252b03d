//! Softly clamped parameters of Gaussians, and their gradient.

use super::{expect_len, for_chunks, latents::positions, rows_per_task};
use crate::detect::{Kernel, dispatch};
use crate::math::{exp, ln, tanh};
use crate::simd::Simd;

/// What means and logarithms of standard deviations are held to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftClamp {
    /// Both become `limit * tanh(x / limit)`.
    pub limit: f32,
    /// Added to standard deviations then.
    pub least_sigma: f32,
}

/// Means and log sigmas of `raw` `[.., 2 z]`, in the same layout.
///
/// # Panics
/// If the lengths do not agree.
pub fn soft_clamp(clamp: &SoftClamp, z: usize, raw: &[f32], out: &mut [f32]) {
    positions("raw", raw.len(), 2 * z);
    expect_len("result", out.len(), raw.len());
    let size = rows_per_task(2 * z) * 2 * z;
    for_chunks(out, size, |i, out| {
        let raw = &raw[i * size..][..out.len()];
        dispatch(Clamp { clamp, z, raw, out });
    });
}

/// The gradient with respect to `raw` from the one with respect to the result.
///
/// # Panics
/// If the lengths do not agree.
pub fn soft_clamp_backward(
    clamp: &SoftClamp,
    z: usize,
    raw: &[f32],
    dout: &[f32],
    draw: &mut [f32],
) {
    positions("raw", raw.len(), 2 * z);
    expect_len("gradient", dout.len(), raw.len());
    expect_len("result", draw.len(), raw.len());
    let size = rows_per_task(2 * z) * 2 * z;
    for_chunks(draw, size, |i, draw| {
        let range = i * size..i * size + draw.len();
        let (raw, dout) = (&raw[range.clone()], &dout[range]);
        dispatch(ClampBackward {
            clamp,
            z,
            raw,
            dout,
            draw,
        });
    });
}

struct Clamp<'a> {
    clamp: &'a SoftClamp,
    z: usize,
    raw: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Clamp<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let z = self.z;
        let [limit, inverse] = [self.clamp.limit, 1.0 / self.clamp.limit].map(|x| s.splat(x));
        let least = s.splat(self.clamp.least_sigma);
        let pixels = self.raw.chunks_exact(2 * z);
        for (out, raw) in self.out.chunks_exact_mut(2 * z).zip(pixels) {
            let (mean, log_sigma) = out.split_at_mut(z);
            for i in (0..z).step_by(S::LANES) {
                let n = S::LANES.min(z - i);
                let clamped = |from: &[f32]| {
                    let raw = s.load_partial(&from[i..i + n]);
                    s.mul(tanh(s, s.mul(raw, inverse)), limit)
                };
                s.store_partial(&mut mean[i..], clamped(&raw[..z]));
                let sigma = s.add(exp(s, clamped(&raw[z..])), least);
                s.store_partial(&mut log_sigma[i..], ln(s, sigma));
            }
        }
    }
}

struct ClampBackward<'a> {
    clamp: &'a SoftClamp,
    z: usize,
    raw: &'a [f32],
    dout: &'a [f32],
    draw: &'a mut [f32],
}

impl Kernel for ClampBackward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let z = self.z;
        let [limit, inverse] = [self.clamp.limit, 1.0 / self.clamp.limit].map(|x| s.splat(x));
        let [one, least] = [1.0, self.clamp.least_sigma].map(|x| s.splat(x));
        let pixels = self.raw.chunks_exact(2 * z);
        let pixels = pixels.zip(self.dout.chunks_exact(2 * z));
        for (draw, (raw, dout)) in self.draw.chunks_exact_mut(2 * z).zip(pixels) {
            for (half, draw) in draw.chunks_exact_mut(z).enumerate() {
                let (raw, dout) = (&raw[half * z..][..z], &dout[half * z..][..z]);
                for i in (0..z).step_by(S::LANES) {
                    let t = tanh(s, s.mul(s.load_partial(&raw[i..]), inverse));
                    // The slope of limit * tanh(x / limit) is 1 - tanh^2.
                    let mut slope = s.sub(one, s.mul(t, t));
                    if half == 1 {
                        let sigma = exp(s, s.mul(t, limit));
                        slope = s.mul(slope, s.div(sigma, s.add(sigma, least)));
                    }
                    let gradient = s.mul(s.load_partial(&dout[i..]), slope);
                    s.store_partial(&mut draw[i..], gradient);
                }
            }
        }
    }
}
