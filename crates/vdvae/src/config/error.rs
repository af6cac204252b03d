//! What can be wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

use vdvae_models::ModelError;

/// A configuration that cannot be read, or that describes no possible experiment.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: cannot read the configuration: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason the system gave.
        reason: std::io::Error,
    },
    /// The text is not TOML, or a key is missing.
    #[error("{place}: {message}")]
    Syntax {
        /// File and line, or the option.
        place: String,
        /// What is wrong there.
        message: String,
    },
    /// A key that no configuration has.
    #[error("{place}: unknown key `{key}`{of}; {hint}")]
    UnknownKey {
        /// File and line, or the option.
        place: String,
        /// The key as written, with its table.
        key: String,
        /// The family, where that makes the difference.
        of: String,
        /// The nearest key, or all of them.
        hint: String,
    },
    /// A value of the wrong type.
    #[error("{place}: {key}: expected {expected}, found {found}")]
    WrongType {
        /// File and line, or the option.
        place: String,
        /// The key with its table.
        key: String,
        /// The type that the key has.
        expected: String,
        /// The value as written.
        found: String,
    },
    /// An override that is not `KEY=VALUE`.
    #[error("--set {text}: expected KEY=VALUE, such as train.lr=1e-3")]
    Override {
        /// The override as written.
        text: String,
    },
    /// A preset that does not exist.
    #[error("unknown preset `{name}`; {hint}")]
    UnknownPreset {
        /// The name as written.
        name: String,
        /// The nearest preset, or all of them.
        hint: String,
    },
    /// Values outside their ranges, all of them.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
    /// A `[model]` that describes no possible model.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// One value outside its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key with its table.
    pub field: String,
    /// The range.
    pub expected: String,
    /// The value.
    pub found: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            expected,
            found,
        } = self;
        write!(f, "{field}: expected {expected}, found {found}")
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}
