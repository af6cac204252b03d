//! Files of weights.

mod native;

pub use native::{CheckpointError, Progress, load_average, load_state, save_average, save_state};
