//! Files of weights: the project's own, and those of the published PyTorch script.

mod native;
pub mod published;

pub use native::{
    CheckpointError, CheckpointFile, Progress, average_bytes, load_average, load_state,
    save_average, save_state,
};
