//! Options of `vdvae compress` and `vdvae decompress`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use vdvae_data::{Source, Split};
use vdvae_kernels::detect;

use super::{Machine, Trained};

/// Instruction sets of the CPU kernels, whose results differ in the last bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KernelPath {
    /// x86-64 processors with AVX-512.
    Avx512,
    /// x86-64 processors with AVX2 and FMA.
    Avx2,
    /// aarch64 processors.
    Neon,
    /// Any processor: slower, the same everywhere.
    Portable,
}

impl KernelPath {
    /// As the kernels know it.
    pub fn path(self) -> detect::Path {
        match self {
            Self::Avx512 => detect::Path::Avx512,
            Self::Avx2 => detect::Path::Avx2,
            Self::Neon => detect::Path::Neon,
            Self::Portable => detect::Path::Portable,
        }
    }
}

/// `vdvae compress`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae compress runs/photos32 cat.png -o cat.vdz
  vdvae compress runs/photos32 pictures/ -o pictures.vdz --batch 8     a folder, faster
  vdvae compress runs/photos32 pictures/ -o pictures.vdz --compare     beside PNG, WebP, JPEG XL
  vdvae compress runs/photos32 --data photos --split test -o test.vdz  images of a data set
  vdvae compress runs/photos32 cat.png -o cat.vdz --with-weights       a file that needs no other

PNG, JPEG, WebP, GIF, BMP and TIFF of any size, 8 bits, gray or RGB. What is kept is every pixel and the name,
not the file: no metadata, no colour profile, and a JPEG file is usually smaller than its pixels. The archive can
only be read with the same weights, which are kept in the run as checkpoints/kept-HASH.safetensors, however
long that trains on, and on the same kernel path: the one in use, unless --kernel-path names another.
`portable` is the same on every machine.

With latents, images are chained: each borrows random bits from those before it, the first ones from a seed. What
they borrow is in the file once for each of the --batch streams, and is reported as seed bits. Models that make
pixel after pixel borrow nothing, and take a step of the network for each pixel, both ways: a large --batch is
much faster.")]
pub struct CompressArgs {
    /// Which model.
    #[command(flatten)]
    pub trained: Trained,
    /// Image files (PNG, JPEG, WebP, GIF, BMP, TIFF) and folders of them.
    #[arg(value_name = "IMAGE", conflicts_with_all = ["data", "split", "n"])]
    pub images: Vec<PathBuf>,
    /// The archive.
    #[arg(short, long, value_name = "FILE.vdz")]
    pub out: PathBuf,
    /// Images of a data set in place of files, as the model sees them, named by their numbers.
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<Source>,
    /// train, valid, test or all of --data or, without it, of the run's own images.
    #[arg(long, value_name = "SPLIT")]
    pub split: Option<Split>,
    /// Only the first N images of the data set.
    #[arg(short, allow_negative_numbers = true, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub n: Option<u64>,
    /// Go on without images that cannot be read, or not be kept exactly.
    #[arg(long)]
    pub skip_bad_images: bool,
    /// Go on without the files of folders that are no images of a format that is read; says how many of which
    /// kind, and with --verbose which. (Those whose names begin with a dot do not count.)
    #[arg(long)]
    pub leave_others: bool,
    /// Also take pictures that hold more than 8-bit gray or RGB values, such as transparency or CMYK, and say what
    /// of them does not come back.
    #[arg(long)]
    pub allow_lossy_conversion: bool,
    /// Independent streams, which pass through the network together: faster, and each has seed bits.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub batch: usize,
    /// Cells per latent, as a power of 2: more are more exact, fewer have fewer seed bits [default: 14]. For models
    /// with latents.
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u32).range(4..=24))]
    pub latent_bits: Option<u32>,
    /// Keep neither order nor names: n images then take log2(n!) bits less than in an order that means nothing. For
    /// images of one shape that fit into one of the model's.
    #[arg(long)]
    pub order_free: bool,
    /// Put the model's weights into the archive, which then needs no run.
    #[arg(long)]
    pub with_weights: bool,
    /// Also encode the images as PNG, WebP and JPEG XL, and print a table with the encoders: cwebp and cjxl where
    /// they are on the path, else fast ones that are built in and make larger files.
    #[arg(long)]
    pub compare: bool,
    /// Compute on this kernel path [default: the fastest that this machine has].
    #[arg(long, value_enum, value_name = "PATH")]
    pub kernel_path: Option<KernelPath>,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

/// `vdvae decompress`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae decompress pictures.vdz                          into the folder pictures
  vdvae decompress pictures.vdz --run runs/photos32      with this model; else runs/* are searched for it
  vdvae decompress pictures.vdz --out back --only pictures/cat.png
  vdvae decompress pictures.vdz --checkpoint kept-8a1f04c2d9e37b65.safetensors
  vdvae decompress pictures.vdz --list                   what is in it; needs no model

Images are written as PNG, after all of them are decoded and their checksums are right. Streams are last
in, first out: --only decodes the images that were added after the one that is wanted, too.")]
pub struct DecompressArgs {
    /// The archive.
    #[arg(value_name = "FILE.vdz")]
    pub archive: PathBuf,
    /// The run that compressed it [default: the one in runs/ that has its weights].
    #[arg(long, value_name = "RUN")]
    pub run: Option<PathBuf>,
    /// The file of weights that `vdvae compress` said must be kept, or a checkpoint; needs no run.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// The folder for the images [default: the archive's name without .vdz].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Only this image.
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// List the images instead.
    #[arg(long, conflicts_with = "only")]
    pub list: bool,
    /// Compute on this kernel path [default: the one that the archive was made on].
    #[arg(long, value_enum, value_name = "PATH")]
    pub kernel_path: Option<KernelPath>,
    /// Print the result as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// Options of the machine.
    #[command(flatten)]
    pub machine: Machine,
}
