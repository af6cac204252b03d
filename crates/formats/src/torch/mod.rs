//! The files of `torch.save`: a pickle that says how tensors lie in storages, and the storages.
//!
//! Both forms are read: the zip archive of PyTorch 1.6 and later, and the older sequence of pickles
//! ("legacy"). Nothing in a file is run: the pickle may name only what [`GLOBALS`] lists, as data. What
//! [`Object`] writes is the zip archive, which `torch.load(..., weights_only=True)` reads.

mod container;
mod tensor;
mod write;

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::pickle::{Pickle, PickleError, Value};
use crate::regular;

pub use tensor::{Dtype, TorchTensor};
pub use write::{Object, write};

/// All that the pickle of a checkpoint may name.
pub const GLOBALS: &[(&str, &str)] = &[
    ("argparse", "Namespace"),
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch", "FloatStorage"),
    ("torch", "HalfStorage"),
    ("torch", "BFloat16Storage"),
    ("torch", "DoubleStorage"),
    ("torch", "LongStorage"),
    ("torch", "IntStorage"),
    ("torch", "ShortStorage"),
    ("torch", "CharStorage"),
    ("torch", "ByteStorage"),
    ("torch", "BoolStorage"),
];

/// Why a file of `torch.save` cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// The file system refused.
    #[error("{}: cannot read the file: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Another kind of file.
    #[error(
        "{}: expected a file of torch.save (a zip archive or a pickle), found {found}. Give a checkpoint such as NAME-model.th, and compare its size with that where it came from",
        path.display()
    )]
    NotTorch {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// The file is cut or changed.
    #[error("{}: the file is truncated or damaged: {reason}. Copy or download it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        reason: String,
    },
    /// The pickle inside is damaged, or more than data.
    #[error("{}: {source}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PickleError,
    },
    /// A whole file with other contents.
    #[error("{}: {place}: expected {expected}, found {found}", path.display())]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: String,
        /// What was looked for.
        expected: String,
        /// What is there.
        found: String,
    },
}

/// A file of `torch.save` in memory.
#[derive(Debug)]
pub struct TorchFile {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Where the pickle is in `bytes`.
    pickle: Range<usize>,
    /// Where each storage is, by the name that the pickle has for it.
    storages: HashMap<String, Range<usize>>,
    is_unguarded: bool,
}

impl TorchFile {
    /// Reads a file, and checks that it is whole as far as its form allows: archives usually hold checksums.
    ///
    /// # Errors
    /// It cannot be read, is of another kind, or is damaged.
    pub fn open(path: &Path) -> Result<Self, TorchError> {
        let bytes = regular::read(path).map_err(|source| TorchError::Io {
            path: path.to_owned(),
            source,
        })?;
        let parts = container::find(path, &bytes)?;
        Ok(Self {
            path: path.to_owned(),
            pickle: parts.pickle,
            storages: parts.storages,
            is_unguarded: parts.is_unguarded,
            bytes,
        })
    }

    /// The file's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is an archive without checksums, in which damage cannot be seen.
    pub fn is_unguarded(&self) -> bool {
        self.is_unguarded
    }

    /// The pickle, whose root is what was saved.
    ///
    /// # Errors
    /// It is damaged, or names anything that is not in [`GLOBALS`].
    pub fn pickle(&self) -> Result<Pickle<'_>, TorchError> {
        Pickle::parse(&self.bytes[self.pickle.clone()], GLOBALS).map_err(|source| {
            TorchError::Pickle {
                path: self.path.clone(),
                source,
            }
        })
    }

    /// The tensor that `value` describes; `place` names it in errors.
    ///
    /// # Errors
    /// It describes none, or one that does not lie within its storage.
    pub fn tensor(&self, place: &str, value: Value<'_>) -> Result<TorchTensor, TorchError> {
        TorchTensor::of(value, &self.storages).map_err(|(expected, found)| TorchError::Unexpected {
            path: self.path.clone(),
            place: place.to_owned(),
            expected: expected.to_owned(),
            found,
        })
    }

    /// The elements of a tensor of this file in row-major order, as 32-bit floats.
    pub fn values(&self, tensor: &TorchTensor) -> Vec<f32> {
        tensor.values(&self.bytes)
    }

    /// A number: Python's, or a tensor of one element.
    pub fn number(&self, value: Value<'_>) -> Option<f64> {
        if let Some(int) = value.as_int() {
            return Some(int as f64);
        }
        value.as_float().or_else(|| {
            let tensor = TorchTensor::of(value, &self.storages).ok()?;
            tensor.single(&self.bytes)
        })
    }

    /// An error about what is at `place`.
    pub fn unexpected(
        &self,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> TorchError {
        TorchError::Unexpected {
            path: self.path.clone(),
            place: place.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

/// The entries of a dictionary or an `OrderedDict`.
pub fn entries(value: Value<'_>) -> Option<Vec<(Value<'_>, Value<'_>)>> {
    value.entries().or_else(|| {
        let call = value.as_call()?;
        let is_dict = (call.module, call.name) == ("collections", "OrderedDict");
        (is_dict && call.arguments.is_empty()).then_some(call.entries)
    })
}

/// The attributes of an `argparse.Namespace`, in which training scripts keep what they were started with.
pub fn attributes(value: Value<'_>) -> Option<Vec<(Value<'_>, Value<'_>)>> {
    let call = value.as_call()?;
    let is_namespace = (call.module, call.name) == ("argparse", "Namespace");
    if !is_namespace || !call.arguments.is_empty() {
        return None;
    }
    match call.state {
        Some(state) => state.entries(),
        None => Some(Vec::new()),
    }
}

/// The last entry of a dictionary for `key`, as Python has it.
pub fn entry<'p>(entries: &[(Value<'p>, Value<'p>)], key: &str) -> Option<Value<'p>> {
    let mut entries = entries.iter().rev();
    entries
        .find(|(name, _)| name.as_str() == Some(key))
        .map(|(_, value)| *value)
}
