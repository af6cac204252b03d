//! What a configuration of this family may say.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::family::ModelError;

/// More layers, maps or kinds than any machine has a use for.
const MOST: usize = 8192;

/// The architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatedPixelCnnConfig {
    /// Side of the square images, in pixels.
    pub image_size: usize,
    /// Colours of a pixel: 3, or 1 for grayscale.
    pub image_channels: usize,
    /// Of a colour, a power of 2 up to 256: fewer keep a value's upper bits alone.
    #[serde(default = "all_levels")]
    pub levels: usize,
    /// Gated layers.
    pub nr_layers: usize,
    /// Feature maps p of each stack.
    pub nr_filters: usize,
    /// Rows and columns n of the kernels, an odd number; what lies below or to the right is never seen.
    pub kernel: usize,
    /// The same of the first layer.
    pub first_kernel: usize,
    /// Feature maps between the last layer and the logits.
    pub nr_head: usize,
    /// Kinds of images that the model tells apart; 0: it does not.
    #[serde(default)]
    pub classes: usize,
}

fn all_levels() -> usize {
    256
}

impl GatedPixelCnnConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// The first that describes no model: the key, what was expected and what was found.
    pub fn check(&self) -> Result<(), ModelError> {
        let colours = self.image_channels;
        let expected = "3 (RGB) or 1 (grayscale)";
        require(
            "image_channels",
            matches!(colours, 1 | 3),
            expected,
            colours,
        )?;
        let levels = self.levels;
        let possible = (2..=256).contains(&levels) && levels.is_power_of_two();
        require("levels", possible, "a power of 2 from 2 to 256", levels)?;
        for (field, found, least) in [
            ("image_size", self.image_size, 1),
            ("nr_layers", self.nr_layers, 1),
            ("nr_filters", self.nr_filters, colours),
            ("nr_head", self.nr_head, colours),
            ("classes", self.classes, 0),
        ] {
            let expected = format!("a whole number from {least} to {MOST}");
            require(field, (least..=MOST).contains(&found), &expected, found)?;
        }
        for (field, found) in [("kernel", self.kernel), ("first_kernel", self.first_kernel)] {
            let possible = found % 2 == 1 && found < 64;
            require(field, possible, "an odd number from 1 to 63", found)?;
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
