//! A run's `log.jsonl`: one JSON object per line, for the interval of training or the evaluation that
//! ended there.

mod interval;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use crate::files;

pub use interval::IntervalStats;

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Entry {
    /// An interval of training.
    Train(TrainEntry),
    /// An evaluation of the averaged weights on the validation split.
    Valid(ValidEntry),
}

/// What happened in training since the last such line. Losses are means over the interval's steps;
/// `None` (`null` in the file) where the mean is not a finite number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainEntry {
    /// Steps made when the interval ended, skipped updates included.
    pub step: u64,
    /// Passes over the training split made so far.
    pub epoch: f64,
    /// Seconds of training so far, across resumptions.
    pub seconds: f64,
    /// Distortion + rate, in bits per dimension.
    pub elbo_bits_per_dim: Option<f64>,
    /// The same over those steps that were finite and not skipped.
    pub elbo_filtered_bits_per_dim: Option<f64>,
    /// Negative log-likelihood given the latents, in bits per dimension.
    pub distortion_bits_per_dim: Option<f64>,
    /// KL divergence of the posterior from the prior, in bits per dimension.
    pub rate_bits_per_dim: Option<f64>,
    /// The largest finite norm of a gradient before clipping.
    pub max_gradient_norm: Option<f64>,
    /// The learning rate of the interval's last step.
    pub learning_rate: f64,
    /// Steps whose update was not taken.
    pub skipped_updates: u64,
    /// Steps whose distortion was NaN.
    pub nan_distortions: u64,
    /// Steps whose rate was NaN.
    pub nan_rates: u64,
    /// Mean duration of the interval's steps.
    pub seconds_per_step: f64,
    /// Images trained on per second.
    pub images_per_second: f64,
    /// What else was minimised, by name, as it entered the loss: means over the steps where it is finite.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub terms: BTreeMap<String, f64>,
}

/// An evaluation on the validation split. A loss that is not a finite number is NaN (`null` in the file).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidEntry {
    /// Steps made before the evaluation.
    pub step: u64,
    /// Seconds of training so far, across resumptions.
    pub seconds: f64,
    /// Images evaluated.
    pub images: u64,
    /// Mean over the images of distortion + rate, in bits per dimension.
    #[serde(deserialize_with = "number_or_nan")]
    pub bits_per_dim: f64,
    /// Standard error of that mean, where it has one.
    pub stderr_bits_per_dim: Option<f64>,
    /// Negative log-likelihood given the latents.
    #[serde(deserialize_with = "number_or_nan")]
    pub distortion_bits_per_dim: f64,
    /// KL divergence of the posterior from the prior.
    #[serde(deserialize_with = "number_or_nan")]
    pub rate_bits_per_dim: f64,
}

impl Entry {
    /// Steps made when the line was written.
    pub fn step(&self) -> u64 {
        match self {
            Entry::Train(entry) => entry.step,
            Entry::Valid(entry) => entry.step,
        }
    }

    /// Seconds of training when the line was written, across resumptions.
    pub fn seconds(&self) -> f64 {
        match self {
            Entry::Train(entry) => entry.seconds,
            Entry::Valid(entry) => entry.seconds,
        }
    }
}

/// The intervals of training, and the evaluations, each in their order.
pub fn split(entries: Vec<Entry>) -> (Vec<TrainEntry>, Vec<ValidEntry>) {
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Train(entry) => training.push(entry),
            Entry::Valid(entry) => validation.push(entry),
        }
    }
    (training, validation)
}

/// JSON has no NaN; it is written as `null`.
fn number_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = Option::<f64>::deserialize(deserializer)?;
    Ok(number.unwrap_or(f64::NAN))
}

/// A log that cannot be read, or not be rewritten.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file could not be read.
    #[error("{}: cannot read the log: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason the system gave.
        reason: io::Error,
    },
    /// The file could not be rewritten; it is unchanged.
    #[error("{}: cannot rewrite the log: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason the system gave.
        reason: io::Error,
    },
    /// A line that is neither an entry nor the torn end of the file.
    #[error(
        "{}:{line}: expected a log entry ({{\"event\": \"train\" or \"valid\", ...}}), found {found}; \
         mend or delete the line",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        found: String,
    },
}

/// Appends to a log.
#[derive(Debug)]
pub struct LogWriter {
    file: File,
}

impl LogWriter {
    /// Opens the log at `path`, or starts it. The log of a run that was killed goes through
    /// [`truncate_after`] first, as its last line may be torn.
    ///
    /// # Errors
    /// What the file system returned; it does not name `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file })
    }

    /// Writes the entry as one line, at once.
    ///
    /// # Errors
    /// What the file system returned. Of a line that does not fit on the disk nothing is left.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let end = self.file.metadata()?.len();
        let written = self.file.write_all(&line);
        if written.is_err() {
            // A full disk takes the first half; the next line must not be glued to it. What failed first
            // is the error to report.
            let _ = self.file.set_len(end);
        }
        written
    }
}

/// All entries of the log, in the order of the file. A last line that was cut in the middle is left out.
///
/// # Errors
/// The file cannot be read, or another line is no entry.
pub fn read(path: &Path) -> Result<Vec<Entry>, LogError> {
    let bytes = bytes(path)?;
    let lines = lines(path, &bytes)?;
    Ok(lines.into_iter().map(|(_, entry)| entry).collect())
}

/// Makes the log that of a run which is at `step`: keeps the lines up to there, byte for byte, and drops
/// a torn last one. Does nothing where there is no log yet. The file is replaced atomically.
///
/// # Errors
/// The file cannot be read or replaced, or a line is no entry; the log is then unchanged.
pub fn truncate_after(path: &Path, step: u64) -> Result<(), LogError> {
    let bytes = match bytes(path) {
        Err(LogError::Read { reason, .. }) if reason.kind() == ErrorKind::NotFound => return Ok(()),
        bytes => bytes?,
    };
    let lines = lines(path, &bytes)?;
    files::write_atomically(path, |writer| {
        for (line, _) in lines.iter().filter(|(_, entry)| entry.step() <= step) {
            writer.write_all(line)?;
            writer.write_all(b"\n")?;
        }
        Ok(())
    })
    .map_err(|reason| LogError::Write {
        path: path.to_owned(),
        reason,
    })
}

fn bytes(path: &Path) -> Result<Vec<u8>, LogError> {
    fs::read(path).map_err(|reason| LogError::Read {
        path: path.to_owned(),
        reason,
    })
}

/// The entries with their lines, without line ends and without a torn last line.
fn lines<'a>(path: &Path, bytes: &'a [u8]) -> Result<Vec<(&'a [u8], Entry)>, LogError> {
    let mut entries = Vec::new();
    for (index, whole) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let line = whole.trim_ascii();
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(entry) => entries.push((line, entry)),
            // Only the last line can lack its end, and no beginning of an object is an object.
            Err(_) if !whole.ends_with(b"\n") => {}
            Err(error) => {
                return Err(LogError::Line {
                    path: path.to_owned(),
                    line: index + 1,
                    found: fault(line, &error),
                });
            }
        }
    }
    Ok(entries)
}

/// The start of the line, and what the parser says about it without the line number of its own.
fn fault(line: &[u8], error: &serde_json::Error) -> String {
    const SHOWN: usize = 40;
    let text = String::from_utf8_lossy(line);
    let mut start: String = text.chars().take(SHOWN).collect();
    if start.len() < text.len() {
        start.push_str("...");
    }
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    format!("{start:?} ({message})")
}

#[cfg(test)]
mod tests;
