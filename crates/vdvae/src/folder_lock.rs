//! One job at a time in a folder.
//!
//! The file `lock` says which process works there, on which machine. A lock of the system on it tells whether
//! that process lives; where that is not told (another machine, a file system without locks), the file's time,
//! which the process renews, does. Empty, it is nobody's: it is never removed, so that no two can have it.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::console::tell;
use crate::error::usage;

/// The file's name.
pub const NAME: &str = "lock";
/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(20);
/// Without a sign of life for so long, a job on another machine is taken for dead.
const SILENT: Duration = Duration::from_secs(120);

/// A folder that this process alone works in, until this is dropped.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
    /// Dropped, the beats end.
    beating: Option<Sender<()>>,
    beats: Option<JoinHandle<()>>,
}

/// Who has a folder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Holder {
    process: u32,
    host: String,
}

impl Holder {
    fn this() -> Self {
        Self {
            process: std::process::id(),
            host: host(),
        }
    }

    /// Nobody, if that cannot be read.
    fn read(file: &mut File) -> Option<Self> {
        let mut text = String::new();
        file.take(4096).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.process, self.host)
    }
}

impl FolderLock {
    /// Takes a folder, which must be there; `what` is it in messages, such as `--out runs/a`.
    ///
    /// # Errors
    /// If another job works there, or the file cannot be written.
    pub fn take(folder: &Path, what: &str) -> Result<Self> {
        let path = folder.join(NAME);
        let place = || format!("{}: cannot write this file", path.display());
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).with_context(place)?;
        let locked = file.try_lock();
        let holder = Holder::read(&mut file);
        if let Err(TryLockError::WouldBlock) = locked {
            let who = holder.map_or("another process".to_owned(), |holder| holder.to_string());
            return Err(usage(format!(
                "{what}: {who} is at work there. Wait for its end, or choose another --out"
            )));
        }
        if let Some(holder) = holder {
            check_silent(&file, &path, &holder, locked.is_ok(), what)?;
            tell(format_args!(
                "{what}: {holder}, which was at work there, has ended without a word; going on from what it saved"
            ));
        }
        file.set_len(0).with_context(place)?;
        file.seek(SeekFrom::Start(0)).with_context(place)?;
        let text = serde_json::to_string(&Holder::this())?;
        file.write_all(text.as_bytes()).with_context(place)?;
        let (beating, ended) = channel();
        let beat = file.try_clone().with_context(place)?;
        let beats = thread::spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(BEAT) {
                // A disk that refuses it refuses the work too, which says so.
                let _ = beat.set_modified(SystemTime::now());
            }
        });
        Ok(Self {
            file,
            beating: Some(beating),
            beats: Some(beats),
        })
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        drop(self.beating.take());
        let _ = self.beats.take().map(JoinHandle::join);
        // Else the next one says that this one died.
        let _ = self.file.set_len(0);
    }
}

/// Refuses where the holder may live although the system's lock is free: on another machine, or where there are
/// no locks.
fn check_silent(
    file: &File,
    path: &Path,
    holder: &Holder,
    is_locked: bool,
    what: &str,
) -> Result<()> {
    if is_locked && holder.host == host() {
        return Ok(());
    }
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    // A clock that is behind the other machine's: no time has passed.
    let silent = modified.map_or(Duration::ZERO, |time| time.elapsed().unwrap_or_default());
    if silent >= SILENT {
        return Ok(());
    }
    Err(usage(format!(
        "{what}: {holder} was at work there {} s ago. If it has ended, try again in {} s, or delete {}; else wait for its end, or choose another --out",
        silent.as_secs(),
        (SILENT - silent).as_secs() + 1,
        path.display()
    )))
}

/// The machine's name.
fn host() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    name
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder_of(holder: &str, age: Duration) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(NAME);
        fs::write(&path, holder).expect("written");
        let file = File::options().write(true).open(path).expect("there");
        file.set_modified(SystemTime::now() - age).expect("a time");
        folder
    }

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let first = FolderLock::take(folder.path(), "--out a").expect("free");
        let error = FolderLock::take(folder.path(), "--out a").expect_err("taken");
        let own = format!("--out a: process {} on ", std::process::id());
        assert!(error.to_string().starts_with(&own), "{error}");
        drop(first);
        FolderLock::take(folder.path(), "--out a").expect("free again");
        assert_eq!(fs::read(folder.path().join(NAME)).expect("there"), b"");
    }

    #[test]
    fn a_dead_process_of_this_machine_is_noticed_at_once() {
        let holder = serde_json::to_string(&Holder::this()).expect("JSON");
        let folder = folder_of(&holder, Duration::ZERO);
        FolderLock::take(folder.path(), "x").expect("its system lock is gone");
    }

    #[test]
    fn a_job_on_another_machine_is_dead_when_it_was_silent_for_long() {
        let holder = r#"{"process":7,"host":"another"}"#;
        let folder = folder_of(holder, Duration::from_secs(30));
        let error = FolderLock::take(folder.path(), "x").expect_err("may live");
        let message = error.to_string();
        assert!(
            message.contains("x: process 7 on another was at work there 3"),
            "{message}"
        );
        let folder = folder_of(holder, SILENT);
        FolderLock::take(folder.path(), "x").expect("silent");
    }
}
