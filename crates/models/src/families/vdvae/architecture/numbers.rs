//! What a network costs, counted without building it.

use super::Architecture;
use crate::family::Operations;

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
            sample,
            evaluation: encoder + decoder,
            training: 3.0 * (encoder + decoder),
        }
    }

    /// Numbers kept per image between the forward and the backward pass.
    pub fn activations(&self, checkpointed: bool) -> u64 {
        let pixels = |resolution: usize| (resolution * resolution) as u64;
        let width = |resolution| self.width_at(resolution) as u64;
        // A bottleneck keeps its three pre-activations; its input is somebody's output.
        let kept = if checkpointed { 0 } else { 3 };
        let hidden = |resolution| kept * self.mid_at(resolution) as u64;
        let encoder = self.enc_blocks.iter().map(|block| {
            let resolution = block.resolution;
            pixels(resolution) * (width(resolution) + hidden(resolution))
        });
        let zdim = self.zdim as u64;
        let decoder = self.dec_blocks.iter().map(|block| {
            let resolution = block.resolution;
            // What the prior returns, the state before and after the last bottleneck, the mixed state.
            let mixed = u64::from(block.mixin.is_some());
            let states = 2 * zdim + (3 + mixed) * width(resolution);
            // What the posterior returns, the noise, the latents.
            let latents = 4 * zdim;
            let upsampled = self
                .upsample(block)
                .map_or(0, |conv| pixels(conv.resolution) * conv.c_out as u64);
            pixels(resolution) * (states + latents + 3 * hidden(resolution)) + upsampled
        });
        let side = self.image_size;
        // The first features; px_z twice; the likelihood's parameters and their gradient; the image twice.
        let ends = 3 * width(side) + 2 * (self.out_channels() + self.image_channels) as u64;
        encoder.chain(decoder).sum::<u64>() + pixels(side) * ends
    }
}
