//! What a configuration of this family may say: the published arguments by their names.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::family::ModelError;
use crate::ordered::layers::Norm;

/// More channels, blocks or kinds than any machine has a use for.
const MOST: usize = 4096;
/// How often the sides of the image are halved.
pub const HALVINGS: usize = 2;

/// The architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelCnnConfig {
    /// Side of the square images that the model sees, in pixels.
    pub image_size: usize,
    /// Colour channels: 3, or 1 for grayscale images.
    pub image_channels: usize,
    /// Gated residual blocks of each stream at each of three resolutions; on the way down one more at two of them.
    pub nr_resnet: usize,
    /// Channels of both streams.
    pub nr_filters: usize,
    /// Logistic components per pixel.
    pub nr_logistic_mix: usize,
    /// Share of the numbers that training drops in every gated block.
    pub dropout: f64,
    /// Which weights of the transposed convolutions share a norm: those of an "output" channel, as in the original,
    /// or of an "input" channel, as in a much used port to PyTorch.
    #[serde(default)]
    pub deconv_norm: Norm,
    /// Kinds of images that the model is told of (`class_conditional`); 0: it is not.
    #[serde(default)]
    pub classes: usize,
}

impl PixelCnnConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// The first that is wrong: the key, what was expected and what was found.
    pub fn check(&self) -> Result<(), ModelError> {
        let (side, multiple) = (self.image_size, 1 << HALVINGS);
        require(
            "image_size",
            side > 0 && side <= 8192 && side.is_multiple_of(multiple),
            &format!("a multiple of {multiple}, up to 8192: the resolution is halved twice"),
            side,
        )?;
        let channels = self.image_channels;
        let expected = "3 (RGB) or 1 (grayscale)";
        require(
            "image_channels",
            matches!(channels, 1 | 3),
            expected,
            channels,
        )?;
        for (field, found) in [
            ("nr_resnet", self.nr_resnet),
            ("nr_filters", self.nr_filters),
            ("nr_logistic_mix", self.nr_logistic_mix),
        ] {
            let expected = format!("a whole number from 1 to {MOST}");
            require(field, (1..=MOST).contains(&found), &expected, found)?;
        }
        let dropout = self.dropout;
        let expected = "a number from 0 to below 1";
        require("dropout", (0.0..1.0).contains(&dropout), expected, dropout)?;
        let classes = self.classes;
        let expected = format!("a whole number from 0 to {MOST}, other than 1");
        require(
            "classes",
            classes <= MOST && classes != 1,
            &expected,
            classes,
        )
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
