//! The project's own checkpoints: safetensors with the published names and layouts, the configuration
//! and a checksum inside.
//!
//! Tensors: `ema/NAME` (averaged weights); in a checkpoint that training can continue from also
//! `model/NAME` (weights), `adam/first/NAME` and `adam/second/NAME` (moments).

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensors, View};
use sha2::{Digest, Sha256};
use vdvae_formats::safetensors::{LazyTensor, SafetensorsFile, write};

use crate::config::{Config, ConfigError};
use crate::files::write_atomically;
use crate::models::Model;
use crate::models::state::TrainState;
use crate::ops::Moments;
use crate::parameters::{self, Role, Specs, TensorSpec};

const FORMAT: &str = "vdvae-checkpoint-1";
pub(super) const AVERAGE: &str = "ema/";
pub(super) const WEIGHTS: &str = "model/";
pub(super) const FIRST: &str = "adam/first/";
pub(super) const SECOND: &str = "adam/second/";
/// The key, in the metadata, of [`Progress::owes_validation`].
const OWES_VALIDATION: &str = "owes_validation";

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
    /// Whether the run was stopped before it was validated at this step, as it has to be.
    pub owes_validation: bool,
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

/// Loads the averaged weights into `model` (of any weights, on a device without autodiff), which
/// `config` describes.
///
/// # Errors
/// If the file cannot be read, is damaged, or belongs to another model.
pub fn load_average(
    path: &Path,
    config: &Config,
    model: Box<dyn Model>,
    specs: &Specs,
) -> Result<(Box<dyn Model>, Progress), CheckpointError> {
    let file = CheckpointFile::open(path)?;
    file.check_model(config)?;
    let model = parameters::import(model, specs, |tensor| file.values(AVERAGE, tensor))?;
    Ok((model, file.progress()?))
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
    // Only where it says something: other checkpoints stay as they were.
    if progress.owes_validation {
        metadata.insert(OWES_VALIDATION.to_owned(), "true".to_owned());
    }
    let views = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
    metadata.insert("sha256".to_owned(), checksum(&metadata, views));
    write_atomically(path, |writer| write(writer, &metadata, &tensors))
    .map_err(|source| CheckpointError::Io {
        path: path.to_owned(),
        action: "save",
        source,
        remedy: "What was saved there before is untouched. Make room, then continue with --resume",
    })
}

/// SHA-256 over the metadata and every tensor's name, shape and bytes, in the order of the names.
fn checksum<'a, V: View>(
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

/// 32-bit floats of their bytes.
pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    let float = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    bytes.chunks_exact(4).map(float).collect()
}

/// Whether a file is a checkpoint of this program.
pub(super) fn is_checkpoint(file: &SafetensorsFile) -> bool {
    file.metadata("format") == Some(FORMAT)
}

/// A checkpoint whose checksum was found right.
pub(super) struct CheckpointFile {
    path: PathBuf,
    metadata: BTreeMap<String, String>,
    /// Where in `data` each tensor is.
    header: Metadata,
    data: Vec<u8>,
}

