//! Images side by side, one by one and one after the other, as files.

mod animation;
mod grid;
mod text;

pub use animation::{Animation, Format};
pub use grid::{Grid, write_png_image};
