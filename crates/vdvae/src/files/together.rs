//! Many files that are flushed to the disk together.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::{Temporary, directory_of, sync_directory, write_atomically};

/// Files that wait for the disk; more are flushed before the next is written. Each stays open, as its lock tells
/// other processes that somebody is at work on it.
const MOST: usize = 256;

/// Files of one directory, each as of [`write_atomically`], whose way to the disk is waited for once and not
/// once a file: there may be thousands of small ones.
///
/// The last of them, of which there may be hundreds, are not there before they are [finished](Self::finish).
#[derive(Debug, Default)]
pub struct Together {
    waiting: Vec<(Temporary, File, PathBuf)>,
}

impl Together {
    /// Writes a file in the directory of the others.
    ///
    /// # Errors
    /// As of [`write_atomically`]. What was written before is still to be finished.
    pub fn write(
        &mut self,
        path: &Path,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.waiting.len() == MOST {
            self.finish()?;
        }
        // Where the system has no such request as that for all, each file waits for itself.
        if !cfg!(target_os = "linux") {
            return write_atomically(path, write);
        }
        let (temporary, file) = Temporary::beside(path)?;
        let mut writer = BufWriter::new(file);
        write(&mut writer)?;
        let file = writer.into_inner().map_err(|error| error.into_error())?;
        self.waiting.push((temporary, file, path.to_owned()));
        Ok(())
    }

    /// Waits for the disk, and gives all files their names.
    ///
    /// # Errors
    /// What the file system returned.
    pub fn finish(&mut self) -> io::Result<()> {
        let Some((_, _, path)) = self.waiting.first() else {
            return Ok(());
        };
        let directory = directory_of(path).to_owned();
        sync_file_system(&directory)?;
        for (temporary, file, path) in self.waiting.drain(..) {
            temporary.rename(&path)?;
            drop(file);
        }
        sync_directory(&directory)
    }
}

/// Everything that was written to the directory's file system is on the disk.
fn sync_file_system(directory: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(File::open(directory)?)?;
    #[cfg(not(target_os = "linux"))]
    let _ = directory;
    Ok(())
}
