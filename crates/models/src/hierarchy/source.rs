//! Where the latents come from: the one thing that differs between training, sampling, reconstructing,
//! decoding and coding, which all share one top-down loop.

use burn::tensor::{Device, Tensor};

use crate::ops;
use crate::random::Noise;

/// What a stochastic layer knows when its latents are wanted. Gaussians are means, then log sigmas.
#[derive(Clone, Copy, Debug)]
pub struct StochasticLayer<'a> {
    /// Its number, counted from 0 at the top.
    pub layer: usize,
    /// Latent channels Z.
    pub zdim: usize,
    /// The state that the layer begins with, [B, R, R, C]: all that prior and posterior know of the
    /// layers above.
    pub state: &'a Tensor<4>,
    /// p(z | the layers above), [B, R, R, 2Z + C]: mean, log sigma, and features that are no concern
    /// of the latents.
    pub prior: &'a Tensor<4>,
    /// q(z | the layers above, x), [B, R, R, 2Z]; `None` if no image was encoded or nobody asked.
    pub posterior: Option<&'a Tensor<4>>,
}

/// Gives the top-down loop its latents, and may watch it.
///
/// The loop asks layer by layer from the top, and what it computes below depends on the answers.
/// [`Latents`] is what most need. An entropy coder is another: given an image, it decodes z from the
/// posterior; given none, it decodes z from the prior alone, and keeps the states, to which belong the
/// posteriors of an image that is known later ([`Hierarchy::posterior`](super::Hierarchy::posterior)).
///
/// What fails in a source has to be kept there until the loop has ended.
pub trait LatentSource: Send {
    /// Whether the posterior of layer `layer` is to be computed, where an image was encoded. Also
    /// decides whether the loop returns the layer's KL.
    fn needs_posterior(&self, layer: usize) -> bool;

    /// The latents of a layer, [B, R, R, Z].
    fn latent(&mut self, layer: StochasticLayer) -> Tensor<4>;

    /// The noise, times the temperature, that the latents of layer `layer` are drawn with: from the
    /// posterior where it [is needed](Self::needs_posterior), else from the prior. `None` where they come
    /// from elsewhere, or the source wants to see the layer. The loop may ask this in place of
    /// [`latent`](Self::latent), which then gives the same latents (with gradients, but for rounding). The shape is [B, R, R, Z].
    fn noise(&mut self, _layer: usize, _shape: [usize; 4], _device: &Device) -> Option<Tensor<4>> {
        None
    }

    /// Whether the latents of layer `layer` are drawn from the posterior: where that is the start of a flow,
    /// they pass it, while those from elsewhere are what it leads to.
    fn is_from_posterior(&self, layer: usize) -> bool {
        self.needs_posterior(layer)
    }

    /// Sees what a flow made of the latents of layer `layer`, [B, R, R, Z].
    fn see_flowed(&mut self, _layer: usize, _z: &Tensor<4>) {}

    /// Sees the state that layer `layer` leaves, [B, R, R, C].
    fn see_state(&mut self, _layer: usize, _state: &Tensor<4>) {}
}

impl<S: LatentSource + ?Sized> LatentSource for &mut S {
    fn needs_posterior(&self, layer: usize) -> bool {
        (**self).needs_posterior(layer)
    }

    fn latent(&mut self, layer: StochasticLayer) -> Tensor<4> {
        (**self).latent(layer)
    }

    fn noise(&mut self, layer: usize, shape: [usize; 4], device: &Device) -> Option<Tensor<4>> {
        (**self).noise(layer, shape, device)
    }

    fn is_from_posterior(&self, layer: usize) -> bool {
        (**self).is_from_posterior(layer)
    }

    fn see_flowed(&mut self, layer: usize, z: &Tensor<4>) {
        (**self).see_flowed(layer, z);
    }

    fn see_state(&mut self, layer: usize, state: &Tensor<4>) {
        (**self).see_state(layer, state);
    }
}