impl CheckpointFile {
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let mut bytes = std::fs::read(path).map_err(|source| CheckpointError::Io {
            path: path.to_owned(),
            action: "read",
            source,
            remedy: "A run has checkpoints/latest.safetensors as soon as training has started",
        })?;
        let damaged = |reason: String| CheckpointError::Damaged {
            path: path.to_owned(),
            reason,
        };
        let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
        let (header_bytes, header) =
            SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
        let mut metadata: BTreeMap<String, String> = header
            .metadata()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect();
        let format = metadata.get("format").map_or("none", String::as_str);
        if format != FORMAT {
            return Err(damaged(format!(
                "expected the format {FORMAT}, found {format}"
            )));
        }
        let expected = metadata.remove("sha256").unwrap_or_default();
        let tensors = file.tensors();
        let views = tensors.iter().map(|(name, view)| (name.as_str(), view));
        let found = checksum(&metadata, views);
        if found != expected {
            return Err(damaged(format!(
                "expected the checksum {expected}, found {found}"
            )));
        }
        // The header's length stands before it, in 8 bytes.
        bytes.drain(..8 + header_bytes);
        Ok(Self {
            path: path.to_owned(),
            metadata,
            header,
            data: bytes,
        })
    }

    /// The configuration that the checkpoint was made with must have the same model, and the same
    /// input to it.
    pub fn check_model(&self, config: &Config) -> Result<(), CheckpointError> {
        let text = self.metadata.get("config").map_or("", String::as_str);
        let inside = Config::from_toml(text, "the configuration inside").map_err(|source| {
            CheckpointError::Config {
                path: self.path.clone(),
                source: Box::new(source),
            }
        })?;
        let mut expected = inside.clone();
        expected.model = config.model.clone();
        (expected.data.shift, expected.data.scale) = (config.data.shift, config.data.scale);
        let difference = expected.difference(&inside);
        if difference.is_empty() {
            Ok(())
        } else {
            let difference = difference.join(", ");
            Err(self.mismatch(format!(
                "{difference}; first the run's, then the checkpoint's"
            )))
        }
    }

    pub fn progress(&self) -> Result<Progress, CheckpointError> {
        Ok(Progress {
            step: self.number("step")?,
            updates: self.number("updates")?,
            seconds: self.number("seconds")?,
            best_bits_per_dim: match self.metadata.get("best_bits_per_dim") {
                Some(_) => Some(self.number("best_bits_per_dim")?),
                None => None,
            },
            owes_validation: self.metadata.contains_key(OWES_VALIDATION),
        })
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<T, CheckpointError> {
        let text = self.metadata.get(key).map_or("", String::as_str);
        text.parse().map_err(|_| CheckpointError::Damaged {
            path: self.path.clone(),
            reason: format!("expected a number for {key}, found `{text}`"),
        })
    }

    /// Whether training can continue from it; else it holds the average alone.
    pub fn holds_state(&self) -> bool {
        let mut names = self.header.offset_keys().into_iter();
        names.any(|name| name.starts_with(WEIGHTS))
    }

    /// The values of a tensor, in the order of files.
    pub fn values(&self, prefix: &str, tensor: &TensorSpec) -> Result<Vec<f32>, CheckpointError> {
        let values = self.bytes(prefix, tensor).map(floats)?;
        match values.iter().find(|value| !value.is_finite()) {
            None => Ok(values),
            Some(value) => Err(CheckpointError::Damaged {
                path: self.path.clone(),
                reason: format!(
                    "{prefix}{}: expected finite numbers, found {value}",
                    tensor.name
                ),
            }),
        }
    }

    /// The values as the file holds them, for [`floats`].
    pub fn bytes(&self, prefix: &str, tensor: &TensorSpec) -> Result<&[u8], CheckpointError> {
        let shape = &tensor.shape;
        let name = format!("{prefix}{}", tensor.name);
        let Some(tensor) = self.header.info(&name) else {
            return Err(self.mismatch(format!("expected a tensor {name}, found none")));
        };
        if tensor.shape != *shape || tensor.dtype != Dtype::F32 {
            return Err(self.mismatch(format!(
                "{name}: expected F32 of the shape {shape:?}, found {:?} of {:?}",
                tensor.dtype, tensor.shape
            )));
        }
        let (start, end) = tensor.data_offsets;
        Ok(&self.data[start..end])
    }

    fn moments(
        &self,
        model: &dyn Model,
        specs: &Specs,
    ) -> Result<HashMap<String, Moments>, CheckpointError> {
        let mut moments = Ok(HashMap::new());
        model.visit(&mut |name, tensor| {
            let (spec, device) = (specs.of(name), tensor.device().inner());
            let Ok(all) = &mut moments else { return };
            if spec.role != Role::Weight {
                return;
            }
            match self.moments_of(spec, &device) {
                Ok(found) => drop(all.insert(name.to_owned(), found)),
                Err(error) => moments = Err(error),
            }
        });
        moments
    }

    fn moments_of(&self, spec: &TensorSpec, device: &Device) -> Result<Moments, CheckpointError> {
        let flat = |prefix| {
            let values = spec.to_memory(self.values(prefix, spec)?);
            let count = values.len();
            Ok(Tensor::from_data(TensorData::new(values, [count]), device))
        };
        Ok(Moments {
            average: flat(AVERAGE)?,
            first: flat(FIRST)?,
            second: flat(SECOND)?,
        })
    }

    fn mismatch(&self, reason: String) -> CheckpointError {
        CheckpointError::Mismatch {
            path: self.path.clone(),
            reason,
        }
    }
}
