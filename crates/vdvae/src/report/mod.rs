//! What a run leaves for people and programs to look at: the log, picture grids, curves, the report.

mod animation;
mod axis;
mod curve;
mod depth;
mod figures;
mod grid;
mod interval;
pub mod log;
pub mod measure;
mod page;
mod rates;
mod save;
mod scene;
mod svg;
mod tensorboard;
mod text;

pub use animation::{Animation, Format};
pub use curve::loss_curve_svg;
pub use depth::{DepthPoint, bits_by_depth_svg};
pub use grid::{Grid, write_png_image};
pub use interval::IntervalStats;
pub use rates::rate_per_layer_svg;
pub use save::save_report;
pub use tensorboard::EventWriter;
pub use text::csv_field;
