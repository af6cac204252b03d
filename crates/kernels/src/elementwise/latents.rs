//! Latent variables: draws from diagonal Gaussians, and the KL divergence of two of them.
//!
//! A Gaussian tensor is `[batch, height, width, channels]`: first `z` means, then `z` log
//! standard deviations, then channels that are not looked at (the prior's features). The
//! posterior is `q`, the prior `p`.

use super::{LaneSums, WORTH_A_THREAD, expect_len, for_chunk_pairs, for_chunks};
use super::{image_parts, rows_per_task, sum_per_image};
use crate::detect::{Kernel, dispatch};
use crate::math::exp;
use crate::simd::Simd;

/// Channels of a Gaussian tensor of `len` numbers over `pixels` positions.
#[track_caller]
fn gaussian_channels(name: &str, len: usize, pixels: usize, z: usize) -> usize {
    let channels = len.checked_div(pixels).unwrap_or(2 * z);
    assert!(
        channels >= 2 * z && channels * pixels == len,
        "{name}: {len} numbers are not {z} means and {z} log sigmas for each of {pixels} pixels"
    );
    channels
}

/// Positions of a tensor of `len` numbers with `z` channels.
#[track_caller]
pub(super) fn positions(name: &str, len: usize, z: usize) -> usize {
    let pixels = len.checked_div(z).unwrap_or(0);
    expect_len(name, len, pixels * z);
    pixels
}

/// `out = mean + exp(log sigma) * eps`, with `eps` and `out` `[.., z]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn draw(z: usize, gaussian: &[f32], eps: &[f32], out: &mut [f32]) {
    let pixels = positions("eps", eps.len(), z);
    let channels = gaussian_channels("gaussian", gaussian.len(), pixels, z);
    expect_len("out", out.len(), eps.len());
    let rows = rows_per_task(channels);
    for_chunks(out, rows * z, |i, out| {
        let first = i * rows;
        dispatch(Draw {
            sizes: (z, channels),
            gaussian: &gaussian[first * channels..],
            eps: &eps[first * z..],
            out,
        });
    });
}

struct Draw<'a> {
    /// Latent channels, channels of the Gaussian.
    sizes: (usize, usize),
    gaussian: &'a [f32],
    eps: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Draw<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (z, channels) = self.sizes;
        let pixels = self.gaussian.chunks_exact(channels);
        let pixels = pixels.zip(self.eps.chunks_exact(z));
        for (out, (gaussian, eps)) in self.out.chunks_exact_mut(z).zip(pixels) {
            let (mean, log_sigma) = gaussian[..2 * z].split_at(z);
            for i in (0..z).step_by(S::LANES) {
                let sigma = exp(s, s.load_partial(&log_sigma[i..]));
                let noise = s.load_partial(&eps[i..]);
                let drawn = s.fma(sigma, noise, s.load_partial(&mean[i..]));
                s.store_partial(&mut out[i..], drawn);
            }
        }
    }
}

/// KL divergence of the posterior `q [.., 2 z]` from the prior `p [.., 2 z + ..]`, in nats,
/// summed over the positions and channels of each image: `kl` is `[batch]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn kl(z: usize, q: &[f32], p: &[f32], kl: &mut [f32]) {
    let pixels = positions("q", q.len(), 2 * z);
    let stride = gaussian_channels("p", p.len(), pixels, z);
    let per_image = pixels.checked_div(kl.len()).unwrap_or(0);
    expect_len("positions", pixels, per_image * kl.len());
    let parts = image_parts(kl.len(), per_image).collect();
    sum_per_image(parts, pixels * z >= WORTH_A_THREAD / 8, kl, |range| {
        let q = &q[range.start * 2 * z..range.end * 2 * z];
        kl_of_part(z, q, &p[range.start * stride..range.end * stride])
    });
}

/// The sum of [`kl()`] over all that is given, one of the [`image_parts`].
fn kl_of_part(z: usize, q: &[f32], p: &[f32]) -> f64 {
    let stride = gaussian_channels("p", p.len(), positions("q", q.len(), 2 * z), z);
    dispatch(Kl {
        sizes: (z, stride),
        q,
        p,
        elements: None,
    })
}

