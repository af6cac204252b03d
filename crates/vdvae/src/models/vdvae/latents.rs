//! Where the latents come from: the one thing that differs between training, sampling, reconstructing
//! and decoding, which all share one top-down loop.

use burn::tensor::Tensor;

use crate::ops;
use crate::random::Keys;

/// Standard normal noise for each layer.
#[derive(Clone, Debug)]
pub enum Noise {
    /// A function of the images' keys and the layer alone.
    Keyed(Keys),
    /// One tensor [B, R, R, Z] per layer.
    Given(Vec<Tensor<4>>),
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
    weighed: bool,
}

impl Latents {
    /// All layers from the posterior: training, evaluation.
    pub fn posterior(noise: Noise) -> Self {
        Self {
            sources: vec![Source::Posterior],
            noise,
            weighed: false,
        }
    }

    /// All layers at the posterior's mean, without randomness.
    pub fn posterior_mean() -> Self {
        Self {
            sources: vec![Source::PosteriorMean],
            noise: Noise::Given(Vec::new()),
            weighed: false,
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
        Self {
            sources,
            noise,
            weighed: false,
        }
    }

    /// Also computes ln q(z) - ln p(z) at the latents that are drawn.
    pub fn weighed(self) -> Self {
        Self {
            weighed: true,
            ..self
        }
    }

    /// Whether [`Latents::weighed`] was asked for.
    pub fn is_weighed(&self) -> bool {
        self.weighed
    }

    fn source(&self, layer: usize) -> &Source {
        &self.sources[layer.min(self.sources.len() - 1)]
    }

    /// Whether layer `layer` needs the posterior.
    pub fn needs_posterior(&self, layer: usize) -> bool {
        matches!(
            self.source(layer),
            Source::Posterior | Source::PosteriorMean
        )
    }

    /// The latents of layer `layer`, [B, R, R, Z]. `prior` is [B, R, R, >= 2Z] and `posterior`
    /// [B, R, R, 2Z]: first the means, then the log sigmas.
    ///
    /// # Panics
    /// If the layer needs a posterior and there is none: the caller did not encode an image.
    pub fn draw(
        &self,
        layer: usize,
        zdim: usize,
        prior: &Tensor<4>,
        posterior: Option<&Tensor<4>>,
    ) -> Tensor<4> {
        let posterior = || {
            posterior
                .expect("latents from the posterior need an encoded image")
                .clone()
        };
        match self.source(layer) {
            Source::Posterior => ops::draw(posterior(), 1.0, self.noise(layer, zdim, prior)),
            Source::PosteriorMean => posterior().narrow(3, 0, zdim),
            Source::Prior { temperature } => {
                ops::draw(prior.clone(), *temperature, self.noise(layer, zdim, prior))
            }
            Source::Given(z) => z.clone(),
        }
    }

    fn noise(&self, layer: usize, zdim: usize, prior: &Tensor<4>) -> Tensor<4> {
        match &self.noise {
            Noise::Keyed(keys) => {
                let device = prior.device().without_autodiff();
                keys.normal(layer, prior.dims()[1], zdim, &device)
            }
            Noise::Given(noise) => noise[layer].clone(),
        }
    }
}
