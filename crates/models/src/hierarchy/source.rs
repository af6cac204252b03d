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

    fn see_state(&mut self, layer: usize, state: &Tensor<4>) {
        (**self).see_state(layer, state);
    }
}

/// Where the latents of one layer come from.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there are as many as layers")]
pub enum Source {
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
    sources: Vec<Source>,
    noise: Noise,
}

impl Latents {
    /// All layers from the posterior: training, evaluation.
    pub fn posterior(noise: Noise) -> Self {
        Self {
            sources: vec![Source::Posterior],
            noise,
        }
    }

    /// All layers at the posterior's mean, without randomness.
    pub fn posterior_mean() -> Self {
        Self {
            sources: vec![Source::PosteriorMean],
            noise: Noise::Given(Vec::new()),
        }
    }

    /// All layers from the prior, one temperature per layer, the last one holding for those after it:
    /// samples.
    pub fn prior(temperatures: &[f32], noise: Noise) -> Self {
        Self::first(Vec::new(), temperatures, noise)
    }

    /// The first layers as `sources` say, the rest from the prior at `temperatures` (counted from layer
    /// 0): reconstructions from k layers, decoding.
    pub fn first(mut sources: Vec<Source>, temperatures: &[f32], noise: Noise) -> Self {
        let last = temperatures.len().saturating_sub(1);
        for layer in sources.len()..=last.max(sources.len()) {
            let temperature = temperatures.get(layer.min(last)).copied().unwrap_or(1.0);
            sources.push(Source::Prior { temperature });
        }
        Self { sources, noise }
    }

    /// These latents, [B, R, R, Z] of every layer.
    pub fn given(z: Vec<Tensor<4>>) -> Self {
        let sources = z.into_iter().map(Source::Given).collect();
        Self::first(sources, &[], Noise::Given(Vec::new()))
    }

    fn source(&self, layer: usize) -> &Source {
        &self.sources[layer.min(self.sources.len() - 1)]
    }
}

impl LatentSource for &Latents {
    fn needs_posterior(&self, layer: usize) -> bool {
        matches!(
            self.source(layer),
            Source::Posterior | Source::PosteriorMean
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
        match (self.source(layer), noise) {
            (Source::Prior { .. }, Some(noise)) => ops::draw(prior.clone(), noise),
            (Source::Posterior, Some(noise)) => ops::draw(posterior(), noise),
            (Source::Given(z), _) => z.clone(),
            (Source::PosteriorMean, _) | (_, None) => posterior().narrow(3, 0, zdim),
        }
    }

    fn noise(&mut self, layer: usize, shape: [usize; 4], device: &Device) -> Option<Tensor<4>> {
        let noise = || self.noise.normal(layer, shape, device);
        match self.source(layer) {
            Source::Posterior | Source::Prior { temperature: 1.0 } => Some(noise()),
            Source::Prior { temperature } => Some(noise() * *temperature),
            Source::PosteriorMean | Source::Given(_) => None,
        }
    }
}
