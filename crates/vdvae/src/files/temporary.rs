//! What is written under a hidden name until it is whole: gone after errors and signals, and what a killed
//! process leaves is removed by a later one.
//!
//! The name, `.NAME.PROCESS-COUNT.tmp`, is no other writer's; a lock of the system, which ends with the
//! process, tells the living from the dead, on whatever machine they are.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{directory_of, sync_directory};

/// The temporary files and folders of this process, and the directories that were rid of those of dead ones.
struct Known {
    temporaries: BTreeSet<PathBuf>,
    cleaned: BTreeSet<PathBuf>,
}

static KNOWN: Mutex<Known> = Mutex::new(Known {
    temporaries: BTreeSet::new(),
    cleaned: BTreeSet::new(),
});

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A hidden file or folder that is removed when it goes out of scope, unless it was renamed.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// An empty file in the directory of `path`, open for reading and writing.
    ///
    /// # Errors
    /// If `path` has no file name, or the file cannot be made.
    pub fn beside(path: &Path) -> io::Result<(Self, File)> {
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "expected the name of a file",
            ));
        };
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        Self::make(directory_of(path), name, |path| options.open(path))
    }

    /// An empty folder in `directory`, and what keeps it from being taken for a dead process's.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn folder(directory: &Path) -> io::Result<(Self, File)> {
        Self::make(directory, OsStr::new("folder"), |path| {
            fs::create_dir(path)?;
            File::open(path)
        })
    }

    /// Makes a file or folder and locks it.
    fn make(
        directory: &Path,
        name: &OsStr,
        make: impl Fn(&Path) -> io::Result<File>,
    ) -> io::Result<(Self, File)> {
        remove_leftovers_once(directory);
        loop {
            let temporary = Self::named(directory, name);
            let file = match make(&temporary.path) {
                // Another machine has a process of the same number.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    temporary.forget();
                    continue;
                }
                made => made?,
            };
            // Where there are no locks, nobody is taken for dead.
            let locked = file.lock();
            if locked.is_err() || temporary.path.exists() {
                return Ok((temporary, file));
            }
            // Somebody was quicker than the lock, and took it for a dead process's.
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Flushes the file to the disk and gives it its name; what had that name before is replaced.
    ///
    /// # Errors
    /// What the file system returned.
    pub fn keep(self, file: File, path: &Path) -> io::Result<()> {
        file.sync_all()?;
        // Where open files are renamed, its lock lasts until it has its name.
        if cfg!(unix) {
            self.rename(path)?;
            drop(file);
        } else {
            drop(file);
            self.rename(path)?;
        }
        sync_directory(directory_of(path))
    }

    /// Gives it its name; what had that name before is replaced.
    ///
    /// # Errors
    /// What the file system returned.
    pub fn rename(self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)
    }

    /// A name that no other thread of this process uses.
    fn named(directory: &Path, name: &OsStr) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{count}.tmp", std::process::id()));
        let path = directory.join(hidden);
        // Before it is made, so that no signal finds it unknown.
        known().temporaries.insert(path.clone());
        Self { path }
    }

    /// It is not this process's.
    fn forget(self) {
        known().temporaries.remove(&self.path);
        mem::forget(self);
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The error that brought us here is the one to report; after a rename nothing is there.
        let _ = remove(&self.path);
        known().temporaries.remove(&self.path);
    }
}

/// Removes all temporary files of this process, and keeps it from making more: for its last moment.
pub fn remove_all() {
    let known = known();
    for path in &known.temporaries {
        let _ = remove(path);
    }
    mem::forget(known);
}

/// Removes what processes that are no more left half-written in a directory.
pub fn remove_leftovers(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if !is_temporary(&path) {
            continue;
        }
        let Ok(file) = File::open(&path) else {
            continue;
        };
        // Held until it is removed: nobody begins to write it in between.
        if file.try_lock().is_ok() {
            // It takes room and does no other harm.
            let _ = remove(&path);
        }
    }
}

/// The first time only: a directory may hold many files, and be written to as often.
fn remove_leftovers_once(directory: &Path) {
    let is_new = known().cleaned.insert(directory.to_owned());
    if is_new {
        remove_leftovers(directory);
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

/// Whether the name is one of [`Temporary`]'s.
pub fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let middle = name
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(".tmp"));
    let numbers = middle.and_then(|name| name.rsplit_once('.'));
    let numbers = numbers.and_then(|(_, numbers)| numbers.split_once('-'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(process, count)| is_number(process) && is_number(count))
}