/// A draw from the posterior and its divergence from the prior in one pass over memory: [`draw`] of `q` and
/// [`kl()`], the same bits.
///
/// # Panics
/// If the lengths do not agree.
pub fn draw_with_kl(
    z: usize,
    (q, p): (&[f32], &[f32]),
    eps: &[f32],
    out: &mut [f32],
    kl: &mut [f32],
) {
    let pixels = positions("eps", eps.len(), z);
    let stride = gaussian_channels("p", p.len(), pixels, z);
    expect_len("q", q.len(), 2 * pixels * z);
    expect_len("out", out.len(), eps.len());
    let per_image = pixels.checked_div(kl.len()).unwrap_or(0);
    expect_len("positions", pixels, per_image * kl.len());
    let mut rest = out;
    let parts = image_parts(kl.len(), per_image).map(|range| {
        let out = rest.split_off_mut(..range.len() * z);
        (range, out.expect("lengths agree"))
    });
    let parallel = pixels * z >= WORTH_A_THREAD / 8;
    sum_per_image(parts.collect(), parallel, kl, |(range, out)| {
        let q = &q[range.start * 2 * z..range.end * 2 * z];
        let p = &p[range.start * stride..range.end * stride];
        let eps = &eps[range.start * z..range.end * z];
        draw_with_kl_of_part(z, (q, p), eps, out)
    });
}

/// [`draw_with_kl`] for one of the [`image_parts`]; returns the sum of the divergence over it.
pub(crate) fn draw_with_kl_of_part(
    z: usize,
    (q, p): (&[f32], &[f32]),
    eps: &[f32],
    out: &mut [f32],
) -> f64 {
    draw(z, q, eps, out);
    kl_of_part(z, q, p)
}

/// [`kl()`] of each latent variable: `kl` is `[batch, height, width, z]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn kl_per_element(z: usize, q: &[f32], p: &[f32], kl: &mut [f32]) {
    let pixels = positions("q", q.len(), 2 * z);
    let stride = gaussian_channels("p", p.len(), pixels, z);
    expect_len("kl", kl.len(), pixels * z);
    let rows = rows_per_task(stride);
    for_chunks(kl, rows * z, |i, elements| {
        dispatch(Kl {
            sizes: (z, stride),
            q: &q[i * rows * 2 * z..][..elements.len() * 2],
            p: &p[i * rows * stride..],
            elements: Some(elements),
        });
    });
}

/// The terms of one latent variable that both the KL and its gradient need.
#[inline(always)]
fn ratios<S: Simd>(s: S, q: &[f32], p: &[f32], z: usize, i: usize) -> Ratios<S> {
    let (q_log_sigma, p_log_sigma) = (
        s.load_partial(&q[z + i..2 * z]),
        s.load_partial(&p[z + i..2 * z]),
    );
    let inverse = exp(s, s.neg(p_log_sigma));
    let distance = s.sub(s.load_partial(&q[i..z]), s.load_partial(&p[i..z]));
    let log_ratio = s.sub(q_log_sigma, p_log_sigma);
    let ratio = exp(s, log_ratio);
    Ratios {
        log_ratio,
        variances: s.mul(ratio, ratio),
        inverse,
        distance: s.mul(distance, inverse),
    }
}

struct Ratios<S: Simd> {
    /// log sigma_q - log sigma_p
    log_ratio: S::F,
    /// (sigma_q / sigma_p)^2
    variances: S::F,
    /// 1 / sigma_p
    inverse: S::F,
    /// (mean_q - mean_p) / sigma_p
    distance: S::F,
}

struct Kl<'a> {
    /// Latent channels, channels of the prior.
    sizes: (usize, usize),
    q: &'a [f32],
    p: &'a [f32],
    /// Where each element goes, if anywhere.
    elements: Option<&'a mut [f32]>,
}

impl Kernel for Kl<'_> {
    /// The sum.
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) -> f64 {
        let (z, stride) = self.sizes;
        let half = s.splat(0.5);
        let mut sums = LaneSums::default();
        let pixels = self.q.chunks_exact(2 * z).zip(self.p.chunks_exact(stride));
        for (pixel, (q, p)) in pixels.enumerate() {
            for i in (0..z).step_by(S::LANES) {
                // Lanes beyond z hold zeros, whose KL is exactly 0.
                let r = ratios(s, q, p, z, i);
                let squares = s.fma(r.distance, r.distance, r.variances);
                let kl = s.sub(s.fma(squares, half, s.splat(-0.5)), r.log_ratio);
                sums.add(s, kl);
                if let Some(elements) = &mut self.elements {
                    s.store_partial(&mut elements[pixel * z + i..(pixel + 1) * z], kl);
                }
            }
        }
        sums.total()
    }
}

