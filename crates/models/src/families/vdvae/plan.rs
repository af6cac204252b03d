//! What follows from a configuration, without weights.

use burn::tensor::Device;

use super::Vdvae;
use super::architecture::Architecture;
use super::config::{Upsample, VdvaeConfig};
use crate::family::{
    Cannot, Coding, Exactness, ImageShape, LatentLayer, Model, ModelError, Operations, Plan,
};
use crate::likelihood::{Likelihood, LikelihoodKind};
use crate::ops::{Dmol, UPPER_EDGE};
use crate::parameters::TensorSpec;
use crate::preprocess::{Normalisation, Preprocess};
use crate::verify::{Compared, Recording, Setting, VerifyError};

/// A configuration that was found to describe a network, and its structure.
#[derive(Clone, Debug)]
pub struct VdvaePlan {
    config: VdvaeConfig,
    architecture: Architecture,
}

impl VdvaePlan {
    /// Checks a configuration.
    ///
    /// # Errors
    /// The first thing that is wrong with it: a value or a part of a string, what was expected and found.
    pub fn new(config: VdvaeConfig) -> Result<Self, ModelError> {
        check_bits(&config)?;
        let architecture = Architecture::try_from(&config);
        Ok(Self {
            architecture: architecture.map_err(|error| ModelError(error.to_string()))?,
            config,
        })
    }

    /// The structure of the network.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The model itself, with fresh weights.
    pub fn model(&self, seed: u64, device: &Device) -> Vdvae {
        Vdvae::new(&self.architecture, self.likelihood(), seed, device)
    }
}

fn check_bits(config: &VdvaeConfig) -> Result<(), ModelError> {
    let bits = config.bits;
    let (ok, expected) = match config.likelihood {
        LikelihoodKind::Bernoulli => (
            bits == 8,
            "8 (binary images are drawn from the 8-bit values) with likelihood bernoulli",
        ),
        LikelihoodKind::Dmol => (matches!(bits, 5 | 8), "8 or 5"),
    };
    if ok {
        return Ok(());
    }
    Err(ModelError(format!(
        "model.bits: expected {expected}, found {bits}"
    )))
}

impl Plan for VdvaePlan {
    fn image(&self) -> ImageShape {
        ImageShape {
            size: self.config.image_size,
            channels: self.config.image_channels,
        }
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        let spec = |(name, shape): (String, Vec<usize>)| match shape[..] {
            [c_out, c_in, kernel, _] if name.ends_with(".weight") => {
                TensorSpec::conv(name, [c_out, c_in, kernel])
            }
            [_, _, _, _] => TensorSpec::grid(name, &shape),
            _ => TensorSpec::plain(name, &shape),
        };
        let shapes = self.architecture.parameter_shapes();
        shapes.into_iter().map(spec).collect()
    }

    fn operations(&self) -> Operations {
        self.architecture.operations()
    }

    fn activations(&self, checkpointed: bool) -> u64 {
        self.architecture.activations(checkpointed)
    }

    fn exactness(&self) -> Exactness {
        Exactness::Bound
    }

    fn passes_per_sample(&self) -> u64 {
        1
    }

    fn latents(&self) -> Result<Vec<LatentLayer>, Cannot> {
        let layer = |block: &super::architecture::DecBlock| LatentLayer {
            resolution: block.resolution,
            channels: self.config.zdim,
        };
        Ok(self.architecture.dec_blocks.iter().map(layer).collect())
    }

    fn coding(&self) -> Result<Coding, Cannot> {
        Ok(Coding::BitsBack)
    }

    fn likelihood(&self) -> Likelihood {
        match self.config.likelihood {
            LikelihoodKind::Dmol => Likelihood::Dmol(Dmol {
                mixtures: self.config.num_mixtures,
                channels: self.config.image_channels,
                bits: self.config.bits,
                upper_edge: UPPER_EDGE,
            }),
            LikelihoodKind::Bernoulli => Likelihood::Bernoulli,
        }
    }

    fn is_normalised(&self) -> bool {
        true
    }

    fn preprocess(&self, normalisation: Option<Normalisation>) -> Preprocess {
        let Normalisation { shift, scale } =
            normalisation.expect("the network reads normalised images");
        let input = |value: u8| ((f64::from(value) + shift) * scale) as f32;
        match self.config.likelihood {
            LikelihoodKind::Bernoulli => {
                let target = |value: u8| f32::from(value) / 255.0;
                Preprocess::new(self.image(), input, target).binarized()
            }
            LikelihoodKind::Dmol => {
                let low_bits = 8 - self.config.bits;
                let target = |value: u8| {
                    let coarse = value >> low_bits << low_bits;
                    (f32::from(coarse) - 127.5) / 127.5
                };
                Preprocess::new(self.image(), input, target)
            }
        }
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let blocks = self.architecture.enc_blocks.len();
        let mut details = vec![("encoder", format!("{blocks} blocks"))];
        if !self.config.topdown_residual {
            let text = "replaced by each layer (not residual)".to_owned();
            details.push(("top-down state", text));
        }
        if self.config.upsample == Upsample::Conv {
            details.push(("upsampling", "learned 1x1 convolutions".to_owned()));
        }
        details
    }

    fn variant(&self) -> String {
        let residual = (!self.config.topdown_residual).then_some("no residual");
        let upsample = (self.config.upsample == Upsample::Conv).then_some("learned upsampling");
        let parts: Vec<_> = residual.into_iter().chain(upsample).collect();
        parts.join(", ")
    }

    fn identity(&self) -> Vec<u8> {
        // By name, so that a new field has to be thought of here.
        let VdvaeConfig {
            image_size,
            image_channels,
            width,
            zdim,
            bottleneck_multiple,
            enc_blocks,
            dec_blocks,
            custom_width_str,
            no_bias_above,
            num_mixtures,
            bits,
            likelihood,
            topdown_residual,
            upsample,
        } = &self.config;
        let numbers = [
            image_size,
            image_channels,
            width,
            zdim,
            no_bias_above,
            num_mixtures,
        ];
        let mut identity = format!(
            "\n{numbers:?} {bits} {likelihood:?}\n{topdown_residual} {upsample:?}\n{enc_blocks}\n{dec_blocks}\n{custom_width_str}\n"
        )
        .into_bytes();
        identity.extend(bottleneck_multiple.to_bits().to_le_bytes());
        identity
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
