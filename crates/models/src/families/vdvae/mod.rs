//! The very deep VAE: "Very Deep VAEs Generalize Autoregressive Models and Can Outperform Them on Images"
//! (Child, ICLR 2021).

pub mod architecture;
mod block;
pub mod config;
mod decoder;
mod encoder;
mod model;
mod plan;
#[cfg(test)]
mod tests;
mod verify;

use toml::Table;

pub use block::{Bottleneck, Conv, Initializer};
pub use decoder::{Decoder, DecoderOutput};
pub use encoder::Encoder;
pub use model::Vdvae;
pub use plan::VdvaePlan;

use crate::family::{self, Family, ModelError, Plan, Preset, preset};
use config::VdvaeConfig;

/// The family.
#[derive(Debug)]
pub struct VdvaeFamily;

/// The one in the registry.
pub const VDVAE: VdvaeFamily = VdvaeFamily;

/// The default, the small one for Fashion-MNIST, the published ones, then one for benchmarks.
const PRESETS: [Preset; 8] = [
    preset!("vdvae", "photos32"),
    preset!("vdvae", "fashion32"),
    preset!("vdvae", "cifar10"),
    preset!("vdvae", "imagenet32"),
    preset!("vdvae", "imagenet64"),
    preset!("vdvae", "ffhq256"),
    preset!("vdvae", "ffhq1024"),
    preset!("vdvae", "small32"),
];

impl Family for VdvaeFamily {
    fn name(&self) -> &'static str {
        "vdvae"
    }

    fn title(&self) -> &'static str {
        "very deep VAE (Child, ICLR 2021)"
    }

    fn presets(&self) -> &'static [Preset] {
        &PRESETS
    }

    fn complete(&self, values: Table) -> Result<Table, ModelError> {
        family::complete::<VdvaeConfig>(values)
    }

    fn plan(&self, values: &Table) -> Result<Box<dyn Plan>, ModelError> {
        Ok(Box::new(VdvaePlan::new(family::read(values)?)?))
    }
}
