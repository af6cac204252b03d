//! Files of weights: the project's own, and those of the published PyTorch script.

mod native;
pub mod published;

pub use native::{CheckpointError, Progress, load_average, load_state, save_average, save_state};
