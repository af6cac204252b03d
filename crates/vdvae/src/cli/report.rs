//! The options of `vdvae report`.

use std::path::PathBuf;

use clap::Args;
use vdvae_data::{Source, Split};

use super::Trained;

/// `vdvae report`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae report runs/photos32                          runs/photos32/report/index.html
  vdvae report runs/photos32 --compare runs/slow      several runs in one picture
  vdvae report runs/photos32 --out page --images 64   quicker, less exact
  vdvae report runs/mine --data folder:DIR            on other images

The folder holds index.html (opens from disk, needs no network), every figure as .svg, .png and .csv,
and report.json with all numbers.")]
pub struct ReportArgs {
    /// Which model.
    #[command(flatten)]
    pub trained: Trained,
    /// Other runs for the curves, the rates and the table. May be repeated.
    #[arg(long, value_name = "RUN", num_args = 1..)]
    pub compare: Vec<PathBuf>,
    /// The report's folder [default: RUN/report].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Images to evaluate and reconstruct, in place of each run's own.
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<Source>,
    /// train, valid, test or all [default: test of the run's data, all of --data].
    #[arg(long, value_name = "SPLIT")]
    pub split: Option<Split>,
    /// At most this many images are evaluated for each run, evenly spaced over the split.
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub images: u64,
    /// Images at once [default: the run's]. Changes no result.
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Of all noise.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
}
