//! What a run looks like: its numbers, the figures that are drawn of them, and the page that holds all.

mod drawing;
mod figures;
pub mod measure;
mod page;
mod save;
mod tensorboard;

pub use drawing::Scene;
pub use figures::{DepthPoint, bits_by_depth, csv_field, loss_curve, rate_per_layer};
pub use save::{save_report, save_svg};
pub use tensorboard::EventWriter;
