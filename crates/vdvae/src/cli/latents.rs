//! Options of the commands that look at latents: encode, decode, interpolate, features.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;
use vdvae_data::{Source, Split};

use super::Trained;
use crate::error::usage;
use crate::latents::ARRAYS;

/// Layers `a..b`, counted from 0 at the top, without b.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRange(pub Range<usize>);

impl FromStr for LayerRange {
    type Err = String;

    /// `2..5`, `2..` or `..5`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || {
            format!(
                "expected layers from a up to but not including b, such as 0..5, 3.. or ..5, found `{text}`"
            )
        };
        let (start, end) = text.split_once("..").ok_or_else(wrong)?;
        let number = |text: &str, otherwise| match text {
            "" => Ok(otherwise),
            digits => digits.parse().map_err(|_| wrong()),
        };
        let range = number(start, 0)?..number(end, usize::MAX)?;
        if range.is_empty() {
            return Err(wrong());
        }
        Ok(Self(range))
    }
}

/// Which images.
#[derive(Debug, Args)]
pub struct ImageArgs {
    /// Image files (PNG, JPEG, WebP, GIF, BMP, TIFF; centre-cropped and resized) and folders of them.
    #[arg(value_name = "IMAGE", conflicts_with_all = ["data", "split"])]
    pub images: Vec<PathBuf>,
    /// Images of a data set in place of files [default: the run's own].
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<Source>,
    /// train, valid, test or all [default: test of the run's data, all of --data].
    #[arg(long, value_name = "SPLIT")]
    pub split: Option<Split>,
    /// Which part of them.
    #[command(flatten)]
    pub part: Part,
    /// Go on without images that cannot be read.
    #[arg(long)]
    pub skip_bad_images: bool,
    /// Images at once [default: the run's]. Changes no result.
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
}

/// A part of the images, which does not change what becomes of each.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Part {
    /// Only so many images.
    #[arg(short, allow_negative_numbers = true, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub n: Option<u64>,
    /// Without the first K images.
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub from: u64,
}

impl ImageArgs {
    /// The files and folders that are read, the run's own data set aside.
    pub fn inputs(&self) -> impl Iterator<Item = &Path> {
        let data = self.data.as_ref().and_then(Source::path);
        self.images.iter().map(PathBuf::as_path).chain(data)
    }
}

impl Part {
    /// The images of `count` that are meant.
    ///
    /// # Errors
    /// If there is none.
    pub fn of(&self, count: usize) -> Result<Range<usize>> {
        let at = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).min(count);
        let start = at(self.from);
        let end = at(self.from.saturating_add(self.n.unwrap_or(u64::MAX)));
        if start == count && count > 0 {
            return Err(usage(format!(
                "--from: expected less than the number of images, {count}, found {}",
                self.from
            )));
        }
        Ok(start..end)
    }
}

/// `vdvae encode`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae encode runs/photos32 cat.jpg dog.png --out z.safetensors
  vdvae encode runs/photos32 pictures/ --out z.npz            for NumPy
  vdvae encode runs/photos32 --split test --out z.safetensors --layers 0..5 --mean
  vdvae encode runs/photos32 --data folder:DIR --out z.npz --keep z,kl_per_image
  vdvae encode runs/photos32 --split all --from 1000 -n 500 --out part.npz     images 1000 to 1499

What is computed is written at once: any number of images takes the same memory.

Arrays, float32, channels last, for every layer counted from 000 at the top:
  layer_000/z, posterior_mean, posterior_log_sigma, prior_mean, prior_log_sigma   [N, R, R, Z]
  layer_000/kl             nats of each latent variable                           [N, R, R, Z]
  layer_000/kl_per_image   nats                                                   [N]
