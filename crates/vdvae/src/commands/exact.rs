//! Where archives are made and read.

use anyhow::Result;
use burn::tensor::Device;
use vdvae_kernels::detect;

use crate::cli::Machine;
use crate::device;
use crate::error::usage;
use crate::ops::Dtype;

/// The CPU, on a kernel path, in fp32: what results to the bit can be had on.
pub fn exact_device(machine: &Machine, path: Option<detect::Path>) -> Result<Device> {
    if machine.dtype.is_some_and(|dtype| dtype != Dtype::Fp32) {
        return Err(usage(
            "--dtype: archives are made and read in fp32 only, whose results are the same to the bit \
             for any number of threads and images; found bf16. Leave --dtype out",
        ));
    }
    if machine.device != "cpu" {
        return Err(usage(format!(
            "--device: archives are made and read on the cpu only, whose results are the same to the \
             bit every time; found {}. Leave --device out",
            machine.device
        )));
    }
    if let Some(path) = path {
        if !path.is_available() {
            return Err(usage(format!(
                "--kernel-path {}: this processor does not have these instructions. Every processor \
                 has portable",
                path.name()
            )));
        }
        // Nothing has been computed yet.
        detect::force(path);
    }
    device::parse(&machine.device)
}
