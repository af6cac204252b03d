//! What a stochastic layer does to the state where its latents are drawn, with the prior's block: its
//! output, the widest of all, is used where it is computed and never stored.

use super::forward::{Last, run};
use super::{Bottleneck, Weights, check_length};
use crate::elementwise::{add_parts, image_parts, latents};
use crate::grid::{Grid, Map};
use crate::layer::{Finish, Layer, Source};
use crate::pack::Weights as Packed;
use crate::parallel::{for_ranges, threads};
use crate::precision::Precision;
use crate::scratch::Scratch;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Latents drawn from a diagonal Gaussian, and their way into the state. Gaussians are means, then log
/// standard deviations.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// Latent channels Z.
    pub channels: usize,
    /// The Gaussian, `[batch, height, width, 2 Z]`; if none, the first channels of the block's output.
    pub posterior: Option<&'a [f32]>,
    /// What standard deviations are multiplied by, `[batch, height, width, Z]`.
    pub noise: &'a [f32],
    /// Of the projection onto the state, `[Z, c_x]`.
    pub weights: &'a [f32],
    /// `[c_x]`.
    pub bias: &'a [f32],
}

impl Bottleneck {
    /// Multiplications and additions of [`add_drawn`] (direct convolutions).
    pub fn operations_with_draw(&self, channels: usize) -> usize {
        self.operations() + (2 * self.pixels()).saturating_mul(channels * self.c_x)
    }
}

/// Adds to the state `x` the features of the prior and the projection of the latents: the block's output
/// for `x` is the prior, `[batch, height, width, 2 Z + c_x]`, of which the last `c_x` channels are the
/// features. Returns the KL divergence of the posterior, if there is one, from the prior in nats per image,
/// `[batch]`. All are the same bits as from the block, [`latents::draw`] or [`latents::draw_with_kl`], and
/// [`crate::conv::forward_onto`] one after the other.
///
/// # Panics
/// If a slice does not have the length that the shape says, or the block is not a prior's.
pub fn add_drawn(
    shape: &Bottleneck,
    x: &mut [f32],
    weights: &Weights,
    draw: &Draw,
) -> Option<Vec<f32>> {
    let (z, pixels, channels) = (draw.channels, shape.pixels(), shape.c_x);
    assert!(
        !shape.residual && shape.c_act == 0 && shape.c_out == 2 * z + channels,
        "no prior of {z} latents and {channels} features: {shape:?}"
    );
    shape.check(x, None, weights);
    check_length("noise", draw.noise.len(), pixels * z);
    check_length("projection", draw.weights.len(), z * channels);
    check_length("bias", draw.bias.len(), channels);
    if let Some(posterior) = draw.posterior {
        check_length("posterior", posterior.len(), 2 * pixels * z);
    }
    let state = Map::new(x, shape.plain(), channels, Precision::Fp32);
    let per_image = shape.height * shape.width;
    let parts: Vec<_> = image_parts(shape.batch, per_image).collect();
    let each = parts.len().checked_div(shape.batch).unwrap_or(0);
    let kl: Vec<_> = parts.iter().map(|_| AtomicU64::new(0)).collect();
    let drawing = Drawing {
        draw,
        state,
        projection: Packed::forward(draw.weights, z, channels, pixels),
    };
    let last = |last: Last| {
        let images = last.images.start * each..last.images.end * each;
        let operations = 2 * last.pixels() * (shape.mid * shape.c_out + z * channels);
        let compute = |range: Range<usize>| {
            for part in images.start + range.start..images.start + range.end {
                let pixels = parts[part].clone();
                // SAFETY: lengths were checked. The first layer has read these images before, nobody else
                // writes these pixels of the state.
                let nats = unsafe { drawing.part(&last, pixels, per_image) };
                kl[part].store(nats.to_bits(), Ordering::Relaxed);
            }
        };
        if images.len() < threads() {
            // The threads share the pixels of each part.
            compute(0..images.len());
        } else {
            for_ranges(images.len(), 1, operations, compute);
        }
    };
    // SAFETY: all lengths were checked, and nobody else uses the state.
    unsafe { run(shape, (state, None), weights, None, last) };
    draw.posterior.map(|_| {
        let kl = kl.into_iter().map(|nats| f64::from_bits(nats.into_inner()));
        let mut images = vec![0.0; shape.batch];
        add_parts(&kl.collect::<Vec<_>>(), &mut images);
        images
    })
}

struct Drawing<'a> {
    draw: &'a Draw<'a>,
    /// Read, and written in its place.
    state: Map,
    projection: Packed<'a>,
}

impl Drawing<'_> {
    /// Computes the prior of some pixels of an image, which are numbers in the whole batch, and what
    /// follows; returns the KL divergence in nats.
    ///
    /// # Safety
    /// `last` must be of the images of these pixels; nobody else may use these pixels of the state.
    unsafe fn part(&self, last: &Last, pixels: Range<usize>, per_image: usize) -> f64 {
        let Draw {
            channels: z,
            posterior,
            noise,
            bias,
            ..
        } = *self.draw;
        let count = pixels.len();
        let grid = Grid::line_of(count);
        let prior_channels = 2 * z + self.state.channels;
        let mut prior = Scratch::take(count * prior_channels);
        let mut drawn = Scratch::take(count * z);
        let p = Map::new(&mut prior, grid, prior_channels, Precision::Fp32);
        let skipped = last.images.start * per_image;
        let own = pixels.start - skipped..pixels.end - skipped;
        // SAFETY: nobody else uses the new buffer.
        unsafe { last.run(own, Finish::Store { to: p, add: None }) };
        let noise = &noise[pixels.start * z..pixels.end * z];
        let kl = match posterior {
            Some(posterior) => {
                let q = &posterior[pixels.start * 2 * z..pixels.end * 2 * z];
                latents::draw_with_kl_of_part(z, (q, &prior), noise, &mut drawn)
            }
            None => {
                latents::draw(z, &prior, noise, &mut drawn);
                0.0
            }
        };
        let x = self.state.pixels(&pixels);
        let projection = Layer {
            source: Source::Map(Map::of(&drawn, grid, z, Precision::Fp32)),
            segments: grid.segments(1, z),
            precision: Precision::Fp32,
            weights: &self.projection,
            bias: Some(bias),
            outputs: x.channels,
            finish: Finish::StoreOnto { to: x, x, p },
        };
        // SAFETY: promised by the caller.
        unsafe { projection.run(count) };
        kl
    }
}
