//! "PixelSNAIL: An Improved Autoregressive Generative Model" (Chen, Mishra, Rohaninejad and Abbeel, ICML 2018).

pub mod config;
mod network;
mod plan;
#[cfg(test)]
mod tests;

use toml::Table;

pub use plan::PixelSnailPlan;

use crate::family::{self, Family, ModelError, Plan, Preset, preset};
use config::PixelSnailConfig;

/// The family.
#[derive(Debug)]
pub struct PixelSnailFamily;

/// The one in the registry.
pub const PIXELSNAIL: PixelSnailFamily = PixelSnailFamily;

/// A small one for the embedded photographs, then the published ones.
const PRESETS: [Preset; 4] = [
    preset!("pixelsnail", "photos32"),
    preset!("pixelsnail", "cifar10"),
    preset!("pixelsnail", "imagenet32"),
    preset!("pixelsnail", "imagenet64"),
];

impl Family for PixelSnailFamily {
    fn name(&self) -> &'static str {
        "pixelsnail"
    }

    fn title(&self) -> &'static str {
        "causal convolutions and attention to all earlier pixels (Chen et al., ICML 2018)"
    }

    fn presets(&self) -> &'static [Preset] {
        &PRESETS
    }

    fn complete(&self, values: Table) -> Result<Table, ModelError> {
        family::complete::<PixelSnailConfig>(values)
    }

    fn plan(&self, values: &Table) -> Result<Box<dyn Plan>, ModelError> {
        Ok(Box::new(PixelSnailPlan::new(family::read(values)?)?))
    }
}
