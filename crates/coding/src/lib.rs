//! Exact entropy coding.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod bernoulli;
mod coder;
pub mod container;
mod dmol;
mod error;
mod gaussian;
mod grid;
mod math;
mod normal;
mod search;
mod tiles;

pub use bernoulli::{pop_bernoulli, push_bernoulli};
pub use coder::{Coder, Interval, PRECISION, Stream};
pub use dmol::{PixelCodec, PixelShape};
pub use error::CodingError;
pub use gaussian::{LatentCodec, Normals};
pub use tiles::Tiling;
