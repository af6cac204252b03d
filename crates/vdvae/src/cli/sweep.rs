//! `vdvae sweep`, as clap reads it.

use std::path::PathBuf;

use clap::Args;
use vdvae_data::Source;

use super::Machine;

/// `vdvae sweep`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae sweep configs/ablations --data photos           every .toml file there, seeds 0 and 1
  vdvae sweep a.toml b.toml --steps 500 --seeds 0       two of them, shorter
  vdvae sweep configs/ablations --json                  the table for a program

Each configuration is trained with each seed into OUT/NAME-seedS, a run like any other, and evaluated on
the test split. All hold out the same images: by data.split_seed of the configurations, or else by their
train.seed, which a run's seed takes the place of everywhere else. The same command again goes on where it
stopped, and tries again what failed. OUT/table.csv, OUT/table.json and OUT/figure.svg are written after every run.")]
pub struct SweepArgs {
    /// Configuration files, or folders of them (every .toml file there).
    #[arg(required = true, value_name = "DIR|FILE")]
    pub configurations: Vec<PathBuf>,
    /// Images to learn, in place of the configurations' data.source.
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<Source>,
    /// Updates until training ends, in place of train.steps.
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// A run of every configuration for each of these seeds.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "0,1",
        value_name = "S[,S...]"
    )]
    pub seeds: Vec<u64>,
    /// The folder of the runs, the table and the figure.
    #[arg(long, default_value = "runs/sweep", value_name = "DIR")]
    pub out: PathBuf,
    /// Go on without images that cannot be read.
    #[arg(long)]
    pub skip_bad_images: bool,
    /// Print the table as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// Options of the machine.
    #[command(flatten)]
    pub machine: Machine,
}
