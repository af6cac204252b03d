//! Exit codes: 2 for a command that cannot mean anything, 1 for one that failed.

use vdvae_data::DataError;

use vdvae_models::{Cannot, ModelError};

use crate::config::ConfigError;

/// What was typed cannot be done, whatever the state of the machine.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// An error that exits with code 2.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// The exit code for an error.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let mut causes = error.chain();
    let is_usage = causes.any(|cause| {
        cause.is::<Usage>()
            || cause.is::<ConfigError>()
            || cause.is::<ModelError>()
            || cause.is::<Cannot>()
            || cause.downcast_ref::<DataError>().is_some_and(is_argument)
    });
    if is_usage { 2 } else { 1 }
}

/// Whether it is about what was typed, not about what is in a file.
fn is_argument(error: &DataError) -> bool {
    matches!(
        error,
        DataError::Argument { .. }
            | DataError::UnknownSource { .. }
            | DataError::SourceSyntax { .. }
            | DataError::UnknownSplit { .. }
            | DataError::Layout { .. }
            | DataError::NoSplit { .. }
            | DataError::OtherImages { .. }
    )
}

/// The message of an error with its causes, each once.
pub fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = if text.is_empty() {
                cause
            } else {
                format!("{text}: {cause}")
            };
        }
    }
    text
}