and, as JSON in the metadata, the model's hash and configuration and the images' names.")]
pub struct EncodeArgs {
    /// Which model.
    #[command(flatten)]
    pub trained: Trained,
    /// Which images.
    #[command(flatten)]
    pub images: ImageArgs,
    /// The file, .safetensors or .npz.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Only these layers, counted from 0 at the top, such as 0..5 (without 5), 3.. or ..5.
    #[arg(long, value_name = "A..B")]
    pub layers: Option<LayerRange>,
    /// Only these arrays of each layer [default: all].
    #[arg(long, value_delimiter = ',', value_name = "ARRAY[,ARRAY...]", value_parser = PossibleValuesParser::new(ARRAYS))]
    pub keep: Vec<String>,
    /// The posterior's mean as z, in place of a draw.
    #[arg(long)]
    pub mean: bool,
    /// Of the latents' noise.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

/// `vdvae decode`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae decode runs/photos32 z.safetensors                all images in one picture
  vdvae decode runs/photos32 z.npz --out decoded/         single PNG files
  vdvae decode runs/photos32 z.npz --mode                 without the noise of the pixels
  vdvae decode runs/photos32 z.npz --layers 5             the first 5 layers as given, the rest from
                                                          the prior
  vdvae decode runs/photos32 z.npz --layers 5 --temperature 1 --seed 7    another rest

Reads the arrays layer_000/z, layer_001/z, ... of a file that `vdvae encode` wrote or that has the same
names and shapes: [N, R, R, Z], channels last, in C or Fortran order; channels first, [N, Z, R, R], is read too.")]
pub struct DecodeArgs {
    /// Which model.
    #[command(flatten)]
    pub trained: Trained,
    /// Latents, .safetensors or .npz.
    #[arg(value_name = "FILE")]
    pub latents: PathBuf,
    /// Which images of the file.
    #[command(flatten)]
    pub part: Part,
    /// So many layers from the top as given, the rest from the prior [default: all in the file].
    #[arg(long, value_name = "K")]
    pub layers: Option<usize>,
    /// Factor on the prior's standard deviations, for the layers that are not given.
    #[arg(
        allow_negative_numbers = true,
        long,
        value_delimiter = ',',
        default_value = "0.1",
        value_name = "T[,T...]"
    )]
    pub temperature: Vec<f32>,
    /// The most likely pixels, in place of a draw: without their noise.
    #[arg(long)]
    pub mode: bool,
    /// FILE.png (one picture) or a folder for single images [default: RUN/samples/decode.png].
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Images at once [default: the run's]. Changes no result.
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Of the noise of the prior and the pixels.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

/// `vdvae interpolate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae interpolate runs/photos32 cat.jpg dog.png                    a strip of 9 steps
  vdvae interpolate runs/photos32 a.png b.png --out x.gif --steps 32     there and back, without end
  vdvae interpolate runs/photos32 a.png b.png --layers 0..5          only what these layers say changes

Each layer turns (spherically) in the coordinates in which its prior is a standard normal distribution.
Layers outside of --layers keep the coordinates of the first image. Pixels are the most likely ones.")]
pub struct InterpolateArgs {
    /// Which model.
    #[command(flatten)]
    pub trained: Trained,
    /// The image to start from: PNG, JPEG, WebP, GIF, BMP or TIFF; centre-cropped and resized.
    #[arg(value_name = "A")]
    pub first: PathBuf,
    /// The image to arrive at.
    #[arg(value_name = "B")]
    pub second: PathBuf,
    /// Images from A to B, both ends among them.
    #[arg(long, default_value_t = 9, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1000))]
    pub steps: u64,
    /// Only these layers change, counted from 0 at the top, such as 0..5 (without 5), 3.. or ..5.
    #[arg(long, value_name = "A..B")]
    pub layers: Option<LayerRange>,
    /// The posterior's mean, in place of a draw.
    #[arg(long)]
    pub mean: bool,
    /// FILE.png (a strip), FILE.gif or FILE.webp (an animation)
    /// [default: RUN/samples/interpolate.png].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Images at once [default: the run's]. Changes no result.
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Of the latents' noise.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

/// `vdvae features`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae features runs/photos32 cat.jpg --layer 0 --out f.safetensors
  vdvae features runs/photos32 pictures/ --layer 4 --out f.npz
  vdvae features runs/photos32 --split train --layer 7 --pooled --out f.safetensors

Arrays, float32, channels last:
  encoder_032/activation  [N, R, R, C]  the encoder's last activation at each resolution R
  decoder_004/state       [N, R, R, C]  what layer L of the decoder leaves, with the posterior's means
  .../pooled              [N, C]        the mean of each over the pixels")]
pub struct FeaturesArgs {
    /// Which model.
    #[command(flatten)]
    pub trained: Trained,
    /// Which images.
    #[command(flatten)]
    pub images: ImageArgs,
    /// The decoder's layer, counted from 0 at the top.
    #[arg(long, value_name = "L")]
    pub layer: usize,
    /// Only the means over the pixels.
    #[arg(long)]
    pub pooled: bool,
    /// The file, .safetensors or .npz.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
}
