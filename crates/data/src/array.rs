//! Images as rows of one array, in memory or in a file.

use std::ops::{Deref, Range};
use std::path::Path;

use memmap2::Mmap;
use vdvae_formats::npy::Header;
use vdvae_formats::regular;

use crate::channels;
use crate::dataset::{Dataset, ImageShape};
use crate::error::DataError;
use crate::layout::ImageLayout;
use crate::rng::ItemRng;

/// Bytes in memory, or in a file that the system reads as they are needed.
pub(crate) enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Maps a file into memory.
///
/// # Errors
/// [`DataError::Format`] if the file cannot be opened or mapped.
#[allow(unsafe_code)]
pub(crate) fn map_file(path: &Path) -> Result<Mmap, DataError> {
    let file = regular::open(path).map_err(DataError::io("open", path))?;
    // SAFETY: the map is only read, as bytes, of which every value is valid. A file that another
    // program writes to meanwhile gives other pixels; one that is cut short ends this program, as
    // with every memory-mapped file.
    unsafe { Mmap::map(&file) }.map_err(DataError::io("read", path))
}

/// How large the images of an array have to be.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fit {
    /// As large as the model wants them.
    Exact,
    /// As large or smaller: they get a border of zeros, as those of MNIST.
    Padded,
}

/// N x S x S x C bytes, one image a row.
pub(crate) struct ArrayImages {
    bytes: Bytes,
    /// Where the array is in `bytes`; a whole number of images.
    array: Range<usize>,
    /// Of an image in `bytes`: at most the size of `image`, and channels that are converted to its.
    stored: ImageShape,
    image: ImageShape,
    place: String,
}

impl ArrayImages {
    /// Images in `bytes`, which `array` delimits, of the size of `image` with `channels` channels.
    pub fn new(
        bytes: Bytes,
        array: Range<usize>,
        channels: usize,
        image: ImageShape,
        place: String,
    ) -> Self {
        Self {
            bytes,
            array,
            stored: ImageShape { channels, ..image },
            image,
            place,
        }
    }

    /// Bytes of one stored image.
    fn stride(&self) -> usize {
        self.stored.len()
    }
}

impl Dataset for ArrayImages {
    fn len(&self) -> usize {
        self.array.len() / self.stride()
    }

    fn image(&self) -> ImageShape {
        self.image
    }

    fn read(&self, index: usize, _: &mut ItemRng, out: &mut [u8]) -> Result<(), DataError> {
        let start = self.array.start + index * self.stride();
        let pixels = &self.bytes[start..start + self.stride()];
        let (from, to) = (self.stored, self.image);
        if from.size == to.size {
            channels::convert(pixels, from.channels, out, to.channels);
            return Ok(());
        }
        let border = (to.size - from.size) / 2;
        out.fill(0);
        for (y, row) in pixels.chunks_exact(from.size * from.channels).enumerate() {
            let start = ((border + y) * to.size + border) * to.channels;
            let row_out = &mut out[start..start + from.size * to.channels];
            channels::convert(row, from.channels, row_out, to.channels);
        }
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        format!("{} row {index}", self.place)
    }
}

/// Opens a .npy file of images as large as `image`.
pub(crate) fn open_npy(path: &Path, image: ImageShape) -> Result<ArrayImages, DataError> {
    let map = map_file(path)?;
    let all = 0..map.len();
    let place = path.display().to_string();
    from_npy(Bytes::Mapped(map), all, Fit::Exact, image, place)
}

/// The images in the .npy file that `npy` delimits in `bytes`.
pub(crate) fn from_npy(
    bytes: Bytes,
    npy: Range<usize>,
    fit: Fit,
    image: ImageShape,
    place: String,
) -> Result<ArrayImages, DataError> {
    let header = Header::parse(&bytes[npy.clone()], &place)?;
    let layout = ImageLayout::of(&header, fit, image, &place)?;
    let start = npy.start + header.data_start;
    let available = npy.end - start;
    if available < layout.bytes {
        let rows = available / (layout.bytes / layout.images);
        let expected = format!("{} bytes for shape {}", layout.bytes, header.shape_text());
        let found = format!("{available} bytes, which hold {rows} images");
        let remedy = "The file is truncated: copy or download it again";
        return Err(DataError::mismatch(&place, "data", expected, found, remedy));
    }
    Ok(ArrayImages {
        bytes,
        array: start..start + layout.bytes,
        stored: layout.stored,
        image,
        place,
    })
}
