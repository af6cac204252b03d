//! A checkpoint file, read: its checksum, its configuration, its tensors.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensors};
use vdvae_formats::regular;
use vdvae_formats::safetensors::SafetensorsFile;

use super::native::{
    AVERAGE, CheckpointError, FIRST, FORMAT, OWES_VALIDATION, Progress, SECOND, WEIGHTS, checksum,
};
use crate::config::Config;
use crate::models::Model;
use crate::ops::Moments;
use crate::parameters::{self, Role, Specs, TensorSpec};

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
pub struct CheckpointFile {
    path: PathBuf,
    metadata: BTreeMap<String, String>,
    /// Where in `data` each tensor is.
    header: Metadata,
    data: Vec<u8>,
}

impl CheckpointFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read or is damaged.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = regular::read(path).map_err(|source| CheckpointError::Io {
            path: path.to_owned(),
            action: "read",
            source,
            remedy: "A run has checkpoints/latest.safetensors as soon as training has started",
        })?;
        Self::parse(path, bytes)
    }

    /// The file whose content is `bytes`; `path` is named in errors.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn parse(path: &Path, mut bytes: Vec<u8>) -> Result<Self, CheckpointError> {
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

    /// The configuration that the checkpoint was made with.
    ///
    /// # Errors
    /// If it is not valid.
    pub fn config(&self) -> Result<Config, CheckpointError> {
        let text = self.metadata.get("config").map_or("", String::as_str);
        Config::from_toml(text, "the configuration inside").map_err(|source| {
            CheckpointError::Config {
                path: self.path.clone(),
                source: Box::new(source),
            }
        })
    }

    /// The configuration that the checkpoint was made with must have the same model, and the same
    /// input to it.
    ///
    /// # Errors
    /// [`CheckpointError::Mismatch`].
    pub fn check_model(&self, config: &Config) -> Result<(), CheckpointError> {
        let inside = self.config()?;
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

    /// Where training stood.
    ///
    /// # Errors
    /// If that is not said in numbers.
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

    /// The averaged weights, in `model`, of any weights and the same plan.
    ///
    /// # Errors
    /// If they are others.
    pub fn average(
        &self,
        model: Box<dyn Model>,
        specs: &Specs,
    ) -> Result<(Box<dyn Model>, Progress), CheckpointError> {
        let model = parameters::import(model, specs, |tensor| self.values(AVERAGE, tensor))?;
        Ok((model, self.progress()?))
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
    ///
    /// # Errors
    /// If it is missing, of another shape, or holds what is not finite.
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

    /// The values as the file holds them, 4 bytes a number.
    ///
    /// # Errors
    /// If the tensor is missing or of another shape.
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

    /// The moments of every weight.
    ///
    /// # Errors
    /// As [`values`](Self::values).
    pub fn moments(
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
