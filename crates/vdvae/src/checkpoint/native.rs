//! The project's own checkpoints: safetensors with the published names and layouts, the configuration
//! and a checksum inside.
//!
//! Tensors: `ema/NAME` (averaged weights); in a checkpoint that training can continue from also
//! `model/NAME` (weights), `adam/first/NAME` and `adam/second/NAME` (moments).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors, View};
use sha2::{Digest, Sha256};

use crate::config::{Config, ConfigError};
use crate::files::write_atomically;
use crate::ops::Moments;
use crate::parameters::{self, NamedTensor, VisitParameter, file_shape};
use crate::train::TrainState;

const FORMAT: &str = "vdvae-checkpoint-1";
const AVERAGE: &str = "ema/";
const WEIGHTS: &str = "model/";
const FIRST: &str = "adam/first/";
const SECOND: &str = "adam/second/";

/// Where training stands, beside the tensors.
#[derive(Clone, Debug, PartialEq)]
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
    #[error("{path}: a checkpoint of another configuration: {reason}")]
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
        source: ConfigError,
    },
}

/// Saves everything that training needs to continue bit for bit.
///
/// # Errors
/// [`CheckpointError::Io`]; what was there before is then untouched.
pub fn save_state<M: Module>(
    path: &Path,
    config: &Config,
    progress: &Progress,
    state: &TrainState<M>,
) -> Result<(), CheckpointError> {
    let mut tensors = prefixed(WEIGHTS, parameters::export(&state.model));
    tensors.extend(moments(state));
    save(path, config, progress, tensors)
}

/// Saves the averaged weights alone: enough to evaluate, sample and reconstruct.
///
/// # Errors
/// [`CheckpointError::Io`]; what was there before is then untouched.
pub fn save_average<M: Module>(
    path: &Path,
    config: &Config,
    progress: &Progress,
    average: &M,
) -> Result<(), CheckpointError> {
    save(
        path,
        config,
        progress,
        prefixed(AVERAGE, parameters::export(average)),
    )
}

/// Loads the averaged weights into `model` (of any weights, on a device without autodiff), which
/// `config` describes.
///
/// # Errors
/// If the file cannot be read, is damaged, or belongs to another model.
pub fn load_average<M: Module>(
    path: &Path,
    config: &Config,
    model: M,
) -> Result<(M, Progress), CheckpointError> {
    let mut file = CheckpointFile::open(path)?;
    file.check_model(config)?;
    let model = parameters::import(model, |name, shape| file.take(AVERAGE, name, shape))?;
    Ok((model, file.progress()?))
}

/// Loads a state to continue from, into `model` on a device with autodiff.
///
/// # Errors
/// If the file cannot be read, is damaged, belongs to another model, or holds averaged weights only.
pub fn load_state<M: Module>(
    path: &Path,
    config: &Config,
    model: M,
) -> Result<(TrainState<M>, Progress), CheckpointError> {
    let mut file = CheckpointFile::open(path)?;
    file.check_model(config)?;
    let progress = file.progress()?;
    let model = parameters::import(model, |name, shape| file.take(WEIGHTS, name, shape))?;
    let moments = file.moments(&model)?;
    let state = TrainState {
        model,
        moments,
        step: progress.step,
        updates: progress.updates,
    };
    Ok((state, progress))
}

fn prefixed(prefix: &'static str, tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    let rename = |tensor: NamedTensor| NamedTensor {
        name: format!("{prefix}{}", tensor.name),
        ..tensor
    };
    tensors.into_iter().map(rename).collect()
}

/// The average and the moments of every parameter, under the parameter's name and shape.
fn moments<M: Module>(state: &TrainState<M>) -> Vec<NamedTensor> {
    struct Collect<'a, I>(I, &'a mut Vec<NamedTensor>);
    impl<'a, I: Iterator<Item = &'a Moments>> VisitParameter for Collect<'_, I> {
        fn visit<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) {
            let moments = self.0.next().expect("moments for every parameter");
            let Moments {
                first,
                second,
                average,
            } = moments.clone();
            for (prefix, values) in [(AVERAGE, average), (FIRST, first), (SECOND, second)] {
                let values = values.reshape::<D, _>(tensor.dims());
                self.1.extend(prefixed(
                    prefix,
                    vec![parameters::to_file_layout(name, values)],
                ));
            }
        }
    }
    let mut tensors = Vec::new();
    parameters::for_each(&state.model, Collect(state.moments.iter(), &mut tensors));
    tensors
}

impl View for &NamedTensor {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect::<Vec<u8>>()
            .into()
    }

    fn data_len(&self) -> usize {
        4 * self.values.len()
    }
}

fn save(
    path: &Path,
    config: &Config,
    progress: &Progress,
    tensors: Vec<NamedTensor>,
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
    let data = |tensor: &NamedTensor| View::data(&tensor).into_owned();
    let hash = checksum(
        &metadata,
        tensors
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice(), data(tensor))),
    );
    metadata.insert("sha256".to_owned(), hash);
    let views = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
    let metadata: HashMap<_, _> = metadata.into_iter().collect();
    let io = |source| CheckpointError::Io {
        path: path.to_owned(),
        action: "save",
        source,
        remedy: "What was saved there before is untouched. Make room or choose another --out, then continue with --resume",
    };
    let bytes = safetensors::serialize(views, Some(metadata))
        .map_err(|error| io(io::Error::other(error)))?;
    write_atomically(path, |writer| writer.write_all(&bytes)).map_err(io)
}

