//! IDX files of images, as MNIST and what is shaped like it is published.
//!
//! Format: two zero bytes, 8 (for bytes), 3 (dimensions), then the number of images, rows and
//! columns as 4 bytes each, big endian, then the pixels.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::{FormatError, gzip};

const MAGIC: [u8; 4] = [0, 0, 8, 3];
const HEADER: usize = 16;

/// So much of an unpacked file is read at most: 4 GiB.
const LARGEST: u64 = 4 << 30;

/// A file whose header is read.
pub struct IdxFile {
    path: PathBuf,
    reader: Box<dyn Read>,
    /// Number of images, rows and columns, as the file claims.
    pub shape: [u64; 3],
}

impl IdxFile {
    /// Reads the header of a file, packed with gzip or not.
    ///
    /// # Errors
    /// [`FormatError::Io`] if the file cannot be read, [`FormatError::Mismatch`] if it is no IDX file of bytes
    /// with three dimensions.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let mut reader = gzip::open(path)?;
        let mut header = Vec::new();
        reader
            .by_ref()
            .take(HEADER as u64)
            .read_to_end(&mut header)
            .map_err(FormatError::io("read", path))?;
        if header.len() < HEADER || header[..4] != MAGIC {
            let found = format!("{:02x?}", &header[..header.len().min(4)]);
            let expected = "00 00 08 03 and three sizes";
            return Err(FormatError::mismatch(
                &path.display().to_string(),
                "header",
                expected,
                found,
                "This is no IDX file of images",
            ));
        }
        let size = |field: usize| {
            let bytes = &header[4 + 4 * field..8 + 4 * field];
            bytes
                .iter()
                .fold(0, |size, &byte| (size << 8) | u64::from(byte))
        };
        Ok(Self {
            path: path.to_owned(),
            reader,
            shape: [size(0), size(1), size(2)],
        })
    }

    /// All pixels, [images, rows, columns].
    ///
    /// # Errors
    /// [`FormatError::Io`] if the file cannot be read, [`FormatError::Mismatch`] if there are fewer pixels than
    /// it claims, or more than 4 GiB of them.
    pub fn pixels(self) -> Result<Vec<u8>, FormatError> {
        let [count, rows, columns] = self.shape;
        // Three numbers of 32 bits each: this does not overflow.
        let bytes: u128 = self.shape.iter().map(|&side| u128::from(side)).product();
        let mut pixels = Vec::new();
        self.reader
            .take(LARGEST.min(bytes.try_into().unwrap_or(u64::MAX)))
            .read_to_end(&mut pixels)
            .map_err(FormatError::io("read", &self.path))?;
        if pixels.len() as u128 != bytes {
            let place = self.path.display().to_string();
            let expected = format!("{count} images of {rows} x {columns}, {bytes} bytes");
            let remedy = "The file is truncated: download it again";
            return Err(FormatError::mismatch(
                &place,
                "data",
                expected,
                pixels.len(),
                remedy,
            ));
        }
        Ok(pixels)
    }
}
