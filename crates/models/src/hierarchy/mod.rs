//! The latents of a top-down pass: one loop in each family, and many sources that it may ask.

mod observers;
mod source;

use std::collections::BTreeMap;

use burn::tensor::Tensor;

pub use crate::random::Noise;
pub use observers::{LayerRecord, LogRatio, Recorder, StateAfter};
pub use source::{LatentSource, Latents, LayerLatents, StochasticLayer};

use crate::likelihood::Likelihood;
use crate::random::{Keys, Purpose};

/// What an encoder made of an image, [B, R, R, C] each, by numbers that have a meaning for the family.
pub type Activations = BTreeMap<usize, Tensor<4>>;

/// What a top-down pass returns.
#[derive(Debug)]
pub struct TopDown {
    /// The likelihood's parameters, [B, S, S, P].
    pub parameters: Tensor<4>,
    /// KL divergence of each layer, nats per image `[B]`; `None` where the latents are not from the
    /// posterior.
    pub kl: Vec<Option<Tensor<1>>>,
}

/// A model whose images are made from layers of Gaussian latents, top to bottom.
pub trait Hierarchy: Send + Sync {
    /// Number of layers.
    fn depth(&self) -> usize;

    /// What `input` [B, S, S, C] tells the posteriors.
    fn encode(&self, input: Tensor<4>) -> Activations;

    /// What one of the encoder's activations is called, such as `encoder_008`.
    fn activation_name(&self, number: usize) -> String;

    /// The top-down pass. `activations` are needed where latents are from the posterior.
    fn top_down(
        &self,
        batch: usize,
        activations: Option<&Activations>,
        latents: &mut dyn LatentSource,
    ) -> TopDown;

    /// The posterior of layer `layer`, [B, R, R, 2Z], given the state that the layer begins with and what
    /// the encoder made of an image: what the top-down pass computes at that point.
    ///
    /// # Panics
    /// If there is no such layer.
    fn posterior(&self, layer: usize, state: Tensor<4>, activations: &Activations) -> Tensor<4>;

    /// The distribution of an image given its parameters.
    fn likelihood(&self) -> &Likelihood;
}

impl dyn Hierarchy + '_ {
    /// The likelihood's parameters, [B, S, S, P]: of reconstructions if there is an `input`
    /// [B, S, S, C], else of samples.
    pub fn decode(
        &self,
        batch: usize,
        input: Option<Tensor<4>>,
        latents: &mut dyn LatentSource,
    ) -> Tensor<4> {
        let activations = input.map(|input| self.encode(input));
        let output = self.top_down(batch, activations.as_ref(), latents);
        output.parameters
    }

    /// What [`Model::sample`](crate::Model::sample) asks for.
    pub fn sample(&self, seed: u64, items: &[u64], temperatures: &[f32]) -> Vec<u8> {
        let keys = |purpose| Keys::new(seed, purpose, items.to_vec());
        let latents = Latents::prior(temperatures, Noise::Keyed(keys(Purpose::Sample)));
        let parameters = self.decode(items.len(), None, &mut &latents);
        let generators = keys(Purpose::Pixels).generators(0);
        self.likelihood().sample(parameters, generators)
    }
}
