//! Small grayscale images in the middle of larger ones of zeros.

use crate::channels;
use crate::dataset::{Dataset, ImageShape};
use crate::error::DataError;
use crate::rng::ItemRng;

/// Grayscale images in memory, with a border of zeros up to the size of the model.
pub(crate) struct PaddedImages {
    /// [images, rows, columns].
    pub pixels: Vec<u8>,
    /// At most `image.size`.
    pub rows: usize,
    /// At most `image.size`.
    pub columns: usize,
    /// What is delivered.
    pub image: ImageShape,
    /// The file.
    pub place: String,
}

impl Dataset for PaddedImages {
    fn len(&self) -> usize {
        self.pixels.len() / (self.rows * self.columns)
    }

    fn image(&self) -> ImageShape {
        self.image
    }

    fn read(&self, index: usize, _: &mut ItemRng, out: &mut [u8]) -> Result<(), DataError> {
        let ImageShape { size, channels } = self.image;
        let (top, left) = ((size - self.rows) / 2, (size - self.columns) / 2);
        let area = self.rows * self.columns;
        let image = &self.pixels[index * area..(index + 1) * area];
        out.fill(0);
        for (y, row) in image.chunks_exact(self.columns).enumerate() {
            let start = ((top + y) * size + left) * channels;
            channels::convert(
                row,
                1,
                &mut out[start..start + self.columns * channels],
                channels,
            );
        }
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        format!("{} image {index}", self.place)
    }
}
