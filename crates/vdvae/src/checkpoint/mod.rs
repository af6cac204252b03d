//! Files of weights: the project's own, and those of the published PyTorch script.

mod file;
mod native;
pub mod published;

pub use file::CheckpointFile;
pub use native::{CheckpointError, Progress, average_bytes, load_state, save_average, save_state};
