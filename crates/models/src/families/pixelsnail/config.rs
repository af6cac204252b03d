//! What a configuration of this family may say: the published arguments by their names.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::family::ModelError;

/// More channels, blocks or components than any machine has a use for.
const MOST: usize = 4096;

/// The architecture, and the dropout of its training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelSnailConfig {
    /// Side of the square images, in pixels: the background tells each pixel where it is.
    pub image_size: usize,
    /// Colour channels: 3, or 1 for grayscale images.
    pub image_channels: usize,
    /// Blocks, each of residual blocks and one look at all earlier pixels.
    pub nr_blocks: usize,
    /// Gated residual blocks in a block.
    pub nr_resnet: usize,
    /// Channels F of the features; values of attention have half as many.
    pub nr_filters: usize,
    /// Logistic components per pixel.
    pub nr_logistic_mix: usize,
    /// Channels of queries and keys.
    pub key_size: usize,
    /// Side of the cells over which keys and values are the largest of their pixels'; 1: each pixel has its own.
    pub att_downsample: usize,
    /// What stands before each convolution: "elu" (published), "relu" or "concat_elu".
    pub nonlinearity: Nonlinearity,
    /// Share of the values before the second convolution of a residual block that training leaves out.
    pub dropout: f64,
}

/// What stands before a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nonlinearity {
    /// x above 0, else exp(x) - 1.
    Elu,
    /// x above 0, else 0.
    Relu,
    /// The elu of x and of -x: twice the channels.
    ConcatElu,
}

impl PixelSnailConfig {
    /// Checks every value, and that they fit together.
    ///
    /// # Errors
    /// The first that does not: the key, what was expected and what was found.
    pub fn check(&self) -> Result<(), ModelError> {
        let side = self.image_size;
        require(
            "image_size",
            (1..=512).contains(&side),
            "a whole number from 1 to 512",
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
        let counts = [
            ("nr_blocks", self.nr_blocks),
            ("nr_resnet", self.nr_resnet),
            ("nr_filters", self.nr_filters),
            ("nr_logistic_mix", self.nr_logistic_mix),
            ("key_size", self.key_size),
            ("att_downsample", self.att_downsample),
        ];
        for (field, found) in counts {
            let expected = format!("a whole number from 1 to {MOST}");
            require(field, (1..=MOST).contains(&found), &expected, found)?;
        }
        let filters = self.nr_filters;
        let expected = "an even number: values of attention have half as many channels";
        require("nr_filters", filters.is_multiple_of(2), expected, filters)?;
        let cell = self.att_downsample;
        let expected = format!("a divisor of image_size ({side})");
        require("att_downsample", side.is_multiple_of(cell), &expected, cell)?;
        let dropout = self.dropout;
        require(
            "dropout",
            (0.0..1.0).contains(&dropout),
            "a number from 0 up to 1, without 1",
            dropout,
        )
    }

    /// Channels of a value.
    pub fn value_size(&self) -> usize {
        self.nr_filters / 2
    }

    /// Earlier cells, of all in raster order, that each pixel may look at: those whose pixels all come before it
    /// (section 2.2, and the published code's pooled variant).
    pub fn seen(&self) -> Vec<usize> {
        let (side, cell) = (self.image_size, self.att_downsample);
        let pixel = |i: usize| {
            let (row, column) = (i / side, i % side);
            let cells = side / cell;
            // In the last row of a row of cells, those that end left of the pixel are complete.
            let in_row = if row % cell == cell - 1 {
                column / cell
            } else {
                0
            };
            (row / cell) * cells + in_row
        };
        (0..side * side).map(pixel).collect()
    }
}

fn require(
    field: &str,
    is_met: bool,
    expected: &str,
    found: impl Display,
) -> Result<(), ModelError> {
    if is_met {
        return Ok(());
    }
    Err(ModelError(format!(
        "model.{field}: expected {expected}, found {found}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(side: usize, cell: usize) -> PixelSnailConfig {
        PixelSnailConfig {
            image_size: side,
            image_channels: 1,
            nr_blocks: 1,
            nr_resnet: 1,
            nr_filters: 2,
            nr_logistic_mix: 1,
            key_size: 1,
            att_downsample: cell,
            nonlinearity: Nonlinearity::Elu,
            dropout: 0.0,
        }
    }

    #[test]
    fn a_pixel_sees_the_cells_that_end_before_it() {
        for (side, cell) in [(3, 1), (4, 2), (9, 3), (8, 4)] {
            let last = |i: usize| {
                let (row, column) = (i / (side / cell), i % (side / cell));
                (row * cell + cell - 1) * side + column * cell + cell - 1
            };
            let cells = (side / cell).pow(2);
            let seen = config(side, cell).seen();
            for (pixel, &seen) in seen.iter().enumerate() {
                let expected = (0..cells).filter(|&i| last(i) < pixel).count();
                assert_eq!(seen, expected, "pixel {pixel} of {side} in cells of {cell}");
            }
        }
    }
}
