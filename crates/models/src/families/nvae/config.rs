//! What a configuration of this family may say: the published arguments by their names.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::family::ModelError;
use crate::likelihood::LikelihoodKind;

/// More channels, groups or cells than any machine has a use for.
const MOST: usize = 4096;

/// The architecture, and what its training minimises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NvaeConfig {
    /// Side of the square images that the model sees, in pixels.
    pub image_size: usize,
    /// Side of the middle of the image that the likelihood measures: smaller where images are padded.
    pub loss_size: usize,
    /// Colour channels: 3, or 1 for grayscale and binary images.
    pub image_channels: usize,
    /// The distribution of a pixel given the latents.
    pub likelihood: LikelihoodKind,
    /// Bits per colour value: 8, or 5.
    pub bits: u32,
    /// Logistic components per pixel (`num_mixture_dec`).
    pub num_mixtures: usize,
    /// Channels of the encoder at the image's own resolution; they double at each smaller one.
    pub num_channels_enc: usize,
    /// The same of the decoder.
    pub num_channels_dec: usize,
    /// Resolutions with latents.
    pub num_latent_scales: usize,
    /// Groups of latents at the largest of them.
    pub num_groups_per_scale: usize,
    /// Channels of a group of latents.
    pub num_latent_per_group: usize,
    /// Whether each next smaller resolution has half as many groups.
    pub ada_groups: bool,
    /// The fewest groups of a resolution, with `ada_groups`.
    pub min_groups_per_scale: usize,
    /// Blocks before the encoder, each of which halves the resolution.
    pub num_preprocess_blocks: usize,
    /// Cells of such a block.
    pub num_preprocess_cells: usize,
    /// Blocks after the decoder, each of which doubles the resolution.
    pub num_postprocess_blocks: usize,
    /// Cells of such a block.
    pub num_postprocess_cells: usize,
    /// Cells of the encoder for each group.
    pub num_cell_per_cond_enc: usize,
    /// Cells of the decoder for each group.
    pub num_cell_per_cond_dec: usize,
    /// Pairs of inverse autoregressive flows that a group's posterior passes.
    pub num_nf: usize,
    /// Whether posteriors are told by their difference from the prior.
    pub res_dist: bool,
    /// Whether cells end with squeeze and excitation.
    pub use_se: bool,
    /// Factor on the spectral norms and batch-norm scales that training minimises too (lambda).
    pub weight_decay_norm: f64,
    /// Where lambda begins, to fall log-linearly to `weight_decay_norm` as the rate's weight rises; 0: it
    /// does not.
    pub weight_decay_norm_init: f64,
    /// Share of all steps over which the rate's weight (beta) rises to 1; groups are balanced meanwhile.
    pub kl_anneal_portion: f64,
    /// Share of all steps before that, at `kl_const_coeff`.
    pub kl_const_portion: f64,
    /// The least beta.
    pub kl_const_coeff: f64,
}

impl NvaeConfig {
    /// Checks every value, and that they fit together.
    ///
    /// # Errors
    /// The first that does not: the key, what was expected and what was found.
    pub fn check(&self) -> Result<(), ModelError> {
        let counts = [
            ("num_mixtures", self.num_mixtures),
            ("num_channels_enc", self.num_channels_enc),
            ("num_channels_dec", self.num_channels_dec),
            ("num_latent_scales", self.num_latent_scales),
            ("num_groups_per_scale", self.num_groups_per_scale),
            ("num_latent_per_group", self.num_latent_per_group),
            ("min_groups_per_scale", self.min_groups_per_scale),
            ("num_preprocess_blocks", self.num_preprocess_blocks),
            ("num_preprocess_cells", self.num_preprocess_cells),
            ("num_postprocess_blocks", self.num_postprocess_blocks),
            ("num_postprocess_cells", self.num_postprocess_cells),
            ("num_cell_per_cond_enc", self.num_cell_per_cond_enc),
            ("num_cell_per_cond_dec", self.num_cell_per_cond_dec),
        ];
        for (field, found) in counts {
            let expected = format!("a whole number from 1 to {MOST}");
            require(field, (1..=MOST).contains(&found), &expected, found)?;
        }
        require(
            "num_nf",
            self.num_nf <= 64,
            "a whole number up to 64",
            self.num_nf,
        )?;
        let blocks = self.num_preprocess_blocks;
        require(
            "num_postprocess_blocks",
            self.num_postprocess_blocks == blocks,
            &format!(
                "{blocks}, as num_preprocess_blocks: the decoder ends at the image's resolution"
            ),
            self.num_postprocess_blocks,
        )?;
        self.check_pixels()?;
        self.check_sides()?;
        self.check_loss()
    }

