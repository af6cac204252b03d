//! What can be wrong with a file, said so that a person can put it right.

use std::path::{Path, PathBuf};

use crate::pickle::PickleError;

/// Everything that reading a file of arrays can fail with.
///
/// Every message names the file and, where there is one, the field, what was expected, what was found and
/// what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The file system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// "read", "open", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },

    /// A field of a file is not what it has to be.
    #[error("{place}: {field}: expected {expected}, found {found}. {remedy}")]
    Mismatch {
        /// The file.
        place: String,
        /// The field in it.
        field: &'static str,
        /// What would be right.
        expected: String,
        /// What is there.
        found: String,
        /// What to do.
        remedy: String,
    },

    /// A pickle that is damaged or holds more than plain data.
    #[error("{place}: {source}")]
    Pickle {
        /// The file.
        place: String,
        /// What is wrong with it.
        source: PickleError,
    },
}

impl FormatError {
    /// A [`FormatError::Io`] for use with `map_err`.
    pub fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// A [`FormatError::Mismatch`] at `place`.
    pub fn mismatch(
        place: &str,
        field: &'static str,
        expected: impl ToString,
        found: impl ToString,
        remedy: impl ToString,
    ) -> Self {
        Self::Mismatch {
            place: place.to_owned(),
            field,
            expected: expected.to_string(),
            found: found.to_string(),
            remedy: remedy.to_string(),
        }
    }
}
