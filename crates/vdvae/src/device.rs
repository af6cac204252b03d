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
/// If this build knows no such device, or it cannot be used.
pub fn parse(name: &str) -> Result<Device> {
    #[cfg(feature = "cuda")]
    if let Some(rest) = name.strip_prefix("cuda") {
        let index = rest.strip_prefix(':').unwrap_or("0");
        if let Ok(index) = index.parse::<usize>() {
            return cuda(name, index);
        }
    }
    match name {
        "cpu" => Ok(Device::flex()),
        _ => Err(usage(format!(
            "--device {name}: expected one of {KNOWN}; others are built with cargo features, such as --features cuda"
        ))),
    }
}

/// Burn panics, on a thread of its own, where there is no driver or no such device: that is found out here.
#[cfg(feature = "cuda")]
fn cuda(name: &str, index: usize) -> Result<Device> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let device = std::panic::catch_unwind(|| {
        let device = Device::cuda(index);
        burn::tensor::Tensor::<1>::zeros([1], &device).into_data();
        device
    });
    std::panic::set_hook(hook);
    device.map_err(|_| {
        anyhow::anyhow!(
            "--device {name}: expected an NVIDIA GPU with its driver (libcuda), found none of that number; \
             `nvidia-smi -L` lists what there is, --device cpu needs none"
        )
    })
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
