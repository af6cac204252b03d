//! Regular files, which have an end and make nobody wait.

use std::fs::{self, File, FileType};
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// Opens a regular file. Opening a FIFO would wait until somebody writes into it, and a device may have no end.
///
/// # Errors
/// If it cannot be opened; of kind [`ErrorKind::InvalidInput`] if it is none.
pub fn open(path: &Path) -> Result<File> {
    match unusual(path) {
        Some(reason) => Err(Error::new(ErrorKind::InvalidInput, reason)),
        None => File::open(path),
    }
}

/// All bytes of a regular file.
///
/// # Errors
/// As [`open`], and if it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Why what is at a path cannot be read as a file, if it is there and none: "is a FIFO, ...".
pub fn unusual(path: &Path) -> Option<String> {
    let kind = name(fs::metadata(path).ok()?.file_type())?;
    Some(format!("is {kind}, where a regular file was expected"))
}

/// What is no regular file, in words.
fn name(kind: FileType) -> Option<&'static str> {
    if kind.is_file() {
        return None;
    }
    if kind.is_dir() {
        return Some("a folder");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return Some("a FIFO");
        }
        if kind.is_socket() {
            return Some("a socket");
        }
    }
    Some("a device")
}
