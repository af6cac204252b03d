//! What a network costs, counted without building it.

use serde::Serialize;

use super::Architecture;

/// The latent variables at one resolution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatentShare {
    /// The resolution.
    pub resolution: usize,
    /// Stochastic layers there.
    pub layers: usize,
    /// Latent variables there, for one image.
    pub latents: u64,
    /// Share of all latent variables up to and with this resolution, from 0 to 1.
    pub cumulative_share: f64,
}

/// Operations of the convolutions for one image, two for every multiply-add; exact up to 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Operations {
    /// The encoder's pass.
    pub encoder: f64,
    /// The decoder's pass with latents from the posterior, the output convolution included.
    pub decoder: f64,
    /// One sample: the decoder with latents from the prior, which needs no posterior.
    pub sample: f64,
    /// One evaluation: encoder and decoder.
    pub evaluation: f64,
    /// One training step: an evaluation, and twice that for the two gradients of a convolution.
    pub training: f64,
}

impl Architecture {
    /// Number of learned values, exactly.
    pub fn parameters(&self) -> u64 {
        let size = |shape: &[usize]| shape.iter().map(|&n| n as u64).product::<u64>();
        self.parameter_shapes()
            .iter()
            .map(|(_, shape)| size(shape))
            .sum()
    }

    /// Number of layers of latent variables, one per decoder block.
    pub fn stochastic_depth(&self) -> usize {
        self.dec_blocks.len()
    }

    /// The latent variables of every resolution, ascending.
    pub fn latents(&self) -> Vec<LatentShare> {
        let layers = |r| self.dec_blocks.iter().filter(|b| b.resolution == r).count();
        let count = |r: usize| (layers(r) * self.zdim * r * r) as u64;
        let resolutions = self.dec_resolutions();
        let total: u64 = resolutions.iter().map(|&r| count(r)).sum();
        let mut so_far = 0;
        resolutions
            .into_iter()
            .map(|resolution| {
                so_far += count(resolution);
                LatentShare {
                    resolution,
                    layers: layers(resolution),
                    latents: count(resolution),
                    cumulative_share: so_far as f64 / total as f64,
                }
            })
            .collect()
    }

    /// Operations for one image.
    pub fn operations(&self) -> Operations {
        let blocks = self
            .enc_blocks
            .iter()
            .map(|b| self.enc_block(b).operations());
        let encoder = self.in_conv().operations() + blocks.sum::<f64>();
        let posterior: f64 = self
            .dec_blocks
            .iter()
            .map(|b| self.posterior(b).operations())
            .sum();
        let generative = self.dec_blocks.iter().map(|b| {
            self.prior(b).operations()
                + self.z_proj(b).operations()
                + self.resnet(b).operations()
                + self.upsample(b).map_or(0.0, |conv| conv.operations())
        });
        let sample = generative.sum::<f64>() + self.out_conv().operations();
        let decoder = sample + posterior;
        Operations {
            encoder,
            decoder,
            sample,
            evaluation: encoder + decoder,
            training: 3.0 * (encoder + decoder),
        }
    }
}
