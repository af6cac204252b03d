//! What may be looked at while the top-down loop runs: each observer wraps the source of the latents.

use burn::tensor::{Device, Tensor};

use super::source::{LatentSource, StochasticLayer};
use crate::ops;

/// What one layer saw. Gaussians are [B, R, R, 2Z]: means, then log sigmas.
#[derive(Clone, Debug)]
pub struct LayerRecord {
    /// The prior, without its features.
    pub prior: Tensor<4>,
    /// The posterior, if an image was encoded.
    pub posterior: Option<Tensor<4>>,
    /// The latents, [B, R, R, Z].
    pub z: Tensor<4>,
    /// What was drawn from the posterior, where a flow made the latents of it.
    pub before_flow: Option<Tensor<4>>,
}

impl LayerRecord {
    /// KL divergence of the posterior from the prior for each latent variable, nats, [B, R, R, Z]; with a flow
    /// what it is at the latents drawn, whose expectation it is.
    pub fn kl_per_element(&self) -> Option<Tensor<4>> {
        let posterior = self.posterior.clone()?;
        Some(match &self.before_flow {
            None => ops::gaussian_kl_per_element(posterior, self.prior.clone()),
            // By the sample: the flow keeps volumes.
            Some(drawn) => {
                ops::gaussian_log_density(posterior, drawn.clone())
                    - ops::gaussian_log_density(self.prior.clone(), self.z.clone())
            }
        })
    }

    /// The same summed over each image, nats, `[B]`.
    pub fn kl(&self) -> Option<Tensor<1>> {
        if self.before_flow.is_some() {
            return Some(ops::sum_per_image(self.kl_per_element()?));
        }
        let posterior = self.posterior.clone()?;
        Some(ops::gaussian_kl(posterior, self.prior.clone()))
    }
}

/// Records prior, posterior and latents of every layer, whether or not the latents are from the
/// posterior.
#[derive(Debug)]
pub struct Recorder<S> {
    source: S,
    /// Layer by layer from the top.
    pub layers: Vec<LayerRecord>,
}

impl<S: LatentSource> Recorder<S> {
    /// Records what passes between the loop and `source`.
    pub fn new(source: S) -> Self {
        Self {
            source,
            layers: Vec::new(),
        }
    }
}

impl<S: LatentSource> LatentSource for Recorder<S> {
    fn needs_posterior(&self, _: usize) -> bool {
        true
    }

    fn latent(&mut self, layer: StochasticLayer) -> Tensor<4> {
        let z = self.source.latent(layer);
        self.layers.push(LayerRecord {
            prior: layer.prior.clone().narrow(3, 0, 2 * layer.zdim),
            posterior: layer.posterior.cloned(),
            z: z.clone(),
            before_flow: None,
        });
        z
    }

    fn is_from_posterior(&self, layer: usize) -> bool {
        self.source.is_from_posterior(layer)
    }

    fn see_flowed(&mut self, layer: usize, z: &Tensor<4>) {
        if let Some(record) = self.layers.get_mut(layer) {
            record.before_flow = Some(std::mem::replace(&mut record.z, z.clone()));
        }
        self.source.see_flowed(layer, z);
    }

    fn see_state(&mut self, layer: usize, state: &Tensor<4>) {
        self.source.see_state(layer, state);
    }
}

/// Keeps the state that one layer leaves.
#[derive(Debug)]
pub struct StateAfter<S> {
    source: S,
    layer: usize,
    /// [B, R, R, C], once the loop has passed the layer.
    pub state: Option<Tensor<4>>,
}

impl<S: LatentSource> StateAfter<S> {
    /// Waits for layer `layer`, counted from 0 at the top.
    pub fn new(source: S, layer: usize) -> Self {
        Self {
            source,
            layer,
            state: None,
        }
    }
}

impl<S: LatentSource> LatentSource for StateAfter<S> {
    fn needs_posterior(&self, layer: usize) -> bool {
        self.source.needs_posterior(layer)
    }

    fn latent(&mut self, layer: StochasticLayer) -> Tensor<4> {
        self.source.latent(layer)
    }

    fn noise(&mut self, layer: usize, shape: [usize; 4], device: &Device) -> Option<Tensor<4>> {
        self.source.noise(layer, shape, device)
    }

    fn see_state(&mut self, layer: usize, state: &Tensor<4>) {
        if layer == self.layer {
            self.state = Some(state.clone());
        }
        self.source.see_state(layer, state);
    }
}

/// Sums ln q(z) - ln p(z) over the layers whose posterior is computed: what the KL is the expectation
/// of, and importance weights are made of.
#[derive(Debug)]
pub struct LogRatio<S> {
    source: S,
    /// Nats per image, `[B]`.
    pub sum: Option<Tensor<1>>,
}

impl<S: LatentSource> LogRatio<S> {
    /// Of the layers that pass between the loop and `source`.
    pub fn new(source: S) -> Self {
        Self { source, sum: None }
    }
}

impl<S: LatentSource> LatentSource for LogRatio<S> {
    fn needs_posterior(&self, layer: usize) -> bool {
        self.source.needs_posterior(layer)
    }

    fn latent(&mut self, layer: StochasticLayer) -> Tensor<4> {
        let z = self.source.latent(layer);
        if let Some(posterior) = layer.posterior {
            let ratio = ops::gaussian_log_ratio(posterior.clone(), layer.prior.clone(), z.clone());
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + ratio,
                None => ratio,
            });
        }
        z
    }

    fn see_state(&mut self, layer: usize, state: &Tensor<4>) {
        self.source.see_state(layer, state);
    }
}
