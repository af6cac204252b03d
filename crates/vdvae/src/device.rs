//! Where the arithmetic happens.

use anyhow::Result;
use burn::tensor::Device;

use crate::error::usage;

/// The names that `--device` takes in this build.
pub const KNOWN: &str = if cfg!(feature = "cuda") {
    "cpu, cuda, cuda:N"
} else {
    "cpu"
};

/// The device of a name, without autodiff.
///
/// # Errors
/// If this build knows no such device.
pub fn parse(name: &str) -> Result<Device> {
    #[cfg(feature = "cuda")]
    if let Some(rest) = name.strip_prefix("cuda") {
        let index = rest.strip_prefix(':').unwrap_or("0");
        if let Ok(index) = index.parse::<usize>() {
            return Ok(Device::cuda(index));
        }
    }
    match name {
        "cpu" => Ok(Device::flex()),
        _ => Err(usage(format!(
            "--device {name}: expected one of {KNOWN}; others are built with cargo features, such as --features cuda"
        ))),
    }
}

/// Limits the threads of this process; 0: as many as there are processors.
///
/// # Errors
/// If the system refuses them.
pub fn set_threads(threads: usize) -> Result<()> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()?;
    Ok(())
}
