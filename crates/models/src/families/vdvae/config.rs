//! What a configuration of this family may say.

use serde::{Deserialize, Serialize};

use crate::likelihood::LikelihoodKind;

/// The architecture in the reference's names. [`Architecture`](super::architecture::Architecture) parses and checks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VdvaeConfig {
    /// Side of the square images that the model sees, in pixels.
    pub image_size: usize,
    /// Colour channels: 3, or 1 for grayscale and binary images.
    #[serde(default = "defaults::image_channels")]
    pub image_channels: usize,
    /// Channels at every resolution that `custom_width_str` does not name.
    pub width: usize,
    /// Latent channels of every decoder block.
    pub zdim: usize,
    /// Middle channels of a bottleneck block as a fraction of its width, rounded down.
    #[serde(default = "defaults::bottleneck_multiple")]
    pub bottleneck_multiple: f64,
    /// Encoder blocks, bottom-up: `RxN` N blocks at resolution R, `RdD` one that then pools by D.
    pub enc_blocks: String,
    /// Decoder blocks, top-down: `RxN` N blocks at resolution R, `RmM` one that first mixes in M.
    pub dec_blocks: String,
    /// Widths at single resolutions, such as `512:32,256:64`.
    #[serde(default)]
    pub custom_width_str: String,
    /// The largest resolution that starts from a learned bias; larger ones start from zeros.
    #[serde(default = "defaults::no_bias_above")]
    pub no_bias_above: usize,
    /// Logistic components per pixel.
    #[serde(default = "defaults::num_mixtures")]
    pub num_mixtures: usize,
    /// Bits per colour value in the loss: 8, or 5.
    #[serde(default = "defaults::bits")]
    pub bits: u32,
    /// The distribution of a pixel given the latents.
    #[serde(default)]
    pub likelihood: LikelihoodKind,
    /// Whether a layer adds to the top-down state, as published, or replaces it (an ablation, see
    /// [`super::Decoder`]).
    #[serde(default = "defaults::topdown_residual")]
    pub topdown_residual: bool,
    /// How the state of a lower resolution enters a higher one.
    #[serde(default)]
    pub upsample: Upsample,
}

/// How the top-down state of a lower resolution is brought to a higher one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Upsample {
    /// Each pixel repeated, the first channels taken, as published: nothing is learned.
    #[default]
    Nearest,
    /// First a learned 1x1 convolution from the lower resolution's width to the higher one's (an
    /// ablation), then each pixel repeated.
    Conv,
}

/// Values that a model which does not name them has in every published configuration.
mod defaults {
    pub fn image_channels() -> usize {
        3
    }
    pub fn bottleneck_multiple() -> f64 {
        0.25
    }
    pub fn no_bias_above() -> usize {
        64
    }
    pub fn num_mixtures() -> usize {
        10
    }
    pub fn bits() -> u32 {
        8
    }
    pub fn topdown_residual() -> bool {
        true
    }
}
