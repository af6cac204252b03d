//! Training, for any family of models.

mod announce;
mod keep;
mod run;
mod validation;

pub use run::{Outcome, Training};
