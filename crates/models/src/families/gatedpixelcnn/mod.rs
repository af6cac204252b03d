//! "Conditional Image Generation with PixelCNN Decoders" (van den Oord et al., NeurIPS 2016): Gated PixelCNN.
//!
//! No code and no weights of it were published. What the paper leaves open is decided here, and said where it is.

mod cached;
mod colours;
pub mod config;
mod model;
mod network;
mod packed;
mod plan;
#[cfg(test)]
mod tests;
mod verify;

use toml::Table;

pub use model::GatedPixelCnn;
pub use plan::GatedPixelCnnPlan;

use crate::family::{self, Family, ModelError, Plan, Preset, preset};
use config::GatedPixelCnnConfig;

/// The family.
#[derive(Debug)]
pub struct GatedPixelCnnFamily;

/// The one in the registry.
pub const GATEDPIXELCNN: GatedPixelCnnFamily = GatedPixelCnnFamily;

/// A small one for the embedded photographs, then those of the paper's data sets.
const PRESETS: [Preset; 5] = [
    preset!("gatedpixelcnn", "photos32"),
    preset!("gatedpixelcnn", "cifar10"),
    preset!("gatedpixelcnn", "cifar10_classes"),
    preset!("gatedpixelcnn", "imagenet32"),
    preset!("gatedpixelcnn", "imagenet64"),
];

impl Family for GatedPixelCnnFamily {
    fn name(&self) -> &'static str {
        "gatedpixelcnn"
    }

    fn title(&self) -> &'static str {
        "Gated PixelCNN (van den Oord et al., NeurIPS 2016)"
    }

    fn presets(&self) -> &'static [Preset] {
        &PRESETS
    }

    fn complete(&self, values: Table) -> Result<Table, ModelError> {
        family::complete::<GatedPixelCnnConfig>(values)
    }

    fn plan(&self, values: &Table) -> Result<Box<dyn Plan>, ModelError> {
        Ok(Box::new(GatedPixelCnnPlan::new(family::read(values)?)?))
    }
}
