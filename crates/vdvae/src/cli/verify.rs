//! The arguments of `vdvae verify`.

use std::path::PathBuf;

use clap::Args;

use super::{Configuration, Machine};

/// `vdvae verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae verify recorded.safetensors --config model.toml              this machine's CPU
  vdvae verify recorded.safetensors --config model.toml --device cuda
  vdvae verify mine.safetensors --preset nvae/mnist --json           a port of a model

The file holds weights, images, noise, and what somebody computed of them: outputs, gradients, steps of the
optimizer. Each family's documentation (vdvae_models::families) lists the names it knows and how each number is
computed; what is not in the file is not compared. The configuration says which model it is, its [data] how
images are normalised, its [train] how the recorded steps were taken. The project's own tests are such files:
crates/models/tests/golden/FAMILY.

One line for each quantity: the number of tensors, the largest error, its tolerance, and the tensor that has it.
Exit code 0: all are within their tolerances; 1: one is not.")]
pub struct VerifyArgs {
    /// The recorded numbers.
    #[arg(value_name = "FILE.safetensors")]
    pub recording: PathBuf,
    /// Which model they are of.
    #[command(flatten)]
    pub configuration: Configuration,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// Options of the machine.
    #[command(flatten)]
    pub machine: Machine,
}
