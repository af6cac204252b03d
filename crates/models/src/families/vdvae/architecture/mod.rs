//! The structure of a network: what a [`VdvaeConfig`]'s strings mean, checked once, and counted.
//!
//! This is the only place that understands block strings. [`Architecture`] exists only for
//! configurations that describe a possible network, so code that builds layers from it has nothing
//! left to check.

mod blocks;
mod error;
mod layers;
mod numbers;
mod part;
mod structure;
mod widths;

#[cfg(test)]
mod tests;

pub use blocks::{DecBlock, EncBlock, dec_string, enc_string};
pub use error::ArchitectureError;
pub use layers::{Bottleneck, Conv};

use std::collections::BTreeSet;
use std::fmt::Display;

use blocks::Parts;
use widths::Widths;

use super::config::{Upsample, VdvaeConfig};
use crate::likelihood::LikelihoodKind;

/// The largest image side, and so the largest resolution.
pub const MAX_RESOLUTION: usize = 8192;
/// The largest width and the largest number of latent channels.
pub const MAX_CHANNELS: usize = 16384;
/// The largest number of components of the output's mixtures.
pub const MAX_MIXTURES: usize = 1024;
/// The largest number of blocks of the encoder, and of the decoder.
pub const MAX_BLOCKS: usize = 1000;

/// A network that can be built. Made from a [`VdvaeConfig`] with `try_from`.
///
/// - The encoder starts at `image_size`, and its blocks chain: each is at the resolution that the
///   one before left.
/// - The decoder's resolutions are all produced by the encoder; it ends at `image_size`; a mixin is
///   an earlier, smaller resolution that divides the block's own.
/// - Widths never shrink from a resolution to the one that the encoder pools it to, so a mixin is at
///   least as wide as its target. The width at `image_size` is `width`.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Encoder blocks, bottom-up.
    pub enc_blocks: Vec<EncBlock>,
    /// Decoder blocks, top-down.
    pub dec_blocks: Vec<DecBlock>,
    /// Side of the images, in pixels.
    pub image_size: usize,
    /// Colour channels of the images.
    pub image_channels: usize,
    /// Width at `image_size`, and wherever no other is given.
    pub width: usize,
    /// Latent channels of a decoder block.
    pub zdim: usize,
    /// Middle channels as a fraction of the width.
    pub bottleneck_multiple: f64,
    /// The largest decoder resolution with a learned bias.
    pub no_bias_above: usize,
    /// Components of the output's mixtures.
    pub num_mixtures: usize,
    /// The distribution of a pixel.
    pub likelihood: LikelihoodKind,
    /// Whether a layer adds to the top-down state.
    pub topdown_residual: bool,
    /// How a lower resolution's state enters a higher one.
    pub upsample: Upsample,
    widths: Widths,
}

impl TryFrom<&VdvaeConfig> for Architecture {
    type Error = ArchitectureError;

    fn try_from(model: &VdvaeConfig) -> Result<Self, ArchitectureError> {
        check_values(model)?;
        let enc_parts = Parts::encoder(&model.enc_blocks)?;
        let dec_parts = Parts::decoder(&model.dec_blocks)?;
        let enc_blocks = structure::encoder(&enc_parts, model.image_size)?;
        let produced = structure::produced(model.image_size, &enc_blocks);
        let widths = Widths::parse(&model.custom_width_str, model, &produced)?;
        structure::encoder_widths(&enc_parts, &widths)?;
        let dec_blocks = structure::decoder(&dec_parts, model, &produced)?;
        Ok(Self {
            enc_blocks,
            dec_blocks,
            image_size: model.image_size,
            image_channels: model.image_channels,
            width: model.width,
            zdim: model.zdim,
            bottleneck_multiple: model.bottleneck_multiple,
            no_bias_above: model.no_bias_above,
            num_mixtures: model.num_mixtures,
            likelihood: model.likelihood,
            topdown_residual: model.topdown_residual,
            upsample: model.upsample,
            widths,
        })
    }
}

