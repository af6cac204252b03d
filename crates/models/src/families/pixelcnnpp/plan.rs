//! What follows from a configuration, without weights.

use burn::tensor::Device;

use super::config::PixelCnnConfig;
use super::network::{Built, Network};
use crate::family::{
    Cannot, Coding, Exactness, ImageShape, LatentLayer, Model, ModelError, Operations, Plan,
};
use crate::likelihood::Likelihood;
use crate::ops::{Compute, Dmol, UPPER_EDGE};
use crate::ordered::layers::Norm;
use crate::ordered::model::{self, PixelModel, no_latents, signed};
use crate::ordered::{recorded, tensorflow};
use crate::parameters::TensorSpec;
use crate::preprocess::{Normalisation, Preprocess};
use crate::random::{Purpose, generator};
use crate::store::Store;
use crate::verify::{Compared, Recording, Setting, VerifyError};

/// A configuration that was found to describe a network, and what was counted of it.
#[derive(Debug)]
pub struct PixelCnnPlan {
    config: PixelCnnConfig,
    tensors: Vec<TensorSpec>,
    operations: f64,
    kept: u64,
    /// Names of the gated blocks.
    blocks: Vec<String>,
}

impl PixelCnnPlan {
    /// Checks a configuration.
    ///
    /// # Errors
    /// The first thing that is wrong with it: a value, what was expected and found.
    pub fn new(config: PixelCnnConfig) -> Result<Self, ModelError> {
        config.check()?;
        let Built {
            store,
            operations,
            kept,
            blocks,
            ..
        } = Network::build(&config, Store::telling());
        Ok(Self {
            config,
            tensors: store.into_specs(),
            operations,
            kept,
            blocks,
        })
    }

    /// The model itself, with fresh weights.
    pub fn model(&self, seed: u64, device: &Device) -> PixelModel<Network> {
        let store = Store::new(generator(seed, Purpose::Weights, 0, 0), device);
        let Built {
            network,
            store,
            layers,
            ..
        } = Network::build(&self.config, store);
        let built = (network, store, layers);
        PixelModel::new(built, self.likelihood(), self.image(), self.config.classes)
    }
}

impl Plan for PixelCnnPlan {
    fn image(&self) -> ImageShape {
        ImageShape {
            size: self.config.image_size,
            channels: self.config.image_channels,
        }
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        self.tensors.clone()
    }

    fn operations(&self) -> Operations {
        Operations {
            sample: self.operations,
            evaluation: self.operations,
            training: 3.0 * self.operations,
        }
    }

    fn activations(&self, _: bool) -> u64 {
        self.kept
    }

    fn exactness(&self) -> Exactness {
        Exactness::Exact
    }

    fn passes_per_sample(&self) -> u64 {
        (self.config.image_size * self.config.image_size) as u64
    }

    fn classes(&self) -> usize {
        self.config.classes
    }

    fn latents(&self) -> Result<Vec<LatentLayer>, Cannot> {
        Err(no_latents("latents"))
    }

    fn coding(&self) -> Result<Coding, Cannot> {
        Ok(Coding::InOrder)
    }

    fn computes(&self, compute: &Compute) -> Result<(), Cannot> {
        model::computes(compute)
    }

    fn likelihood(&self) -> Likelihood {
        Likelihood::Dmol(Dmol {
            mixtures: self.config.nr_logistic_mix,
            channels: self.config.image_channels,
            bits: 8,
            upper_edge: UPPER_EDGE,
        })
    }

    fn is_normalised(&self) -> bool {
        false
    }

    fn preprocess(&self, _: Option<Normalisation>) -> Preprocess {
        Preprocess::new(self.image(), signed, signed)
    }

    fn variables(&self) -> Option<Vec<TensorSpec>> {
        let is_original = self.config.deconv_norm == Norm::Output;
        is_original.then(|| tensorflow::variables(&self.tensors))
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let config = &self.config;
        let blocks = 2 * (6 * config.nr_resnet + 2);
        let mut details = vec![("gated blocks", format!("{blocks}, in two streams"))];
        if config.classes > 0 {
            details.push(("classes", config.classes.to_string()));
        }
        details
    }

    fn variant(&self) -> String {
        match self.config.classes {
            0 => String::new(),
            classes => format!("{classes} classes"),
        }
    }

    fn identity(&self) -> Vec<u8> {
        format!("\npixelcnnpp {:?}\n", self.config).into_bytes()
    }

    fn verify(
        &self,
        recording: &Recording,
        setting: &Setting,
    ) -> Result<Vec<Compared>, VerifyError> {
        recorded::verify(self, &self.blocks, recording, setting)
    }

    fn build(&self, seed: u64, device: &Device) -> Box<dyn Model> {
        Box::new(self.model(seed, device))
    }
}
