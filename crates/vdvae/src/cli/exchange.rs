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

One file with everything, where the published code of a family writes such (nvae: checkpoint.pt):
  vdvae import checkpoint.pt --preset nvae/cifar10 --out runs/nvae
  vdvae import checkpoint.pt --out runs/nvae           the preset is found by the arguments in the file
Its weights, running statistics, moments of the optimizer, epoch and step become the run's. Its arguments must
say what the configuration says; which did, and what is not used, is told on standard error.

Safetensors that `vdvae export` or a run wrote, with the configuration inside; or others' (f32, bf16, f16) with --preset:
  vdvae import photos32.safetensors --out runs/again

Checkpoints of published TensorFlow code, where a family has such (pixelcnnpp, of openai/pixel-cnn):
  vdvae import params_cifar.ckpt --preset pixelcnnpp/cifar10 --out runs/pixelcnnpp
V1 (one file) and V2 (its .index, or what the names begin with). Variables become the weights, their moving averages
the average; the optimizer's are left. Of the port to PyTorch: --set model.deconv_norm=input.

Other files are those of torch.save, as zip archives or in the older form. What wrappers put before names (module.,
_orig_mod., ...) is left out. Nothing in them is run: a file that holds more than tensors and plain data is refused.")]
pub struct ImportArgs {
    /// The file with everything; or the weights: NAME-model.th, NAME-model-ema.th where there is nothing else.
    #[arg(value_name = "FILE")]
    pub weights: PathBuf,
    /// Which model they are of: --preset or --config; not needed where the file tells it.
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
  vdvae export runs/photos32 --format published                           family vdvae: four files
      runs/photos32-model.th       weights of the latest checkpoint
      runs/photos32-model-ema.th   their average, which eval and sample use
      runs/photos32-opt.th         the optimizer's state, for torch.optim.AdamW
      runs/photos32-log.jsonl      the losses and the step
  vdvae export runs/photos32 --format published --out th/photos32         th/photos32-model.th, ...
  vdvae export runs/photos32 --format published \\
      --checkpoint runs/photos32/checkpoints/best.safetensors             -model-ema.th alone
  vdvae export runs/photos32 --format safetensors                         runs/photos32.safetensors
  vdvae export runs/photos32 --format safetensors --out weights.safetensors

  vdvae export runs/nvae --format published                               family nvae: one file
      runs/nvae-checkpoint.pt      weights, running statistics, the state of Adamax, arguments, the step

torch.load(FILE, weights_only=True) reads the .th and .pt files. In a .pt file args is a dictionary, as an object
would need code to be read; published code wants argparse.Namespace(**checkpoint[\"args\"]). `openai` is the
older name of this format.")]
pub struct ExportArgs {
    /// The run's folder, as `vdvae train` or `vdvae import` made it.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// What to write.
    #[arg(long, value_enum, value_name = "published|safetensors")]
    pub format: ExportFormat,
    /// For published what the files' names begin with, for safetensors the file
    /// [default: the run's folder, RUN-model.th, ..., RUN-checkpoint.pt or RUN.safetensors beside it].
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// The checkpoint [default: the latest for published; for safetensors the run's best, or latest where
    /// nothing was validated].
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
}
