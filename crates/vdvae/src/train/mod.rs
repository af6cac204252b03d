//! Training, for any family of models.

mod announce;
mod keep;
mod run;
mod start;
mod validation;

pub use run::{Outcome, Training};
pub use start::start;