/// Gradients of [`draw_with_kl`] with respect to `q` and `p`, from those with respect to its outputs, `dout`
/// like `out` and `dkl [batch]`. `onto` says that `dp` holds a gradient that is added to; otherwise the
/// channels of `p` that are not looked at get 0.
///
/// # Panics
/// If the lengths do not agree.
pub fn draw_with_kl_backward(
    z: usize,
    (q, p): (&[f32], &[f32]),
    eps: &[f32],
    (dout, dkl): (&[f32], &[f32]),
    onto: bool,
    (dq, dp): (&mut [f32], &mut [f32]),
) {
    let pixels = positions("eps", eps.len(), z);
    let stride = gaussian_channels("p", p.len(), pixels, z);
    let per_image = pixels.checked_div(dkl.len()).unwrap_or(0);
    expect_len("positions", pixels, per_image * dkl.len());
    expect_len("q", q.len(), 2 * pixels * z);
    expect_len("gradient of the latents", dout.len(), eps.len());
    expect_len("dq", dq.len(), q.len());
    expect_len("dp", dp.len(), p.len());
    let rows = rows_per_task(stride);
    for_chunk_pairs((dq, dp), (2 * z, stride), rows, |i, dq, dp| {
        let first = i * rows;
        dispatch(Backward {
            sizes: (z, stride),
            q: &q[first * 2 * z..],
            p: &p[first * stride..],
            eps: &eps[first * z..],
            image: (first, per_image),
            dout: &dout[first * z..],
            dkl,
            onto,
            dq,
            dp,
        });
    });
}

struct Backward<'a> {
    /// Latent channels, channels of the prior.
    sizes: (usize, usize),
    q: &'a [f32],
    p: &'a [f32],
    eps: &'a [f32],
    /// Number of the first position, positions per image.
    image: (usize, usize),
    dout: &'a [f32],
    /// Of the whole batch.
    dkl: &'a [f32],
    /// Whether `dp` is added to.
    onto: bool,
    dq: &'a mut [f32],
    dp: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (z, stride) = self.sizes;
        let (first, per_image) = self.image;
        let pixels = self.q.chunks_exact(2 * z).zip(self.p.chunks_exact(stride));
        let draws = self.eps.chunks_exact(z).zip(self.dout.chunks_exact(z));
        let gradients = self.dq.chunks_exact_mut(2 * z);
        let gradients = gradients.zip(self.dp.chunks_exact_mut(stride));
        let all = gradients.zip(pixels.zip(draws));
        for (pixel, ((dq, dp), ((q, p), (eps, dout)))) in all.enumerate() {
            let scale = s.splat(self.dkl[(first + pixel) / per_image]);
            for i in (0..z).step_by(S::LANES) {
                let r = ratios(s, q, p, z, i);
                let dmean = s.mul(scale, s.mul(r.distance, r.inverse));
                let dsigma = s.mul(scale, s.sub(r.variances, s.splat(1.0)));
                let squares = s.mul(s.mul(r.distance, r.distance), scale);
                let mut prior = [s.neg(dmean), s.neg(s.add(dsigma, squares))];
                for (j, gradient) in prior.iter_mut().enumerate() {
                    let to = &mut dp[j * z + i..(j + 1) * z];
                    if self.onto {
                        *gradient = s.add(s.load_partial(to), *gradient);
                    }
                    s.store_partial(to, *gradient);
                }
                let drawn = s.load_partial(&dout[i..]);
                let sigma = exp(s, s.load_partial(&q[z + i..2 * z]));
                let moved = s.mul(drawn, s.load_partial(&eps[i..]));
                s.store_partial(&mut dq[i..z], s.add(dmean, drawn));
                s.store_partial(&mut dq[z + i..], s.fma(moved, sigma, dsigma));
            }
            if !self.onto {
                dp[2 * z..].fill(0.0);
            }
        }
    }
}