impl Architecture {
    /// Channels at `resolution`.
    pub fn width_at(&self, resolution: usize) -> usize {
        self.widths.at(resolution)
    }

    /// Middle channels of the bottleneck blocks at `resolution`.
    pub fn mid_at(&self, resolution: usize) -> usize {
        mid(self.width_at(resolution), self.bottleneck_multiple)
    }

    /// Side of the middle convolutions' kernels at `resolution`: 3, or 1 where the image is no
    /// larger than 2x2.
    pub fn kernel_at(&self, resolution: usize) -> usize {
        if resolution > 2 { 3 } else { 1 }
    }

    /// The resolutions that the decoder works at, ascending.
    pub fn dec_resolutions(&self) -> Vec<usize> {
        let all: BTreeSet<usize> = self
            .dec_blocks
            .iter()
            .map(|block| block.resolution)
            .collect();
        all.into_iter().collect()
    }

    /// The resolutions that start from a learned bias, ascending: the order of `decoder.bias_xs`.
    pub fn bias_resolutions(&self) -> Vec<usize> {
        let mut resolutions = self.dec_resolutions();
        resolutions.retain(|&resolution| resolution <= self.no_bias_above);
        resolutions
    }

    /// Channels of the output: what the likelihood takes per pixel.
    ///
    /// DMOL: K logits, then for every colour K means and K log scales, and for RGB K coefficients.
    /// Bernoulli: one logit.
    pub fn out_channels(&self) -> usize {
        match (self.likelihood, self.image_channels) {
            (LikelihoodKind::Bernoulli, _) => 1,
            (LikelihoodKind::Dmol, 1) => 3 * self.num_mixtures,
            (LikelihoodKind::Dmol, _) => 10 * self.num_mixtures,
        }
    }

    /// Dimensions of an image: what nats and bits per dimension are divided by.
    pub fn dimensions(&self) -> usize {
        self.image_size * self.image_size * self.image_channels
    }
}

/// Middle channels of a block `width` channels wide.
fn mid(width: usize, multiple: f64) -> usize {
    (width as f64 * multiple) as usize
}

/// The ranges of the single values, so that nothing below overflows or divides by zero.
fn check_values(model: &VdvaeConfig) -> Result<(), ArchitectureError> {
    range("image_size", model.image_size, MAX_RESOLUTION)?;
    range("width", model.width, MAX_CHANNELS)?;
    range("zdim", model.zdim, MAX_CHANNELS)?;
    range("num_mixtures", model.num_mixtures, MAX_MIXTURES)?;
    let multiple = model.bottleneck_multiple;
    let ok = multiple > 0.0 && multiple <= 1.0;
    require(
        "bottleneck_multiple",
        ok,
        "a number above 0, at most 1",
        multiple,
    )?;
    let channels = model.image_channels;
    match model.likelihood {
        LikelihoodKind::Dmol => {
            let expected = "3 (RGB) or 1 (grayscale) with likelihood dmol";
            require(
                "image_channels",
                matches!(channels, 1 | 3),
                expected,
                channels,
            )
        }
        LikelihoodKind::Bernoulli => {
            let expected = "1 with likelihood bernoulli";
            require("image_channels", channels == 1, expected, channels)
        }
    }
}

fn range(field: &'static str, value: usize, largest: usize) -> Result<(), ArchitectureError> {
    let expected = format!("a whole number from 1 to {largest}");
    require(field, (1..=largest).contains(&value), &expected, value)
}

fn require(
    field: &'static str,
    ok: bool,
    expected: &str,
    found: impl Display,
) -> Result<(), ArchitectureError> {
    if ok {
        return Ok(());
    }
    Err(ArchitectureError::Value {
        field,
        expected: expected.to_owned(),
        found: found.to_string(),
    })
}
