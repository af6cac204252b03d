//! The arguments of `vdvae bench`.

use clap::Args;

use super::{Configuration, Machine};
use crate::bench::Task;

/// `vdvae bench`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae bench                                          a training step of the default model
  vdvae bench --preset cifar10 --batch 4 --json        one line of JSON
  vdvae bench --preset cifar10 --batch 4 --what eval --threads 1
  vdvae bench --preset small32 --steps 50              small tensors, many operations
  vdvae bench --what sample --pixels --steps 50        with the pixels drawn
  vdvae bench --preset cifar10 --batch 4 --profile     where the time goes
  vdvae bench --config my.toml --set model.width=96    what a change costs
  vdvae bench --presets vdvae/cifar10,nvae/cifar10 --what sample --batch 1    families side by side

Images are random bytes, weights are fresh: only the time is looked at. GFLOP/s counts the operations
of direct convolutions, however they are computed (a training step is three times its forward pass), so
a share of the peak above 100 % is possible. The peak is multiply-adds in --dtype on all threads,
measured in the same run, before and after. Memory is the most that the process held up to the last step.

Models that make pixel after pixel keep what they know of earlier pixels. --no-cache measures the plain sampler, the
whole network for each pixel and colour: one pixel of it, from which the time of an image is extrapolated.

--profile: seconds of each operation in a step; GFLOP/s of its convolutions; GB/s of what it must read
and write at least; the time that the peak and the speed of memory copies would allow as a share of the
time taken. Small tensors stay in caches, which are faster than memory. Everything else is Burn's own
operations, scheduling and allocation.")]
pub struct BenchArgs {
    /// Which model.
    #[command(flatten)]
    pub configuration: Configuration,
    /// Several presets, one after the other, in one table. Samples are drawn to the pixels then.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', conflicts_with_all = ["preset", "config", "profile"])]
    pub presets: Vec<String>,
    /// What to measure.
    #[arg(long, value_enum, default_value = "train")]
    pub what: Task,
    /// Images at once [default: the configuration's].
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Steps that are measured.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: u64,
    /// Steps before them that are not.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub warmup: u64,
    /// With --what sample: also draw the pixels. Models that make pixel after pixel always do.
    #[arg(long)]
    pub pixels: bool,
    /// With --what sample: the plain sampler of a model that makes pixel after pixel.
    #[arg(long, conflicts_with = "profile")]
    pub no_cache: bool,
    /// Keep less for the backward pass and compute it again, as in training.
    #[arg(long)]
    pub checkpoint_activations: bool,
    /// Also tell which operation takes how much of the time (CPU).
    #[arg(long)]
    pub profile: bool,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// Options of the machine.
    #[command(flatten)]
    pub machine: Machine,
}
