//! Pictures of any size, not cropped or resized.

use std::path::PathBuf;

use crate::error::DataError;
use crate::image_file::{ImageFile, Reason, shape_of};
use crate::loss::Losses;

/// An image file whose picture is wanted as it is: 8 bits per channel, gray or RGB, turned upright where the file
/// says so.
pub struct PictureFile {
    file: ImageFile,
    shape: [usize; 3],
    losses: Losses,
}

impl PictureFile {
    /// A file whose pixels can be given back exactly. Transparency that shows nowhere and bits that are not used
    /// do not count.
    ///
    /// # Errors
    /// [`DataError::Image`] if the file cannot be read or is no image, [`DataError::Lossy`] if it holds more than
    /// 8-bit gray or RGB values.
    ///
    /// ```no_run
    /// let picture = vdvae_data::PictureFile::open("cat.png".into())?;
    /// let [height, width, channels] = picture.shape();
    /// assert_eq!(picture.read()?.len(), height * width * channels);
    /// # Ok::<(), vdvae_data::DataError>(())
    /// ```
    pub fn open(path: PathBuf) -> Result<Self, DataError> {
        let picture = Self::open_converted(path)?;
        if picture.losses.is_empty() {
            return Ok(picture);
        }
        Err(DataError::Lossy {
            name: picture.file.name,
            losses: picture.losses,
        })
    }

    /// Any file: [`losses`](Self::losses) tells what its pixels lost.
    ///
    /// # Errors
    /// [`DataError::Image`] if the file cannot be read or is no image.
    pub fn open_converted(path: PathBuf) -> Result<Self, DataError> {
        let file = ImageFile::at(path);
        match file.inspect() {
            Ok((shape, losses)) => Ok(Self {
                file,
                shape,
                losses,
            }),
            Err(reason) => Err(bad(&file, reason)),
        }
    }

    /// Height, width and channels (1 or 3).
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// What the file holds that [`read`](Self::read) does not give.
    pub fn losses(&self) -> Losses {
        self.losses
    }

    /// The pixels, [height, width, channels].
    ///
    /// # Errors
    /// As [`open`](Self::open), and if the picture is another by now.
    pub fn read(&self) -> Result<Vec<u8>, DataError> {
        let (image, losses) = self
            .file
            .decode_bytes()
            .map_err(|reason| bad(&self.file, reason))?;
        let found = shape_of(&image);
        if found == self.shape && losses == self.losses {
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