/// SHA-256 over the metadata and every tensor's name, shape and bytes, in the order of the names.
fn checksum<'a, B: AsRef<[u8]>>(
    metadata: &BTreeMap<String, String>,
    tensors: impl Iterator<Item = (&'a str, &'a [usize], B)>,
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
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_by_key(|(name, ..)| *name);
    for (name, shape, data) in &tensors {
        field(name.as_bytes());
        field(format!("{shape:?}").as_bytes());
        field(data.as_ref());
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A checkpoint whose checksum was found right.
struct CheckpointFile {
    path: PathBuf,
    metadata: BTreeMap<String, String>,
    tensors: HashMap<String, (Vec<usize>, Vec<f32>)>,
}

impl CheckpointFile {
    fn open(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = std::fs::read(path).map_err(|source| CheckpointError::Io {
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
        let (_, header) =
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
        let found = checksum(
            &metadata,
            tensors
                .iter()
                .map(|(name, view)| (name.as_str(), view.shape(), view.data())),
        );
        if found != expected {
            return Err(damaged(format!(
                "expected the checksum {expected}, found {found}"
            )));
        }
        let float = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let tensors = tensors
            .iter()
            .map(|(name, view)| {
                let values = view.data().chunks_exact(4).map(float).collect();
                (name.clone(), (view.shape().to_vec(), values))
            })
            .collect();
        Ok(Self {
            path: path.to_owned(),
            metadata,
            tensors,
        })
    }

    /// The configuration that the checkpoint was made with must have the same model.
    fn check_model(&self, config: &Config) -> Result<(), CheckpointError> {
        let text = self.metadata.get("config").map_or("", String::as_str);
        let inside = Config::from_toml(text, "the configuration inside").map_err(|source| {
            CheckpointError::Config {
                path: self.path.clone(),
                source,
            }
        })?;
        let expected = Config {
            model: config.model.clone(),
            ..inside.clone()
        };
        let difference = expected.difference(&inside);
        if difference.is_empty() {
            Ok(())
        } else {
            Err(self.mismatch(format!(
                "{} (expected, other: found)",
                difference.join(", ")
            )))
        }
    }

    fn progress(&self) -> Result<Progress, CheckpointError> {
        Ok(Progress {
            step: self.number("step")?,
            updates: self.number("updates")?,
            seconds: self.number("seconds")?,
            best_bits_per_dim: match self.metadata.get("best_bits_per_dim") {
                Some(_) => Some(self.number("best_bits_per_dim")?),
                None => None,
            },
        })
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<T, CheckpointError> {
        let text = self.metadata.get(key).map_or("", String::as_str);
        text.parse().map_err(|_| CheckpointError::Damaged {
            path: self.path.clone(),
            reason: format!("expected a number for {key}, found `{text}`"),
        })
    }

    /// Moves the values of a tensor out, in the layout of files.
    fn take(
        &mut self,
        prefix: &str,
        name: &str,
        shape: &[usize],
    ) -> Result<Vec<f32>, CheckpointError> {
        match self.tensors.remove(&format!("{prefix}{name}")) {
            Some((found, values)) if found == shape => Ok(values),
            Some((found, _)) => Err(self.mismatch(format!(
                "{prefix}{name}: expected the shape {shape:?}, found {found:?}"
            ))),
            None => Err(self.mismatch(format!("expected a tensor {prefix}{name}, found none"))),
        }
    }

    fn moments<M: Module>(&mut self, model: &M) -> Result<Vec<Moments>, CheckpointError> {
        struct Load<'a> {
            file: &'a mut CheckpointFile,
            moments: &'a mut Vec<Moments>,
            error: &'a mut Option<CheckpointError>,
        }
        impl Load<'_> {
            fn flat(
                &mut self,
                prefix: &str,
                name: &str,
                dims: &[usize],
                device: &Device,
            ) -> Result<Tensor<1>, CheckpointError> {
                let values = self.file.take(prefix, name, &file_shape(name, dims))?;
                let values = parameters::to_memory_layout(name, &file_shape(name, dims), values);
                let count = values.len();
                Ok(Tensor::from_data(TensorData::new(values, [count]), device))
            }
        }
        impl VisitParameter for Load<'_> {
            fn visit<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) {
                let (dims, device) = (tensor.dims(), tensor.device().inner());
                let mut load = |prefix| self.flat(prefix, name, &dims, &device);
                match (load(AVERAGE), load(FIRST), load(SECOND)) {
                    (Ok(average), Ok(first), Ok(second)) => {
                        self.moments.push(Moments {
                            first,
                            second,
                            average,
                        });
                    }
                    (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
                        self.error.get_or_insert(error);
                    }
                }
            }
        }
        let (mut moments, mut error) = (Vec::new(), None);
        parameters::for_each(
            model,
            Load {
                file: self,
                moments: &mut moments,
                error: &mut error,
            },
        );
        match error {
            Some(error) => Err(error),
            None => Ok(moments),
        }
    }

    fn mismatch(&self, reason: String) -> CheckpointError {
        CheckpointError::Mismatch {
            path: self.path.clone(),
            reason,
        }
    }
}