    /// Halvings of the resolution from the image to the smallest latents.
    pub fn halvings(&self) -> usize {
        self.num_preprocess_blocks + self.num_latent_scales - 1
    }

    /// Groups at each resolution, the largest first.
    pub fn groups(&self) -> Vec<usize> {
        let mut groups = vec![self.num_groups_per_scale];
        while groups.len() < self.num_latent_scales {
            let last = groups[groups.len() - 1];
            groups.push(if self.ada_groups {
                (last / 2).max(self.min_groups_per_scale)
            } else {
                last
            });
        }
        groups
    }

    fn check_pixels(&self) -> Result<(), ModelError> {
        let channels = self.image_channels;
        match self.likelihood {
            LikelihoodKind::Dmol => {
                let expected = "3 (RGB) or 1 (grayscale) with likelihood dmol";
                require(
                    "image_channels",
                    matches!(channels, 1 | 3),
                    expected,
                    channels,
                )?;
                require("bits", matches!(self.bits, 5 | 8), "8 or 5", self.bits)
            }
            LikelihoodKind::Bernoulli => {
                let expected = "1 with likelihood bernoulli";
                require("image_channels", channels == 1, expected, channels)?;
                let expected =
                    "8 (binary images are drawn from the 8-bit values) with likelihood bernoulli";
                require("bits", self.bits == 8, expected, self.bits)
            }
        }
    }

    fn check_sides(&self) -> Result<(), ModelError> {
        let halvings = self.halvings();
        require(
            "num_latent_scales",
            halvings < 16,
            "at most 15 halvings, num_preprocess_blocks + num_latent_scales - 1",
            format!("{halvings} halvings"),
        )?;
        let multiple = 1 << halvings;
        let side = self.image_size;
        require(
            "image_size",
            side > 0 && side <= 8192 && side.is_multiple_of(multiple),
            &format!(
                "a multiple of {multiple}, up to 8192: the resolution is halved {halvings} times (num_preprocess_blocks + num_latent_scales - 1)"
            ),
            side,
        )?;
        let loss = self.loss_size;
        require(
            "loss_size",
            loss > 0 && loss <= side && (side - loss).is_multiple_of(2),
            &format!("at most image_size ({side}), with as much on either side"),
            loss,
        )?;
        // A skip connection on the way down has a quarter of its channels from each of four pixels.
        let channels = self.num_channels_enc;
        require(
            "num_channels_enc",
            channels.is_multiple_of(2),
            "an even number: twice as many, after a halving, are cut into quarters",
            channels,
        )
    }

    fn check_loss(&self) -> Result<(), ModelError> {
        let not_negative = |value: f64| value.is_finite() && value >= 0.0;
        for (field, found) in [
            ("weight_decay_norm", self.weight_decay_norm),
            ("weight_decay_norm_init", self.weight_decay_norm_init),
        ] {
            require(
                field,
                not_negative(found),
                "a finite number, 0 or more",
                found,
            )?;
        }
        let anneals = self.weight_decay_norm_init > 0.0;
        require(
            "weight_decay_norm",
            !anneals || self.weight_decay_norm > 0.0,
            "a number above 0, where weight_decay_norm_init falls to it log-linearly",
            self.weight_decay_norm,
        )?;
        for (field, found) in [
            ("kl_anneal_portion", self.kl_anneal_portion),
            ("kl_const_portion", self.kl_const_portion),
            ("kl_const_coeff", self.kl_const_coeff),
        ] {
            require(
                field,
                (0.0..=1.0).contains(&found),
                "a number from 0 to 1",
                found,
            )?;
        }
        Ok(())
    }
}

fn require(field: &str, ok: bool, expected: &str, found: impl Display) -> Result<(), ModelError> {
    if ok {
        return Ok(());
    }
    Err(ModelError(format!(
        "model.{field}: expected {expected}, found {found}"
    )))
}
