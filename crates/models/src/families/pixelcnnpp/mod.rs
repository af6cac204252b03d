//! "PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications" (Salimans,
//! Karpathy, Chen and Kingma, ICLR 2017).

pub mod config;
mod network;
mod plan;
#[cfg(test)]
mod tests;

use toml::Table;

pub use plan::PixelCnnPlan;

use crate::family::{self, Family, ModelError, Plan, Preset, preset};
use config::PixelCnnConfig;

/// The family.
#[derive(Debug)]
pub struct PixelCnnFamily;

/// The one in the registry.
pub const PIXELCNNPP: PixelCnnFamily = PixelCnnFamily;

/// A small one for the embedded photographs, then the published ones.
const PRESETS: [Preset; 3] = [
    preset!("pixelcnnpp", "photos32"),
    preset!("pixelcnnpp", "cifar10"),
    preset!("pixelcnnpp", "cifar10_classes"),
];

impl Family for PixelCnnFamily {
    fn name(&self) -> &'static str {
        "pixelcnnpp"
    }

    fn title(&self) -> &'static str {
        "PixelCNN++: pixel after pixel, two streams of shifted convolutions (Salimans et al., ICLR 2017)"
    }

    fn presets(&self) -> &'static [Preset] {
        &PRESETS
    }

    fn complete(&self, values: Table) -> Result<Table, ModelError> {
        family::complete::<PixelCnnConfig>(values)
    }

    fn plan(&self, values: &Table) -> Result<Box<dyn Plan>, ModelError> {
        Ok(Box::new(PixelCnnPlan::new(family::read(values)?)?))
    }
}
