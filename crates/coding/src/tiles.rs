//! Images of any size as tiles of the model's.

use crate::error::{CodingError, expect_len};
use std::ops::Range;

/// How an image is cut into squares of the model's size, row by row.
///
/// The squares at the right and lower edges may reach beyond the image. The network sees the
/// nearest pixel of the image there; the pixel codec leaves those pixels out by the
/// [mask](Self::valid), so they cost nothing but what they tell about the latents.
///
/// A gray image under a model of 3 colours is seen as 3 equal ones, of which
/// [only the first](crate::PixelCodec::first_colour) is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    width: usize,
    height: usize,
    channels: usize,
    side: usize,
    colours: usize,
}

impl Tiling {
    /// The tiling of an image of `[height, width, channels]` for a model of `[side, side,
    /// colours]`.
    ///
    /// # Errors
    /// If a size is 0, or an image of 3 channels meets a model of 1 colour.
    pub fn new(
        [height, width, channels]: [usize; 3],
        side: usize,
        colours: usize,
    ) -> Result<Self, CodingError> {
        let setting = |what, expected, found: usize, good| match good {
            true => Ok(()),
            false => Err(CodingError::Setting {
                what,
                expected,
                found: found as u64,
            }),
        };
        setting("width of the image", "at least 1", width, width > 0)?;
        setting("height of the image", "at least 1", height, height > 0)?;
        setting("side of the model", "at least 1", side, side > 0)?;
        let known = matches!(colours, 1 | 3);
        setting("colours of the model", "1 or 3", colours, known)?;
        let fitting = channels == 1 || channels == colours;
        let expected = "1, or as many as the model has colours";
        setting("channels of the image", expected, channels, fitting)?;
        Ok(Self {
            width,
            height,
            channels,
            side,
            colours,
        })
    }

    /// Number of tiles.
    pub fn len(&self) -> usize {
        self.columns() * self.height.div_ceil(self.side)
    }

    /// Channels of the image.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Values of the image, `height * width * channels`.
    pub fn image_len(&self) -> usize {
        self.width * self.height * self.channels
    }

    /// Whether there is no tile: never, as sizes are not 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The image's rows and columns in a tile.
    pub fn area(&self, tile: usize) -> (Range<usize>, Range<usize>) {
        let top = tile / self.columns() * self.side;
        let left = tile % self.columns() * self.side;
        let rows = top..(top + self.side).min(self.height);
        let columns = left..(left + self.side).min(self.width);
        (rows, columns)
    }

    /// The tiling of a tile's area as an image of its own, of one tile.
    pub fn alone(&self, tile: usize) -> Self {
        let (rows, columns) = self.area(tile);
        Self {
            width: columns.len(),
            height: rows.len(),
            ..*self
        }
    }

    /// Which pixels of a tile lie in the image, `[side, side]`; `None` if all do.
    pub fn valid(&self, tile: usize) -> Option<Vec<bool>> {
        let (rows, columns) = self.area(tile);
        if rows.len() == self.side && columns.len() == self.side {
            return None;
        }
        let pixels = 0..self.side * self.side;
        let inside = |i: usize| i / self.side < rows.len() && i % self.side < columns.len();
        Some(pixels.map(inside).collect())
    }

    /// A tile `[side, side, colours]` as the network sees it, from the image `[height, width,
    /// channels]`.
    ///
    /// # Errors
    /// If lengths differ or there is no such tile.
    pub fn cut(&self, image: &[u8], tile: usize, out: &mut [u8]) -> Result<(), CodingError> {
        self.check(tile, image.len())?;
        expect_len("tile", out.len(), self.side * self.side * self.colours)?;
        let (rows, columns) = self.area(tile);
        for (i, pixel) in out.chunks_exact_mut(self.colours).enumerate() {
            let row = (rows.start + i / self.side).min(rows.end - 1);
            let column = (columns.start + i % self.side).min(columns.end - 1);
            let from = (row * self.width + column) * self.channels;
            for (colour, value) in pixel.iter_mut().enumerate() {
                *value = image[from + colour.min(self.channels - 1)];
            }
        }
        Ok(())
    }

    /// Puts the pixels of a tile that lie in the image into it. `from` is `[side, side,
    /// channels]`, or `[side, side, colours]`, of which a gray image takes the first.
    ///
    /// # Errors
    /// If lengths differ or there is no such tile.
    pub fn paste(&self, from: &[u8], tile: usize, image: &mut [u8]) -> Result<(), CodingError> {
        self.check(tile, image.len())?;
        let pixels = self.side * self.side;
        let stride = if from.len() == pixels * self.channels {
            self.channels
        } else {
            expect_len("tile", from.len(), pixels * self.colours)?;
            self.colours
        };
        let (rows, columns) = self.area(tile);
        for (y, row) in rows.enumerate() {
            for (x, column) in columns.clone().enumerate() {
                let source = (y * self.side + x) * stride;
                let target = (row * self.width + column) * self.channels;
                image[target..target + self.channels]
                    .copy_from_slice(&from[source..source + self.channels]);
            }
        }
        Ok(())
    }

    fn columns(&self) -> usize {
        self.width.div_ceil(self.side)
    }

    fn check(&self, tile: usize, image: usize) -> Result<(), CodingError> {
        expect_len("image", image, self.image_len())?;
        if tile < self.len() {
            return Ok(());
        }
        Err(CodingError::Setting {
            what: "number of a tile",
            expected: "less than the number of tiles",
            found: tile as u64,
        })
    }
}
