//! The very deep VAE (Child, ICLR 2021).

mod block;
mod decoder;
mod encoder;
mod latents;
mod observers;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

pub use block::{Bottleneck, Conv, Initializer};
pub use decoder::{Decoder, DecoderOutput};
pub use encoder::{Activations, Encoder};
pub use latents::{LatentSource, Latents, Noise, Source, StochasticLayer};
pub use observers::{LayerRecord, Recorder, StateAfter};

use observers::LogRatio;

use crate::architecture::Architecture;
use crate::likelihood::Likelihood;
use crate::models::{Elbo, Model, PosteriorLatents};
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
    fn elbo(&self, batch: Prepared, latents: PosteriorLatents) -> Elbo {
        let Prepared { input, target } = batch;
        match latents {
            PosteriorLatents::Drawn(keys) => {
                self.elbo(input, target, &Latents::posterior(Noise::Keyed(keys)))
            }
            PosteriorLatents::Mean => self.elbo(input, target, &Latents::posterior_mean()),
            PosteriorLatents::Weighed(keys) => {
                let latents = Latents::posterior(Noise::Keyed(keys));
                let mut weighed = LogRatio::new(&latents);
                let per_dimension = per_dimension(&target);
                let elbo = self.elbo(input, target, &mut weighed);
                Elbo {
                    log_ratio: weighed.sum.map(|nats| nats * per_dimension),
                    ..elbo
                }
            }
        }
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

    /// The same model, computing another way.
    pub fn computing(mut self, compute: Compute) -> Self {
        self.encoder.set_compute(compute);
        self.decoder.set_compute(compute);
        self
    }

    /// Encodes `input` [B, S, S, C] (normalised), runs the top-down pass and measures `target`
    /// [B, S, S, C] (in the likelihood's scale, see [`crate::preprocess`]).
    pub fn elbo(&self, input: Tensor<4>, target: Tensor<4>, latents: impl LatentSource) -> Elbo {
        let batch = target.dims()[0];
        let per_dimension = per_dimension(&target);
        let activations = self.encoder.forward(input);
        let output = self.decoder.forward(batch, Some(&activations), latents);
        let parameters = self.decoder.likelihood_parameters(output.px_z);
        let nats = self.likelihood.negative_log_likelihood(parameters, target);
        Elbo {
            distortion: nats * per_dimension,
            rate_per_layer: output
                .kl
                .into_iter()
                .map(|kl| kl.map(|kl| kl * per_dimension))
                .collect(),
            log_ratio: None,
        }
    }

    /// The parameters of the likelihood, [B, S, S, P]: of reconstructions if there is an `input`
    /// [B, S, S, C], else of samples.
    pub fn decode(
        &self,
        batch: usize,
        input: Option<Tensor<4>>,
        latents: impl LatentSource,
    ) -> Tensor<4> {
        let activations = input.map(|input| self.encoder.forward(input));
        let output = self.decoder.forward(batch, activations.as_ref(), latents);
        self.decoder.likelihood_parameters(output.px_z)
    }

    /// The top-down network.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The bottom-up network.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The distribution of an image given the features of the decoder.
    pub fn likelihood(&self) -> &Likelihood {
        &self.likelihood
    }
}

/// Nats per image times this are nats per dimension. `target`: [B, S, S, C].
fn per_dimension(target: &Tensor<4>) -> f32 {
    let [_, height, width, channels] = target.dims();
    1.0 / (height * width * channels) as f32
}
