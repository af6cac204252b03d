//! Training, for any family of models.

mod announce;
mod run;

pub use run::{Outcome, Training};
