//! How much memory training takes, told before it starts.

use vdvae_models::Plan;

/// What the program holds whatever the model is: code, data set, buffers of the threads.
const BASE: u64 = 90 << 20;

/// Estimated peak memory in bytes of a training step on the CPU with `batch` images at once;
/// `checkpointed`: without what can be computed once more.
pub fn training_memory(plan: &dyn Plan, batch: usize, checkpointed: bool) -> u64 {
    // Weights, gradient, two moments, average.
    let parameters = 5 * plan.parameters();
    let activations = batch as u64 * plan.activations(checkpointed);
    BASE + 4 * (parameters + activations)
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
