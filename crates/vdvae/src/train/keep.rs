//! What a run keeps while it is trained: its log, its time, and what to do where it cannot.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::log::{Entry, LogWriter};

/// The run's log, with errors that say what to do.
pub struct Log {
    path: PathBuf,
    writer: LogWriter,
}

impl Log {
    /// Opens or starts it.
    pub fn open(path: PathBuf) -> Result<Self> {
        let writer = LogWriter::open(&path).with_context(|| unwritable(&path))?;
        Ok(Self { path, writer })
    }

    /// Adds a line.
    pub fn append(&mut self, entry: Entry) -> Result<()> {
        let appended = self.writer.append(&entry);
        appended.with_context(|| unwritable(&self.path))
    }
}

/// What to do about a file of the run that cannot be written.
pub fn unwritable(path: &Path) -> String {
    let path = path.display();
    format!("{path}: cannot be written. The last checkpoint is whole: make room, then --resume")
}

/// Wall time of training, across resumptions.
pub struct Clock {
    started: Instant,
    before: f64,
}

impl Clock {
    /// Of a run that was trained for so many seconds before.
    pub fn new(before: f64) -> Self {
        Self {
            started: Instant::now(),
            before,
        }
    }

    /// Seconds so far.
    pub fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }
}
