//! Training, for any family of models.

mod announce;
mod run;
mod schedule;
mod state;
mod step;

pub use run::{Outcome, Training};
pub use schedule::learning_rate;
pub use state::TrainState;
pub use step::{StepReport, train_step};
