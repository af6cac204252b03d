//! Files that may be compressed with gzip.

use std::io::{BufReader, Read, Seek};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::{FormatError, regular};

/// Opens a file to be read from its start, unpacked if its first bytes are those of gzip.
///
/// # Errors
/// [`FormatError::Io`] if it cannot be read.
pub fn open(path: &Path) -> Result<Box<dyn Read>, FormatError> {
    let mut file = BufReader::new(regular::open(path).map_err(FormatError::io("open", path))?);
    let mut magic = Vec::new();
    file.by_ref()
        .take(2)
        .read_to_end(&mut magic)
        .map_err(FormatError::io("read", path))?;
    file.rewind().map_err(FormatError::io("read", path))?;
    let is_gzip = magic == [0x1F, 0x8B];
    Ok(if is_gzip {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    })
}
