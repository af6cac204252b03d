//! The command line, as clap reads it and `--help` shows it.

mod bench;
mod completions;
pub mod compress;
mod exchange;
pub mod latents;
mod report;
mod sweep;
mod verify;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use vdvae_data::{Source, Split};

pub use bench::BenchArgs;
pub use completions::{CompletionsArgs, CompletionsKind};
pub use sweep::SweepArgs;
pub use verify::VerifyArgs;

use crate::ops::Dtype;
pub use exchange::{ExportArgs, ExportFormat, ImportArgs};
pub use report::ReportArgs;

/// Likelihood models of images: train, measure bits per dimension, sample, look into the latents, compress
/// losslessly, compare.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = "\
Start here:
  vdvae train                     learns the photographs that come with the program, in minutes
  vdvae eval runs/photos32        bits per dimension on the test split
  vdvae sample runs/photos32      new images, runs/photos32/samples/...png"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Name every file that is passed over, where else their number is said.
    #[arg(long, global = true)]
    pub verbose: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model; with no arguments, the default one on the embedded photographs.
    Train(TrainArgs),
    /// Measure bits per dimension over a whole split.
    Eval(EvalArgs),
    /// Draw new images from the model; needs no data set.
    Sample(SampleArgs),
    /// Show images beside what the model keeps of them.
    Reconstruct(ReconstructArgs),
    /// Keep the latents of images, layer by layer, in a file.
    Encode(latents::EncodeArgs),
    /// Make images of latents, or of the first layers of them.
    Decode(latents::DecodeArgs),
    /// Walk from one image to another.
    Interpolate(latents::InterpolateArgs),
    /// Keep the network's activations, for other tasks to learn from.
    Features(latents::FeaturesArgs),
    /// Train and evaluate a set of configurations, and compare them.
    Sweep(SweepArgs),
    /// Make a page of figures and numbers about a run.
    Report(ReportArgs),
    /// Compress images of any size, losslessly, with the model's likelihood.
    Compress(compress::CompressArgs),
    /// Give back the images of an archive that `vdvae compress` wrote.
    Decompress(compress::DecompressArgs),
    /// Count parameters, layers, latents, operations and memory.
    Info(InfoArgs),
    /// Measure how fast a model trains, evaluates or samples on this machine.
    Bench(BenchArgs),
    /// Make a run of a published PyTorch checkpoint.
    Import(ImportArgs),
    /// Write a run's weights for the published PyTorch code, or as safetensors.
    Export(ExportArgs),
    /// Compare a model with recorded numbers of another implementation, device or day.
    Verify(VerifyArgs),
    /// Write what a shell completes commands by, or the manual pages.
    Completions(CompletionsArgs),
}

impl Command {
    /// The machine's options, where the command computes.
    pub fn machine(&self) -> Option<&Machine> {
        match self {
            Self::Train(arguments) => Some(&arguments.machine),
            Self::Eval(arguments) => Some(&arguments.trained.machine),
            Self::Sample(arguments) => Some(&arguments.trained.machine),
            Self::Reconstruct(arguments) => Some(&arguments.trained.machine),
            Self::Encode(arguments) => Some(&arguments.trained.machine),
            Self::Decode(arguments) => Some(&arguments.trained.machine),
            Self::Interpolate(arguments) => Some(&arguments.trained.machine),
            Self::Features(arguments) => Some(&arguments.trained.machine),
            Self::Sweep(arguments) => Some(&arguments.machine),
            Self::Compress(arguments) => Some(&arguments.trained.machine),
            Self::Decompress(arguments) => Some(&arguments.machine),
            Self::Bench(arguments) => Some(&arguments.machine),
            Self::Verify(arguments) => Some(&arguments.machine),
            Self::Info(_) | Self::Import(_) | Self::Export(_) | Self::Completions(_) => None,
            Self::Report(arguments) => Some(&arguments.trained.machine),
        }
    }
}

