//! Files that are complete or absent, whenever the program or the machine stops.

mod temporary;
mod together;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind};
use std::path::Path;

pub use temporary::{Temporary, is_temporary, remove_all, remove_leftovers};
pub use together::Together;

/// Writes a file such that `path` holds either its old content or all of the new.
///
/// `write` fills a hidden file beside `path`, which is then flushed to the disk and renamed. After any
/// error, a full disk among them, or a signal, `path` is what it was and the hidden file is gone. Creates no
/// directories.
///
/// # Errors
/// What `write` or the file system returned; it does not name `path`.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let (temporary, file) = Temporary::beside(path)?;
    let mut writer = BufWriter::new(file);
    write(&mut writer)?;
    let file = writer.into_inner().map_err(|error| error.into_error())?;
    temporary.keep(file, path)
}

/// Tries whether a file can be written, by making another beside it, or where its folder is to be made; leaves
/// nothing.
///
/// # Errors
/// If it cannot, or `path` is a folder.
pub fn check_writable(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    let mut folder = directory_of(path);
    while !folder.exists() {
        folder = directory_of(folder);
    }
    if !folder.is_dir() {
        let reason = format!("{} is no folder", folder.display());
        return Err(io::Error::new(ErrorKind::NotADirectory, reason));
    }
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    Temporary::beside(&folder.join(name)).map(drop)
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes renames in the directory survive a loss of power.
fn sync_directory(directory: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be opened as a file.
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(directory)?.sync_all() {
        // Some network file systems know no such request; the new file is in its place all the same.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}
