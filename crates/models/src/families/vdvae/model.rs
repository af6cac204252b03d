//! The whole model.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::architecture::Architecture;
use super::block::Initializer;
use super::decoder::Decoder;
use super::encoder::Encoder;
use crate::family::{Cannot, Cost, Model, PosteriorLatents};
use crate::hierarchy::{Activations, Hierarchy, LatentSource, Latents, LogRatio, TopDown};
use crate::likelihood::Likelihood;
use crate::ops::Compute;
use crate::preprocess::Prepared;
use crate::random::{Purpose, generator};

/// Encoder, decoder and likelihood. The names of the fields are those of the published weights.
#[derive(Module, Debug)]
pub struct Vdvae {
    encoder: Encoder,
    decoder: Decoder,
    #[module(skip)]
    likelihood: Likelihood,
}

impl Model for Vdvae {
    fn set_compute(&mut self, compute: Compute) {
        self.encoder.set_compute(compute);
        self.decoder.set_compute(compute);
    }

    fn cost(&self, batch: Prepared, latents: PosteriorLatents) -> Cost {
        let Prepared { input, target, .. } = batch;
        match latents {
            PosteriorLatents::Drawn(noise) => self.elbo(input, target, &Latents::posterior(noise)),
            PosteriorLatents::Mean => self.elbo(input, target, &Latents::posterior_mean()),
            PosteriorLatents::Weighed(noise) => {
                let latents = Latents::posterior(noise);
                let mut weighed = LogRatio::new(&latents);
                let per_dimension = per_dimension(&target);
                let elbo = self.elbo(input, target, &mut weighed);
                Cost {
                    log_ratio: weighed.sum.map(|nats| nats * per_dimension),
                    ..elbo
                }
            }
        }
    }

    fn sample(&self, seed: u64, items: &[u64], temperatures: &[f32]) -> Vec<u8> {
        let hierarchy: &dyn Hierarchy = self;
        hierarchy.sample(seed, items, temperatures)
    }

    fn hierarchy(&self) -> Result<&dyn Hierarchy, Cannot> {
        Ok(self)
    }
}

impl Hierarchy for Vdvae {
    fn depth(&self) -> usize {
        self.decoder.depth()
    }

    fn encode(&self, input: Tensor<4>) -> Activations {
        self.encoder.forward(input)
    }

    fn activation_name(&self, resolution: usize) -> String {
        format!("encoder_{resolution:03}")
    }

    fn top_down(
        &self,
        batch: usize,
        activations: Option<&Activations>,
        latents: &mut dyn LatentSource,
    ) -> TopDown {
        let output = self.decoder.forward(batch, activations, latents);
        TopDown {
            parameters: self.decoder.likelihood_parameters(output.px_z),
            kl: output.kl,
        }
    }

    fn posterior(&self, layer: usize, state: Tensor<4>, activations: &Activations) -> Tensor<4> {
        self.decoder.posterior(layer, state, activations)
    }

    fn likelihood(&self) -> &Likelihood {
        &self.likelihood
    }
}

impl Vdvae {
    /// A model with fresh weights, a function of `seed`.
    pub fn new(
        architecture: &Architecture,
        likelihood: Likelihood,
        seed: u64,
        device: &Device,
    ) -> Self {
        let generator = generator(seed, Purpose::Weights, 0, 0);
        let mut init = Initializer { generator, device };
        Self {
            encoder: Encoder::new(&mut init, architecture),
            decoder: Decoder::new(&mut init, architecture),
            likelihood,
        }
    }

    /// Encodes `input` [B, S, S, C] (normalised), runs the top-down pass and measures `target`
    /// [B, S, S, C] (in the likelihood's scale, see [`crate::preprocess`]).
    pub fn elbo(&self, input: Tensor<4>, target: Tensor<4>, latents: impl LatentSource) -> Cost {
        let batch = target.dims()[0];
        let per_dimension = per_dimension(&target);
        let activations = self.encoder.forward(input);
        let output = self.decoder.forward(batch, Some(&activations), latents);
        let parameters = self.decoder.likelihood_parameters(output.px_z);
        let nats = self.likelihood.negative_log_likelihood(parameters, target);
        Cost {
            distortion: nats * per_dimension,
            rate_per_layer: output
                .kl
                .into_iter()
                .map(|kl| kl.map(|kl| kl * per_dimension))
                .collect(),
            log_ratio: None,
        }
    }

    /// The top-down network.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The bottom-up network.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }
}

/// Nats per image times this are nats per dimension. `target`: [B, S, S, C].
fn per_dimension(target: &Tensor<4>) -> f32 {
    let [_, height, width, channels] = target.dims();
    1.0 / (height * width * channels) as f32
}
