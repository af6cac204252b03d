//! Arguments of `vdvae import` and `vdvae export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Configuration;

/// `vdvae import`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae import cifar10-seed0-iter-900000-model-ema.th --preset cifar10 --out runs/published
  vdvae eval runs/published --data cifar10:cifar-10-python.tar.gz --split test
  vdvae sample runs/published

Everything that training needs to go on, from the same step:
  vdvae import imagenet64-iter-1600000-model.th --preset imagenet64 --out runs/imagenet64 \\
      --ema imagenet64-iter-1600000-model-ema.th --optimizer imagenet64-iter-1600000-opt.th \\
      --log imagenet64-iter-1600000-log.jsonl
  vdvae train --resume --out runs/imagenet64 --data imagenet64:DIR --steps 1700000

Files are those of torch.save, as zip archives or in the older form, with or without module. before the
names. Nothing in them is run: a file that holds more than tensors and plain data is refused.")]
pub struct ImportArgs {
    /// The weights: NAME-model.th, or NAME-model-ema.th where there is nothing else.
    #[arg(value_name = "FILE.th")]
    pub weights: PathBuf,
    /// Which model they are of: --preset or --config.
    #[command(flatten)]
    pub configuration: Configuration,
    /// The averaged weights, NAME-model-ema.th [default: the weights].
    #[arg(long, value_name = "FILE.th")]
    pub ema: Option<PathBuf>,
    /// The optimizer's state, NAME-opt.th [default: moments of zero].
    #[arg(long, value_name = "FILE.th")]
    pub optimizer: Option<PathBuf>,
    /// The training log, NAME-log.jsonl, which tells the step [default: the optimizer's updates].
    #[arg(long, value_name = "FILE.jsonl")]
    pub log: Option<PathBuf>,
    /// The new run's folder.
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

/// What `vdvae export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// The files of the family's published PyTorch code.
    #[value(alias = "openai")]
    Published,
    /// The averaged weights under the published names.
    Safetensors,
}

/// `vdvae export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae export runs/photos32 --format openai
      runs/photos32-model.th       weights of the latest checkpoint
      runs/photos32-model-ema.th   their average, which eval and sample use
      runs/photos32-opt.th         the optimizer's state, for torch.optim.AdamW
      runs/photos32-log.jsonl      the losses and the step
  vdvae export runs/photos32 --format openai --out published/photos32     published/photos32-model.th, ...
  vdvae export runs/photos32 --format openai \\
      --checkpoint runs/photos32/checkpoints/best.safetensors             -model-ema.th alone
  vdvae export runs/photos32 --format safetensors                         runs/photos32.safetensors
  vdvae export runs/photos32 --format safetensors --out weights.safetensors

torch.load(FILE, weights_only=True) reads the .th files.")]
pub struct ExportArgs {
    /// The run's folder, as `vdvae train` or `vdvae import` made it.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// What to write.
    #[arg(long, value_enum, value_name = "published|safetensors")]
    pub format: ExportFormat,
    /// For openai what the files' names begin with, for safetensors the file
    /// [default: the run's folder, RUN-model.th, ... or RUN.safetensors beside it].
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// The checkpoint [default: the latest for openai; for safetensors the run's best, or latest where
    /// nothing was validated].
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
}
