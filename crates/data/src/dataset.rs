//! What a data set is to the rest of the program, and the ways to select from and combine them.

use std::fmt;
use std::sync::Arc;

use crate::error::DataError;
use crate::loss::LossCounts;
use crate::rng::ItemRng;

/// Side and channels of the square images that a data set delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// Side in pixels.
    pub size: usize,
    /// 1 (grayscale) or 3 (RGB).
    pub channels: usize,
}

impl ImageShape {
    /// Values of one image: size x size x channels, one byte each.
    pub fn len(&self) -> usize {
        self.size * self.size * self.channels
    }

    /// Whether an image has no values at all. No data set delivers such images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks that images of this shape can be delivered.
    ///
    /// # Errors
    /// [`DataError::Argument`] unless the size is 1 to 32768 and the channels are 1 or 3.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        if !(1..=32_768).contains(&self.size) {
            return Err(DataError::Argument {
                field: "image_size",
                expected: "1 to 32768",
                found: self.size.to_string(),
            });
        }
        if self.channels != 1 && self.channels != 3 {
            return Err(DataError::Argument {
                field: "image_channels",
                expected: "1 (grayscale) or 3 (RGB)",
                found: self.channels.to_string(),
            });
        }
        Ok(())
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{0} x {0} x {1}", self.size, self.channels)
    }
}

/// Images that can be read in any order, from any thread.
pub trait Dataset: Send + Sync {
    /// Items of one epoch.
    fn len(&self) -> usize;

    /// Whether there are no items. [`crate::open`] never returns such a data set.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape of every image.
    fn image(&self) -> ImageShape;

    /// Writes item `index` (below [`len`](Self::len)) as [size, size, channels] into `out`.
    ///
    /// What is random about it (crop, flip) is drawn from `rng`, and nothing else is.
    ///
    /// # Errors
    /// If the item cannot be read; the error names its file.
    fn read(&self, index: usize, rng: &mut ItemRng, out: &mut [u8]) -> Result<(), DataError>;

    /// What a person would call item `index`: a file, "photos/test/moose.webp crop 3", "a.npy row 17".
    fn name(&self, index: usize) -> String;

    /// The number of the class of item `index` among [`crate::OpenOptions::classes`]; nothing where these are empty.
    fn class(&self, _index: usize) -> Option<usize> {
        None
    }

    /// The images that were left out because they could not be read, with the reason.
    /// Empty unless [`crate::OpenOptions::skip_bad_images`] is set.
    fn skipped(&self) -> &[String] {
        &[]
    }

    /// How many of the files that were read so far hold more than 8-bit gray or RGB values, and what of it was lost.
    fn losses(&self) -> LossCounts {
        LossCounts::default()
    }
}

/// Some items of another data set, in the given order.
pub(crate) struct Subset {
    pub inner: Arc<dyn Dataset>,
    /// Each below `inner.len()`.
    pub indices: Vec<usize>,
}

impl Dataset for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn image(&self) -> ImageShape {
        self.inner.image()
    }

    fn read(&self, index: usize, rng: &mut ItemRng, out: &mut [u8]) -> Result<(), DataError> {
        self.inner.read(self.indices[index], rng, out)
    }

    fn name(&self, index: usize) -> String {
        self.inner.name(self.indices[index])
    }

    fn class(&self, index: usize) -> Option<usize> {
        self.inner.class(self.indices[index])
    }

    fn skipped(&self) -> &[String] {
        self.inner.skipped()
    }

    fn losses(&self) -> LossCounts {
        self.inner.losses()
    }
}

/// Two data sets of the same image shape, one after the other.
pub(crate) struct Joined {
    pub first: Arc<dyn Dataset>,
    pub second: Arc<dyn Dataset>,
}

impl Joined {
    /// The data set that holds item `index`, and the item's index there.
    fn locate(&self, index: usize) -> (&dyn Dataset, usize) {
        match index.checked_sub(self.first.len()) {
            None => (self.first.as_ref(), index),
            Some(index) => (self.second.as_ref(), index),
        }
    }
}

impl Dataset for Joined {
    fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }

    fn image(&self) -> ImageShape {
        self.first.image()
    }

    fn read(&self, index: usize, rng: &mut ItemRng, out: &mut [u8]) -> Result<(), DataError> {
        let (dataset, index) = self.locate(index);
        dataset.read(index, rng, out)
    }

    fn name(&self, index: usize) -> String {
        let (dataset, index) = self.locate(index);
        dataset.name(index)
    }

    fn class(&self, index: usize) -> Option<usize> {
        let (dataset, index) = self.locate(index);
        dataset.class(index)
    }
}

/// Another data set whose images have classes.
pub(crate) struct Labelled {
    pub inner: Arc<dyn Dataset>,
    /// The number of each image's.
    pub classes: Vec<usize>,
}

impl Dataset for Labelled {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn image(&self) -> ImageShape {
        self.inner.image()
    }

    fn read(&self, index: usize, rng: &mut ItemRng, out: &mut [u8]) -> Result<(), DataError> {
        self.inner.read(index, rng, out)
    }

    fn name(&self, index: usize) -> String {
        self.inner.name(index)
    }

    fn class(&self, index: usize) -> Option<usize> {
        self.classes.get(index).copied()
    }
}

/// Another data set whose images are mirrored left to right, half of the time.
pub(crate) struct RandomlyFlipped(pub Arc<dyn Dataset>);

impl Dataset for RandomlyFlipped {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn image(&self) -> ImageShape {
        self.0.image()
    }

    fn read(&self, index: usize, rng: &mut ItemRng, out: &mut [u8]) -> Result<(), DataError> {
        self.0.read(index, rng, out)?;
        if rng.coin() {
            mirror(out, self.image());
        }
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        self.0.name(index)
    }

    fn class(&self, index: usize) -> Option<usize> {
        self.0.class(index)
    }

    fn skipped(&self) -> &[String] {
        self.0.skipped()
    }

    fn losses(&self) -> LossCounts {
        self.0.losses()
    }
}

/// Mirrors an image left to right in place.
fn mirror(image: &mut [u8], shape: ImageShape) {
    let channels = shape.channels;
    for row in image.chunks_exact_mut(shape.size * channels) {
        for left in 0..shape.size / 2 {
            let right = shape.size - 1 - left;
            for channel in 0..channels {
                row.swap(left * channels + channel, right * channels + channel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirroring_keeps_pixels_whole_and_is_its_own_inverse() {
        let shape = ImageShape {
            size: 3,
            channels: 3,
        };
        let image: Vec<u8> = (0..27).collect();
        let mut mirrored = image.clone();
        mirror(&mut mirrored, shape);
        assert_eq!(mirrored[..9], [6, 7, 8, 3, 4, 5, 0, 1, 2]);
        mirror(&mut mirrored, shape);
        assert_eq!(mirrored, image);
    }

    #[test]
    fn impossible_shapes_are_refused() {
        for (size, channels) in [(0, 3), (32_769, 3), (32, 2), (32, 0), (32, 4)] {
            assert!(
                ImageShape { size, channels }.check().is_err(),
                "{size} {channels}"
            );
        }
    }
}
