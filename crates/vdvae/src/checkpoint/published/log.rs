//! The training log of the published script, to and from this project's.
//!
//! Each line is a JSON object. Those of the type `train_loss` and `eval_loss` hold the step, the epoch and
//! losses in nats per dimension; the others are words for a person. Python writes `NaN` and
//! `Infinity`, which JSON does not know and JSON5 does.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::likelihood::units::{bits, nats};
use crate::log::{Entry, TrainEntry, ValidEntry};

/// A published log that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused.
    #[error("{}: cannot read the log: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A line that is no JSON object.
    #[error(
        "{}:{line}: expected a JSON object, as the published script logs, found: {reason}. Give NAME-log.jsonl of the checkpoint, or leave out --log",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no line of training.
    #[error(
        "{}: expected a line of type train_loss with a step, found none. Give NAME-log.jsonl of the checkpoint, or leave out --log",
        path.display()
    )]
    NoStep {
        /// The file.
        path: PathBuf,
    },
}

/// What a published log tells.
#[derive(Debug, Default)]
pub(super) struct PublishedLog {
    /// Steps made.
    pub step: Option<u64>,
    /// Seconds of training, by the durations of the steps that were logged.
    pub seconds: f64,
    /// The history.
    pub entries: Vec<Entry>,
}

/// A line. Losses are in nats per dimension.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Line {
    model: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    step: Option<u64>,
    epoch: Option<f64>,
    elbo: Option<f64>,
    elbo_filtered: Option<f64>,
    distortion: Option<f64>,
    rate: Option<f64>,
    grad_norm: Option<f64>,
    lr: Option<f64>,
    skipped_updates: Option<f64>,
    distortion_nans: Option<f64>,
    rate_nans: Option<f64>,
    iter_time: Option<f64>,
    n_batches: Option<f64>,
}

impl PublishedLog {
    /// Reads a log of the model that `config` describes.
    pub fn open(path: &Path, config: &Config) -> Result<Self, LogError> {
        let text = fs::read_to_string(path).map_err(|source| LogError::Io {
            path: path.to_owned(),
            source,
        })?;
        let mut log = Self::default();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let line = json5::from_str::<Line>(line).map_err(|error| LogError::Line {
                path: path.to_owned(),
                line: number + 1,
                reason: error.to_string(),
            })?;
            log.add(&line, config);
        }
        if log.step.is_none() {
            return Err(LogError::NoStep {
                path: path.to_owned(),
            });
        }
        Ok(log)
    }

    fn add(&mut self, line: &Line, config: &Config) {
        let Some(step) = line.step else { return };
        let is_train = match line.kind.as_deref() {
            Some("train_loss") => true,
            Some("eval_loss") => false,
            _ => return,
        };
        if line.elbo.is_none() && line.distortion.is_none() {
            // It tells the step alone.
            if is_train {
                self.step = Some(step);
            }
            return;
        }
        // Where training was begun again from an earlier step, what came after that was lost.
        self.entries
            .retain(|entry| entry.step() < step || entry.step() == step && is(entry, !is_train));
        if is_train {
            let last = self.entries.last();
            let (before, seconds) = last.map_or((0, 0.0), |last| (last.step(), last.seconds()));
            let since = line.iter_time.unwrap_or(0.0) * (step - before) as f64;
            self.seconds = seconds + finite(Some(since)).unwrap_or(0.0).max(0.0);
            self.step = Some(step);
            self.entries
                .push(Entry::Train(train_entry(line, step, self.seconds, config)));
        } else {
            self.entries
                .push(Entry::Valid(valid_entry(line, step, self.seconds, config)));
        }
    }
}

fn is(entry: &Entry, train: bool) -> bool {
    matches!(entry, Entry::Train(_)) == train
}

fn finite(number: Option<f64>) -> Option<f64> {
    number.filter(|number| number.is_finite())
}

/// Images of an update, or of the batches that were evaluated at once.
fn images(config: &Config) -> f64 {
    (config.train.n_batch * config.train.accumulate) as f64
}

