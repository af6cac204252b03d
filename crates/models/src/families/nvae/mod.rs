//! "NVAE: A Deep Hierarchical Variational Autoencoder" (Vahdat and Kautz, NeurIPS 2020).

pub mod config;
mod flow;
mod layers;
mod loss;
mod model;
mod network;
mod plan;
mod published;
mod spectral;
mod verify;

use toml::Table;

pub use model::Nvae;
pub use plan::NvaePlan;

use crate::family::{self, Family, ModelError, Plan, Preset, preset};
use crate::published::Published;
use config::NvaeConfig;

/// The family.
#[derive(Debug)]
pub struct NvaeFamily;

/// The one in the registry.
pub const NVAE: NvaeFamily = NvaeFamily;

/// A small one for the embedded photographs, then the published ones.
const PRESETS: [Preset; 7] = [
    preset!("nvae", "photos32"),
    preset!("nvae", "mnist"),
    preset!("nvae", "cifar10"),
    preset!("nvae", "celeba64"),
    preset!("nvae", "imagenet32"),
    preset!("nvae", "celebahq256"),
    preset!("nvae", "ffhq256"),
];

impl Family for NvaeFamily {
    fn name(&self) -> &'static str {
        "nvae"
    }

    fn title(&self) -> &'static str {
        "deep hierarchical VAE with depthwise convolutions (Vahdat and Kautz, NeurIPS 2020)"
    }

    fn presets(&self) -> &'static [Preset] {
        &PRESETS
    }

    fn complete(&self, values: Table) -> Result<Table, ModelError> {
        family::complete::<NvaeConfig>(values)
    }

    fn plan(&self, values: &Table) -> Result<Box<dyn Plan>, ModelError> {
        Ok(Box::new(NvaePlan::new(family::read(values)?)?))
    }

    fn published(&self) -> Option<&'static dyn Published> {
        Some(&published::Checkpoint)
    }
}
