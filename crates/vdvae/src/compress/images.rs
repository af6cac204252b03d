//! What is compressed.

use anyhow::Result;

/// Images to compress, read when their turn comes.
pub trait Images {
    /// How many.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name in the archive (see [`vdvae_coding::container::check_name`]).
    fn name(&self, index: usize) -> String;

    /// Height, width and channels (1 or 3).
    fn shape(&self, index: usize) -> [usize; 3];

    /// The pixels, [height, width, channels].
    ///
    /// # Errors
    /// If the image cannot be read.
    fn read(&self, index: usize) -> Result<Vec<u8>>;
}

/// An image in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its name in the archive.
    pub name: String,
    /// Height, width and channels (1 or 3).
    pub shape: [usize; 3],
    /// [height, width, channels].
    pub pixels: Vec<u8>,
}

impl Images for Vec<Image> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn name(&self, index: usize) -> String {
        self[index].name.clone()
    }

    fn shape(&self, index: usize) -> [usize; 3] {
        self[index].shape
    }

    fn read(&self, index: usize) -> Result<Vec<u8>> {
        Ok(self[index].pixels.clone())
    }
}