fn train_entry(line: &Line, step: u64, seconds: f64, config: &Config) -> TrainEntry {
    let loss = |nats: Option<f64>| finite(nats.map(bits));
    let count = |number: Option<f64>| finite(number).unwrap_or(0.0) as u64;
    let duration = finite(line.iter_time).unwrap_or(0.0).max(0.0);
    TrainEntry {
        step,
        epoch: finite(line.epoch).unwrap_or(0.0),
        seconds,
        elbo_bits_per_dim: loss(line.elbo),
        elbo_filtered_bits_per_dim: loss(line.elbo_filtered),
        distortion_bits_per_dim: loss(line.distortion),
        rate_bits_per_dim: loss(line.rate),
        max_gradient_norm: finite(line.grad_norm),
        learning_rate: finite(line.lr).unwrap_or(config.train.lr),
        skipped_updates: count(line.skipped_updates),
        nan_distortions: count(line.distortion_nans),
        nan_rates: count(line.rate_nans),
        seconds_per_step: duration,
        images_per_second: if duration > 0.0 {
            images(config) / duration
        } else {
            0.0
        },
        terms: BTreeMap::new(),
    }
}

fn valid_entry(line: &Line, step: u64, seconds: f64, config: &Config) -> ValidEntry {
    let loss = |nats: Option<f64>| nats.map_or(f64::NAN, bits);
    ValidEntry {
        step,
        seconds,
        images: (finite(line.n_batches).unwrap_or(0.0) * images(config)) as u64,
        bits_per_dim: loss(line.elbo),
        stderr_bits_per_dim: None,
        distortion_bits_per_dim: loss(line.distortion),
        rate_bits_per_dim: loss(line.rate),
    }
}

/// The log of a run as the published script reads it, up to `step`; its last line says where training
/// stands. `epoch` is what it numbers passes with.
pub(super) fn published_lines(
    entries: &[Entry],
    model: &str,
    step: u64,
    config: &Config,
) -> Vec<String> {
    let known = entries.iter().filter(|entry| entry.step() <= step);
    let mut epoch = 0.0;
    let mut lines = Vec::new();
    for entry in known {
        match entry {
            Entry::Train(entry) => {
                epoch = entry.epoch.floor();
                lines.push(train_line(entry));
            }
            Entry::Valid(entry) => lines.extend(valid_line(entry, epoch, config)),
        }
    }
    let last = Line {
        kind: Some("train_loss".to_owned()),
        step: Some(step),
        epoch: Some(epoch),
        ..Line::default()
    };
    let stands = |line: &Line| line.step == Some(step) && line.kind == last.kind;
    if !lines.iter().any(stands) {
        lines.push(last);
    }
    lines.into_iter().map(|line| text(line, model)).collect()
}

fn train_line(entry: &TrainEntry) -> Line {
    Line {
        kind: Some("train_loss".to_owned()),
        step: Some(entry.step),
        epoch: Some(entry.epoch.floor()),
        elbo: entry.elbo_bits_per_dim.map(nats),
        elbo_filtered: entry.elbo_filtered_bits_per_dim.map(nats),
        distortion: entry.distortion_bits_per_dim.map(nats),
        rate: entry.rate_bits_per_dim.map(nats),
        grad_norm: entry.max_gradient_norm,
        lr: Some(entry.learning_rate),
        skipped_updates: Some(entry.skipped_updates as f64),
        distortion_nans: Some(entry.nan_distortions as f64),
        rate_nans: Some(entry.nan_rates as f64),
        iter_time: Some(entry.seconds_per_step),
        ..Line::default()
    }
}

/// None without a loss: the published script takes the least of them, and wants numbers.
fn valid_line(entry: &ValidEntry, epoch: f64, config: &Config) -> Option<Line> {
    let loss = |bits_per_dim: f64| finite(Some(nats(bits_per_dim)));
    Some(Line {
        kind: Some("eval_loss".to_owned()),
        step: Some(entry.step),
        epoch: Some(epoch),
        elbo: Some(loss(entry.bits_per_dim)?),
        distortion: loss(entry.distortion_bits_per_dim),
        rate: loss(entry.rate_bits_per_dim),
        n_batches: Some((entry.images as f64 / images(config)).ceil()),
        ..Line::default()
    })
}

/// One line of JSON without what is not known. The published script counts with the epoch: it must be an
/// integer.
fn text(line: Line, model: &str) -> String {
    let line = Line {
        model: Some(model.to_owned()),
        ..line
    };
    let mut value = serde_json::to_value(line).expect("a line is JSON");
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, field| !field.is_null());
        if let Some(epoch) = fields.get("epoch").and_then(serde_json::Value::as_f64) {
            fields.insert("epoch".to_owned(), (epoch as u64).into());
        }
    }
    value.to_string()
}
