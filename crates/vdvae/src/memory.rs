//! How much memory training takes, told before it starts.

use crate::architecture::Architecture;

/// What the program holds whatever the model is: code, data set, buffers of the threads.
const BASE: u64 = 90 << 20;

/// Estimated peak memory in bytes of a training step on the CPU with `batch` images at once;
/// `checkpointed`: without what bottlenecks keep inside.
pub fn training_memory(architecture: &Architecture, batch: usize, checkpointed: bool) -> u64 {
    // Weights, gradient, two moments, average.
    let parameters = 5 * architecture.parameters();
    let activations = batch as u64 * activations_per_image(architecture, checkpointed);
    BASE + 4 * (parameters + activations)
}

/// Numbers kept per image between the forward and the backward pass.
fn activations_per_image(architecture: &Architecture, checkpointed: bool) -> u64 {
    let pixels = |resolution: usize| (resolution * resolution) as u64;
    let width = |resolution| architecture.width_at(resolution) as u64;
    // A bottleneck keeps its three pre-activations; its input is somebody's output.
    let kept = if checkpointed { 0 } else { 3 };
    let hidden = |resolution| kept * architecture.mid_at(resolution) as u64;
    let encoder = architecture.enc_blocks.iter().map(|block| {
        let resolution = block.resolution;
        pixels(resolution) * (width(resolution) + hidden(resolution))
    });
    let zdim = architecture.zdim as u64;
    let decoder = architecture.dec_blocks.iter().map(|block| {
        let resolution = block.resolution;
        // What the prior returns, the state before and after the last bottleneck, the mixed state.
        let mixed = u64::from(block.mixin.is_some());
        let states = 2 * zdim + (3 + mixed) * width(resolution);
        // What the posterior returns, the noise, the latents.
        let latents = 4 * zdim;
        let upsampled = architecture
            .upsample(block)
            .map_or(0, |conv| pixels(conv.resolution) * conv.c_out as u64);
        pixels(resolution) * (states + latents + 3 * hidden(resolution)) + upsampled
    });
    let side = architecture.image_size;
    // The first features; px_z twice; the likelihood's parameters and their gradient; the image twice.
    let ends =
        3 * width(side) + 2 * (architecture.out_channels() + architecture.image_channels) as u64;
    encoder.chain(decoder).sum::<u64>() + pixels(side) * ends
}

/// Bytes that a new program can take without others being moved out; `None` where the system does not
/// tell.
pub fn available_memory() -> Option<u64> {
    told("/proc/meminfo", "MemAvailable:")
}

/// The most bytes of memory that this process has held at once so far (`VmHWM`); `None` where the
/// system does not tell.
pub fn peak_memory() -> Option<u64> {
    told("/proc/self/status", "VmHWM:")
}

/// The bytes in the line of a system file that begins with `name`.
fn told(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kibibytes)
}
