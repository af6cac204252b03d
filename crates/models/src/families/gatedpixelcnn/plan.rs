//! What follows from a configuration, without weights.

use burn::tensor::Device;

use super::GatedPixelCnn;
use super::config::GatedPixelCnnConfig;
use super::network::{Built, Network};
use crate::family::{
    Cannot, Coding, Exactness, ImageShape, LatentLayer, Model, ModelError, Operations, Plan,
};
use crate::likelihood::{Categorical, Likelihood};
use crate::ops::{Compute, Dtype};
use crate::parameters::TensorSpec;
use crate::preprocess::{Normalisation, Preprocess};
use crate::store::Store;
use crate::verify::{Compared, Recording, Setting, VerifyError};

/// A configuration that was found to describe a network, and what was counted of it.
#[derive(Debug)]
pub struct GatedPixelCnnPlan {
    config: GatedPixelCnnConfig,
    tensors: Vec<TensorSpec>,
    /// Of a pixel.
    operations: u64,
    kept: u64,
    blank: u64,
}

impl GatedPixelCnnPlan {
    /// Checks a configuration.
    ///
    /// # Errors
    /// The first thing that is wrong with it: a value, what was expected and found.
    pub fn new(config: GatedPixelCnnConfig) -> Result<Self, ModelError> {
        config.check()?;
        let Built {
            store,
            operations,
            kept,
            blank,
            ..
        } = Network::build(&config, Store::telling());
        Ok(Self {
            config,
            tensors: store.into_specs(),
            operations,
            kept,
            blank,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &GatedPixelCnnConfig {
        &self.config
    }

    /// The model itself, with fresh weights.
    pub fn model(&self, seed: u64, device: &Device) -> GatedPixelCnn {
        GatedPixelCnn::new(self, seed, device)
    }

    /// The distribution of a pixel.
    pub fn categorical(&self) -> Categorical {
        Categorical {
            levels: self.config.levels,
            channels: self.config.image_channels,
        }
    }

    /// How the network reads a byte: its level, from -1 to 1.
    pub fn input(&self, byte: u8) -> f32 {
        let most = (self.config.levels - 1) as f32;
        2.0 * self.categorical().level(byte) as f32 / most - 1.0
    }

    fn pixels(&self) -> u64 {
        (self.config.image_size * self.config.image_size) as u64
    }
}

/// Why nothing is done with latents.
pub(super) fn no_latents() -> Cannot {
    Cannot {
        what: "latents",
        why: "a Gated PixelCNN has none: it tells pixel after pixel".to_owned(),
        instead: "eval, sample and compress work without".to_owned(),
    }
}

impl Plan for GatedPixelCnnPlan {
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
        let evaluation = (self.operations * self.pixels()) as f64;
        Operations {
            // Each output of each layer once, of the inputs that its colour sees.
            sample: ((self.operations - 2 * self.blank) * self.pixels()) as f64,
            evaluation,
            training: 3.0 * evaluation,
        }
    }

    fn activations(&self, _: bool) -> u64 {
        self.kept * self.pixels()
    }

    fn exactness(&self) -> Exactness {
        Exactness::Exact
    }

    fn passes_per_sample(&self) -> u64 {
        self.pixels() * self.config.image_channels as u64
    }

    fn classes(&self) -> usize {
        self.config.classes
    }

    fn latents(&self) -> Result<Vec<LatentLayer>, Cannot> {
        Err(no_latents())
    }

    fn coding(&self) -> Result<Coding, Cannot> {
        Ok(Coding::InOrder)
    }

    fn computes(&self, compute: &Compute) -> Result<(), Cannot> {
        if compute.checkpoint_activations {
            return Err(Cannot {
                what: "--checkpoint-activations",
                why: "the layers of this family are all kept".to_owned(),
                instead: "Fewer images at once take less memory: --batch".to_owned(),
            });
        }
        if compute.dtype != Dtype::Fp32 {
            return Err(Cannot {
                what: "--dtype bf16",
                why: "this family is computed in fp32".to_owned(),
                instead: "Leave --dtype out, or set train.dtype = \"fp32\"".to_owned(),
            });
        }
        Ok(())
    }

    fn likelihood(&self) -> Likelihood {
        Likelihood::Categorical(self.categorical())
    }

    fn is_normalised(&self) -> bool {
        false
    }

    fn preprocess(&self, _: Option<Normalisation>) -> Preprocess {
        let level = |byte| self.categorical().level(byte) as f32;
        Preprocess::new(self.image(), |byte| self.input(byte), level)
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let &GatedPixelCnnConfig {
            nr_layers,
            nr_filters,
            kernel,
            levels,
            classes,
            ..
        } = &self.config;
        let taps = kernel * kernel + kernel;
        let whole = nr_layers * taps * nr_filters * 2 * nr_filters;
        let mut details = vec![
            (
                "counted",
                format!(
                    "{} parameters are kept, {} of which colour masks blank; a table that counts whole n x n and 1 x n kernels, masked half included, and nothing else, as the VDVAE paper's 177M, has {whole}",
                    self.parameters(),
                    self.blank
                ),
            ),
            ("levels", format!("{levels} a colour, a softmax each")),
        ];
        if classes > 0 {
            details.push(("kinds of images", classes.to_string()));
        }
        details
    }

    fn variant(&self) -> String {
        let kinds = self.config.classes;
        let kinds = (kinds > 0).then(|| format!("{kinds} kinds of images"));
        let levels = self.config.levels;
        let levels = (levels < 256).then(|| format!("{levels} levels"));
        let parts: Vec<_> = kinds.into_iter().chain(levels).collect();
        parts.join(", ")
    }

    fn identity(&self) -> Vec<u8> {
        format!("\ngatedpixelcnn {:?}\n", self.config).into_bytes()
    }

    fn verify(
        &self,
        recording: &Recording,
        setting: &Setting,
    ) -> Result<Vec<Compared>, VerifyError> {
        super::verify::verify(self, recording, setting)
    }

    fn build(&self, seed: u64, device: &Device) -> Box<dyn Model> {
        Box::new(self.model(seed, device))
    }
}
