//! Many files that are flushed to the disk together.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Temporary, directory_of, sync_directory, write_atomically};

/// Files that wait for the disk; more are flushed before the next is written.
const MOST: usize = 4096;

/// Files of one directory, each as of [`write_atomically`], whose way to the disk is waited for once and not
/// once a file: there may be thousands of small ones.
///
/// Files that were not [finished](Self::finish) are not there.
#[derive(Debug, Default)]
pub struct Together {
    waiting: Vec<(Temporary, PathBuf)>,
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
        writer.flush()?;
        self.waiting.push((temporary, path.to_owned()));
        Ok(())
    }

    /// Waits for the disk, and gives all files their names.
    ///
    /// # Errors
    /// What the file system returned.
    pub fn finish(&mut self) -> io::Result<()> {
        let Some((_, path)) = self.waiting.first() else {
            return Ok(());
        };
        let directory = directory_of(path).to_owned();
        sync_file_system(&directory)?;
        for (temporary, path) in self.waiting.drain(..) {
            temporary.rename(&path)?;
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
