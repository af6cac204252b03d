//! How much memory training takes, told before it starts.

use crate::architecture::Architecture;

/// What the program holds whatever the model is: code, data set, buffers of the threads.
const BASE: u64 = 48 << 20;

/// Estimated peak memory in bytes of a training step on the CPU with `batch` images at once.
pub fn training_memory(architecture: &Architecture, batch: usize) -> u64 {
    // Weights, gradient, two moments, average.
    let parameters = 5 * architecture.parameters();
    let activations: u64 = batch as u64 * activations_per_image(architecture);
    BASE + 4 * (parameters + activations)
}

/// Numbers kept per image between the forward and the backward pass.
fn activations_per_image(architecture: &Architecture) -> u64 {
    let pixels = |resolution: usize| (resolution * resolution) as u64;
    let hidden = |resolution| 3 * architecture.mid_at(resolution) as u64;
    let encoder = architecture.enc_blocks.iter().map(|block| {
        let width = architecture.width_at(block.resolution) as u64;
        pixels(block.resolution) * (width + hidden(block.resolution))
    });
    let decoder = architecture.dec_blocks.iter().map(|block| {
        let (width, zdim) = (
            architecture.width_at(block.resolution) as u64,
            architecture.zdim as u64,
        );
        let blocks = 3 * hidden(block.resolution);
        // prior, state with features, projection, their sum, state after the block, mixed state
        let states = (2 * zdim + width) + 5 * width;
        let latents = 2 * zdim + 2 * zdim;
        pixels(block.resolution) * (blocks + states + latents)
    });
    encoder.chain(decoder).sum()
}
