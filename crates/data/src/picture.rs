//! Pictures as they are in their files: of any size, not cropped, resized or converted.

use std::path::PathBuf;

use crate::error::DataError;
use crate::image_file::{ImageFile, Reason};

/// A PNG, JPEG or WebP file whose picture is wanted exactly: 8 bits per channel, gray or RGB. It is
/// turned upright where the file says so.
pub struct PictureFile {
    file: ImageFile,
    shape: [usize; 3],
}

impl PictureFile {
    /// Reads the header.
    ///
    /// # Errors
    /// [`DataError::Image`] if the file cannot be read, is no image, or has more than 8 bits per channel
    /// or transparency.
    ///
    /// ```no_run
    /// let picture = vdvae_data::PictureFile::open("cat.png".into())?;
    /// let [height, width, channels] = picture.shape();
    /// assert_eq!(picture.read()?.len(), height * width * channels);
    /// # Ok::<(), vdvae_data::DataError>(())
    /// ```
    pub fn open(path: PathBuf) -> Result<Self, DataError> {
        let file = ImageFile::at(path);
        match file.exact_shape() {
            Ok(shape) => Ok(Self { file, shape }),
            Err(reason) => Err(bad(&file, reason)),
        }
    }

    /// Height, width and channels (1 or 3).
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The pixels, [height, width, channels].
    ///
    /// # Errors
    /// As [`open`](Self::open), and if the picture has another shape by now.
    pub fn read(&self) -> Result<Vec<u8>, DataError> {
        let image = self
            .file
            .decode_exact()
            .map_err(|reason| bad(&self.file, reason))?;
        let channels = usize::from(image.color().channel_count());
        let found = [image.height() as usize, image.width() as usize, channels];
        if found == self.shape {
            return Ok(image.into_bytes());
        }
        Err(DataError::mismatch(
            &self.file.name,
            "height, width and channels",
            format!("{:?}, as when it was opened", self.shape),
            format!("{found:?}"),
            "The file has changed: start again",
        ))
    }
}

fn bad(file: &ImageFile, reason: Reason) -> DataError {
    DataError::Image {
        name: file.name.clone(),
        reason,
    }
}