/// Where the latents of one layer come from.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there are as many as layers")]
pub enum LayerLatents {
    /// Drawn from the posterior q(z | x).
    Posterior,
    /// The mean of the posterior.
    PosteriorMean,
    /// Drawn from the prior with its standard deviation multiplied by the temperature.
    Prior {
        /// Greater than 0; 1 is the model itself.
        temperature: f32,
    },
    /// These values, [B, R, R, Z].
    Given(Tensor<4>),
}

/// Where the latents of all layers come from, top (layer 0) to bottom.
#[derive(Clone, Debug)]
pub struct Latents {
    /// For the first layers one by one; the last entry holds for all layers after it.
    layers: Vec<LayerLatents>,
    noise: Noise,
}

impl Latents {
    /// All layers from the posterior: training, evaluation.
    pub fn posterior(noise: Noise) -> Self {
        Self {
            layers: vec![LayerLatents::Posterior],
            noise,
        }
    }

    /// All layers at the posterior's mean, without randomness.
    pub fn posterior_mean() -> Self {
        Self {
            layers: vec![LayerLatents::PosteriorMean],
            noise: Noise::Given(Vec::new()),
        }
    }

    /// All layers from the prior, one temperature per layer, the last one holding for those after it:
    /// samples.
    pub fn prior(temperatures: &[f32], noise: Noise) -> Self {
        Self::first(Vec::new(), temperatures, noise)
    }

    /// The `layers` from the top as they say, the rest from the prior at `temperatures` (counted from layer
    /// 0): reconstructions from k layers, decoding.
    pub fn first(mut layers: Vec<LayerLatents>, temperatures: &[f32], noise: Noise) -> Self {
        let last = temperatures.len().saturating_sub(1);
        for layer in layers.len()..=last.max(layers.len()) {
            let temperature = temperatures.get(layer.min(last)).copied().unwrap_or(1.0);
            layers.push(LayerLatents::Prior { temperature });
        }
        Self { layers, noise }
    }

    /// These latents, [B, R, R, Z] of every layer.
    pub fn given(z: Vec<Tensor<4>>) -> Self {
        let layers = z.into_iter().map(LayerLatents::Given).collect();
        Self::first(layers, &[], Noise::Given(Vec::new()))
    }

    fn of(&self, layer: usize) -> &LayerLatents {
        &self.layers[layer.min(self.layers.len() - 1)]
    }
}

impl LatentSource for &Latents {
    fn needs_posterior(&self, layer: usize) -> bool {
        matches!(
            self.of(layer),
            LayerLatents::Posterior | LayerLatents::PosteriorMean
        )
    }

    /// # Panics
    /// If the latents are from the posterior and there is none: the caller did not encode an image.
    fn latent(&mut self, layer: StochasticLayer) -> Tensor<4> {
        let StochasticLayer {
            layer,
            zdim,
            prior,
            posterior,
            ..
        } = layer;
        let posterior = || {
            posterior
                .expect("latents from the posterior need an encoded image")
                .clone()
        };
        let [batch, height, width, _] = prior.dims();
        let noise = self.noise(layer, [batch, height, width, zdim], &prior.device());
        match (self.of(layer), noise) {
            (LayerLatents::Prior { .. }, Some(noise)) => ops::draw(prior.clone(), noise),
            (LayerLatents::Posterior, Some(noise)) => ops::draw(posterior(), noise),
            (LayerLatents::Given(z), _) => z.clone(),
            (LayerLatents::PosteriorMean, _) | (_, None) => posterior().narrow(3, 0, zdim),
        }
    }

    fn noise(&mut self, layer: usize, shape: [usize; 4], device: &Device) -> Option<Tensor<4>> {
        let noise = || self.noise.normal(layer, shape, device);
        match self.of(layer) {
            LayerLatents::Posterior | LayerLatents::Prior { temperature: 1.0 } => Some(noise()),
            LayerLatents::Prior { temperature } => Some(noise() * *temperature),
            LayerLatents::PosteriorMean | LayerLatents::Given(_) => None,
        }
    }
}
