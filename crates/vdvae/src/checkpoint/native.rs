//! The project's own checkpoints: safetensors with the published names and layouts, the configuration
//! and a checksum inside.
//!
//! Tensors: `ema/NAME` (averaged weights); in a checkpoint that training can continue from also
//! `model/NAME` (weights), `adam/first/NAME` and `adam/second/NAME` (moments).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Tensor;
use safetensors::View;
use sha2::{Digest, Sha256};
use vdvae_formats::safetensors::{LazyTensor, write};

use super::file::CheckpointFile;
use crate::config::{Config, ConfigError};
use crate::files::write_atomically;
use crate::models::Model;
use crate::models::state::TrainState;
use crate::parameters::{self, Specs, TensorSpec};

pub(super) const FORMAT: &str = "vdvae-checkpoint-1";
pub(super) const AVERAGE: &str = "ema/";
pub(super) const WEIGHTS: &str = "model/";
pub(super) const FIRST: &str = "adam/first/";
pub(super) const SECOND: &str = "adam/second/";

/// Where training stands, beside the tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Steps made, skipped updates included.
    pub step: u64,
    /// Updates made.
    pub updates: u64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// The lowest validation loss so far, bits per dimension.
    pub best_bits_per_dim: Option<f64>,
}

/// Why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error("{path}: cannot {action} the checkpoint: {source}. {remedy}")]
    Io {
        /// The checkpoint.
        path: PathBuf,
        /// read or save
        action: &'static str,
        /// The reason.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// Not a checkpoint, or a damaged one.
    #[error(
        "{path}: not a whole checkpoint: {reason}. Use another checkpoint of the run (checkpoints/best.safetensors, checkpoints/latest.safetensors), or train again"
    )]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
        /// What was expected and found.
        reason: String,
    },
    /// A good file of another model.
    #[error(
        "{path}: a checkpoint of another configuration than the run's: {reason}. Give a checkpoint of this run, or the run of this checkpoint"
    )]
    Mismatch {
        /// The checkpoint.
        path: PathBuf,
        /// What was expected and found.
        reason: String,
    },
    /// The configuration inside cannot be read.
    #[error("{path}: {source}")]
    Config {
        /// The checkpoint.
        path: PathBuf,
        /// Why.
        source: Box<ConfigError>,
    },
}

/// Saves everything that training needs to continue bit for bit.
///
/// # Errors
/// [`CheckpointError::Io`]; what was there before is then untouched.
pub fn save_state(
    path: &Path,
    config: &Config,
    progress: &Progress,
    state: &TrainState,
) -> Result<(), CheckpointError> {
    let mut tensors = tensors(WEIGHTS, &*state.model, &state.specs);
    tensors.extend(moments(state));
    save(path, config, progress, tensors)
}

/// Saves the averaged weights alone: enough to evaluate, sample and reconstruct.
///
/// # Errors
/// [`CheckpointError::Io`]; what was there before is then untouched.
pub fn save_average(
    path: &Path,
    config: &Config,
    progress: &Progress,
    average: &dyn Model,
    specs: &Specs,
) -> Result<(), CheckpointError> {
    save(path, config, progress, tensors(AVERAGE, average, specs))
}

/// The bytes of the file that [`save_average`] writes.
///
/// # Errors
/// If there is no memory for them.
pub fn average_bytes(
    config: &Config,
    progress: &Progress,
    average: &dyn Model,
    specs: &Specs,
) -> io::Result<Vec<u8>> {
    let tensors = tensors(AVERAGE, average, specs);
    let mut bytes = Vec::new();
    write(&mut bytes, metadata(config, progress, &tensors), &tensors)?;
    Ok(bytes)
}