/// The names of what can be multiplied.
fn dtype() -> impl TypedValueParser<Value = Dtype> {
    PossibleValuesParser::new(Dtype::NAMES).try_map(|name| name.parse::<Dtype>())
}

/// Options of the machine.
#[derive(Clone, Debug, Args)]
pub struct Machine {
    /// Where to compute: cpu (others are built with cargo features).
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    pub device: String,
    /// Threads; 0: one per processor. Changes no result.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub threads: usize,
    /// What is multiplied: fp32, or bf16 (faster where the processor has it, less exact)
    /// [default: fp32; for train, train.dtype].
    #[arg(long, value_parser = dtype(), value_name = "TYPE")]
    pub dtype: Option<Dtype>,
}

/// Which configuration.
#[derive(Debug, Args)]
pub struct Configuration {
    /// A configuration that comes with the program: FAMILY/NAME, or NAME alone of family vdvae, such as
    /// photos32 (default), cifar10, nvae/cifar10; `vdvae info` lists them all.
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub preset: Option<String>,
    /// A configuration file; `vdvae info PRESET --toml` prints one to start from.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Changes one value, such as train.lr=1e-3 or model.width=96. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// `vdvae train`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae train                                            photos32 into runs/photos32
  vdvae train --data folder:pictures --out runs/mine     your own images
  vdvae train --preset cifar10 --data cifar10:cifar-10-python.tar.gz --set train.n_batch=4 --set train.accumulate=8
  vdvae train --set train.lr=1e-3 --steps 5000 --out runs/slow
  vdvae train --resume --out runs/slow                   after Ctrl-C, a crash or a power cut
  vdvae train --resume --out runs/slow --steps 10000     longer
  vdvae train --init runs/slow --data folder:pictures --out runs/fine     another set, from these weights

Sources for --data: photos, crops:DIR, folder:DIR, tar:FILES, npy:FILE, npz:FILE[NAME], cifar10:PATH, cifar100:PATH,
imagenet32:DIR, imagenet64:DIR, imagenet32-batches:DIR, imagenet64-batches:DIR, ffhq256:DIR, ffhq1024:DIR,
celeba:DIR, idx:DIR, amat:DIR.
A model with classes learns those of folder:DIR and tar:FILES (a folder for each class, below train, valid and test or
without these), cifar10:PATH and cifar100:PATH.

Keys for --set that presets leave out: train.optimizer (adamw, adamax or adam), train.lr_decay (none, cosine, linear, or
exponential by train.lr_rate a step), data.classes (the names of a model's classes, in its order).")]
pub struct TrainArgs {
    /// Which configuration.
    #[command(flatten)]
    pub configuration: Configuration,
    /// Images to learn, in place of the configuration's data.source.
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<Source>,
    /// The run's folder [default: runs/NAME of the preset or configuration].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Updates until training ends, in place of train.steps.
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Images at once, in place of train.n_batch.
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Of all random choices, in place of train.seed.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Keep less for the backward pass and compute it again: less memory, more time, same results.
    #[arg(long)]
    pub checkpoint_activations: bool,
    /// Continue the run in --out, bit for bit.
    #[arg(long)]
    pub resume: bool,
    /// Start from the weights of a run or a file (as `vdvae import` reads): the averaged ones, and nothing else of it.
    /// Without --preset and --config the configuration is that run's, or that in the file.
    #[arg(long, value_name = "RUN|FILE", conflicts_with = "resume")]
    pub init: Option<PathBuf>,
    /// Go on without images that cannot be read.
    #[arg(long)]
    pub skip_bad_images: bool,
    /// With --resume: what becomes of images that were not there when the run began.
    #[arg(long, value_enum, requires = "resume", value_name = "WHAT")]
    pub new_images: Option<NewImages>,
    /// Also write losses, rates, speed and sample pictures for TensorBoard, into tensorboard/ in the run's folder.
    #[arg(long)]
    pub tensorboard: bool,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// Options of the machine.
    #[command(flatten)]
    pub machine: Machine,
}

/// What becomes of images that were not there when a run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NewImages {
    /// They are for training.
    Train,
    /// They are left out.
    Leave,
}

/// Which trained model.
#[derive(Debug, Args)]
pub struct Trained {
    /// The run's folder, as `vdvae train` made it.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// A checkpoint file in place of the run's best (or latest, where nothing was validated).
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Options of the machine.
    #[command(flatten)]
    pub machine: Machine,
}

/// How latents are taken from the posterior.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PosteriorKind {
    /// Drawn.
    #[default]
    Sample,
    /// The mean.
    Mean,
}