/// Loads a state to continue from, into `model` on a device with autodiff.
///
/// # Errors
/// If the file cannot be read, is damaged, belongs to another model, or holds averaged weights only.
pub fn load_state(
    path: &Path,
    config: &Config,
    model: Box<dyn Model>,
    specs: Arc<Specs>,
) -> Result<(TrainState, Progress), CheckpointError> {
    let file = CheckpointFile::open(path)?;
    file.check_model(config)?;
    let progress = file.progress()?;
    let model = parameters::import(model, &specs, |tensor| file.values(WEIGHTS, tensor))?;
    let moments = file.moments(&*model, &specs)?;
    let state = TrainState {
        model,
        specs,
        moments,
        step: progress.step,
        updates: progress.updates,
    };
    Ok((state, progress))
}

/// The numbers of a model's tensor, or as many that belong to it, `[n]` in the order of memory.
fn lazy(prefix: &str, spec: &TensorSpec, numbers: Tensor<1>) -> LazyTensor<'static> {
    let spec = spec.clone();
    LazyTensor {
        name: format!("{prefix}{}", spec.name),
        shape: spec.shape.clone(),
        values: Box::new(move || spec.to_file(numbers.clone())),
    }
}

/// The tensors of a model.
fn tensors(prefix: &str, model: &dyn Model, specs: &Specs) -> Vec<LazyTensor<'static>> {
    let mut tensors = Vec::new();
    model.visit(&mut |name, tensor| {
        tensors.push(lazy(prefix, specs.of(name), tensor.flat()));
    });
    tensors
}

/// The average and the moments of every weight, and what is no weight again beside the average, each under
/// its name and shape.
fn moments(state: &TrainState) -> Vec<LazyTensor<'static>> {
    let mut tensors = Vec::new();
    state.model.visit(&mut |name, tensor| {
        let spec = state.specs.of(name);
        let mut add = |prefix, values| tensors.push(lazy(prefix, spec, values));
        match state.moments.get(name) {
            Some(moments) => {
                add(AVERAGE, moments.average.clone());
                add(FIRST, moments.first.clone());
                add(SECOND, moments.second.clone());
            }
            None => add(AVERAGE, tensor.flat()),
        }
    });
    tensors
}

/// `tensors` have the names that [`CheckpointFile::values`] looks for.
pub(super) fn save(
    path: &Path,
    config: &Config,
    progress: &Progress,
    tensors: Vec<LazyTensor<'_>>,
) -> Result<(), CheckpointError> {
    let metadata = metadata(config, progress, &tensors);
    write_atomically(path, |writer| write(writer, metadata, &tensors)).map_err(|source| {
        CheckpointError::Io {
            path: path.to_owned(),
            action: "save",
            source,
            remedy: "What was saved there before is untouched. Make room, then continue with --resume",
        }
    })
}

/// What a checkpoint says beside its tensors, their checksum included.
fn metadata(
    config: &Config,
    progress: &Progress,
    tensors: &[LazyTensor<'_>],
) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::from([
        ("format".to_owned(), FORMAT.to_owned()),
        ("config".to_owned(), config.to_toml()),
        ("step".to_owned(), progress.step.to_string()),
        ("updates".to_owned(), progress.updates.to_string()),
        ("seconds".to_owned(), progress.seconds.to_string()),
    ]);
    if let Some(best) = progress.best_bits_per_dim {
        metadata.insert("best_bits_per_dim".to_owned(), best.to_string());
    }
    let views = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
    metadata.insert("sha256".to_owned(), checksum(&metadata, views));
    metadata
}

/// SHA-256 over the metadata and every tensor's name, shape and bytes, in the order of the names.
pub(super) fn checksum<'a, V: View>(
    metadata: &BTreeMap<String, String>,
    tensors: impl Iterator<Item = (&'a str, V)>,
) -> String {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for (key, value) in metadata {
        field(key.as_bytes());
        field(value.as_bytes());
    }
    for (name, tensor) in tensors.collect::<BTreeMap<_, _>>() {
        field(name.as_bytes());
        field(format!("{:?} {:?}", tensor.dtype(), tensor.shape()).as_bytes());
        field(&tensor.data());
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