/// `vdvae eval`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae eval runs/photos32                       the test split of the run's data
  vdvae eval runs/photos32 --split valid --json  one line of JSON
  vdvae eval runs/photos32 --samples 16          also the importance-weighted bound
  vdvae eval runs/photos32 --rates rates.svg     also a picture of the rate per layer
  vdvae eval runs/photos32 --data folder:DIR     other images, all of them

bits_per_dim is (distortion + rate) / ln 2, a mean over images; the rest of the JSON is in nats per
dimension where it says nats.")]
pub struct EvalArgs {
    /// Which model.
    #[command(flatten)]
    pub trained: Trained,
    /// Images to evaluate, in place of the run's own.
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<Source>,
    /// train, valid, test or all [default: test of the run's data, all of --data].
    #[arg(long, value_name = "SPLIT")]
    pub split: Option<Split>,
    /// Latents of the posterior: drawn, or its mean.
    #[arg(long, value_enum, default_value_t)]
    pub latents: PosteriorKind,
    /// Draws per image; more than 1 also gives the importance-weighted bound.
    #[arg(long, default_value_t = 1, value_name = "K", value_parser = clap::value_parser!(u64).range(1..))]
    pub samples: u64,
    /// Also draw the rate of each layer into this file.
    #[arg(long, value_name = "FILE.svg")]
    pub rates: Option<PathBuf>,
    /// Images at once [default: the run's]. Changes no result.
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Of the latents' noise.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Go on without images that cannot be read.
    #[arg(long)]
    pub skip_bad_images: bool,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

/// `vdvae sample`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae sample runs/photos32                            64 images in one picture
  vdvae sample runs/photos32 -n 8 --temperature 0.7     more typical, less varied
  vdvae sample runs/photos32 --temperature 1,1,1,0.8    by layer from the top, the last for the rest
  vdvae sample runs/nvae --temperature 0.7 --readjust-bn 100    batch norms as samples want them
  vdvae sample runs/photos32 -n 1000 --out samples/     single PNG files
  vdvae sample runs/photos32 -n 50000 --out x.npy       an array [n, S, S, C] of bytes
  vdvae sample runs/photos32 -n 50000 --from 50000 --out y.npy    the next 50000

Models that make pixel after pixel:
  vdvae sample runs/pixels -n 8 --given cat.png --rows 16    8 lower halves for an upper one
  vdvae sample runs/pixels --class airplane                  of one class, where the model tells classes apart
  vdvae sample runs/pixels -n 1 --no-cache                   the whole network for each pixel: slow, the same images")]
pub struct SampleArgs {
    /// Which model.
    #[command(flatten)]
    pub trained: Trained,
    /// Number of images [default: 64, or as many as --given has].
    #[arg(short, allow_negative_numbers = true, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub n: Option<u64>,
    /// The first image's number: of a seed, each number is another image, the same in any part.
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub from: u64,
    /// Factor on the prior's standard deviations: one, or one per layer from the top.
    #[arg(
        allow_negative_numbers = true,
        long,
        value_delimiter = ',',
        default_value = "1.0",
        value_name = "T[,T...]"
    )]
    pub temperature: Vec<f32>,
    /// Only images of this class, by its name or number [default: of all classes in turn].
    #[arg(long, value_name = "NAME|NUMBER")]
    pub class: Option<String>,
    /// Complete images: a file, a folder of files, or an array FILE.npy. The n-th image drawn completes the n-th of
    /// them, over and over. A picture shows both.
    #[arg(long, value_name = "PATH", requires = "rows")]
    pub given: Option<PathBuf>,
    /// Keep the first K rows of what is --given.
    #[arg(long, value_name = "K", requires = "given", value_parser = clap::value_parser!(u64).range(1..))]
    pub rows: Option<u64>,
    /// Draw by the plain sampler, the whole network for each pixel (and colour): slow; to check the other.
    #[arg(long)]
    pub no_cache: bool,
    /// FILE.png (one picture), FILE.npy, or a folder for single images
    /// [default: RUN/samples/sample-tT-seedN.png].
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Images at once [default: the run's]. Changes no result.
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// First re-estimate the statistics of batch norms by so many batches of samples at this temperature
    /// (500 in the published runs of NVAE), as helps at temperatures below 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub readjust_bn: Option<u64>,
    /// Another seed, other images.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

/// `vdvae reconstruct`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae reconstruct runs/photos32                      8 test images from several depths
  vdvae reconstruct runs/photos32 cat.jpg dog.png      your own
  vdvae reconstruct runs/photos32 --layers 5           the first 5 layers from the image, the rest
                                                       from the prior
  vdvae reconstruct runs/photos32 --resolution 8       all layers up to 8x8 from the image")]
pub struct ReconstructArgs {
    /// Which model.
    #[command(flatten)]
    pub trained: Trained,
    /// Image files (PNG, JPEG, WebP, GIF, BMP, TIFF; centre-cropped and resized) and folders of them.
    #[arg(value_name = "IMAGE", conflicts_with_all = ["data", "split", "n"])]
    pub images: Vec<PathBuf>,
    /// Images of a data set in place of files [default: the run's own].
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<Source>,
    /// Which split of the data set: train, valid, test, all.
    #[arg(long, value_name = "SPLIT")]
    pub split: Option<Split>,
    /// Number of images of the data set.
    #[arg(short, default_value_t = 8, allow_negative_numbers = true, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub n: u64,
    /// Only this many layers, from the top, from the image.
    #[arg(long, value_name = "K", conflicts_with = "resolution")]
    pub layers: Option<usize>,
    /// Only the layers up to this resolution from the image.
    #[arg(long, value_name = "R")]
    pub resolution: Option<usize>,
    /// Factor on the prior's standard deviations, for the layers that are not from the image.
    #[arg(
        allow_negative_numbers = true,
        long,
        value_delimiter = ',',
        default_value = "0.1",
        value_name = "T[,T...]"
    )]
    pub temperature: Vec<f32>,
    /// Latents of the posterior: drawn, or its mean.
    #[arg(long, value_enum, default_value_t)]
    pub latents: PosteriorKind,
    /// Images at once [default: the run's]. Changes no result.
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Go on without images that cannot be read.
    #[arg(long)]
    pub skip_bad_images: bool,
    /// The picture [default: RUN/samples/reconstruct.png].
    #[arg(long, value_name = "FILE.png")]
    pub out: Option<PathBuf>,
    /// Of all noise.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

/// `vdvae info`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae info                     the families, their presets, and what each can do
  vdvae info nvae/cifar10        one of them
  vdvae info runs/photos32       a run
  vdvae info my.toml --json      a configuration file, for a program
  vdvae info photos32 --toml     the configuration itself, to start one's own from")]
pub struct InfoArgs {
    /// A preset, a configuration file or a run's folder; nothing: a list of the presets.
    #[arg(value_name = "PRESET|CONFIG|RUN")]
    pub subject: Option<String>,
    /// Changes one value first, such as model.width=96. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print the configuration as TOML instead.
    #[arg(long, conflicts_with = "json")]
    pub toml: bool,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
}
