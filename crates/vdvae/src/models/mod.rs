//! Model families. Everything outside this module serves any of them.

pub mod vdvae;

use burn::module::Module;
use burn::tensor::Tensor;

use crate::preprocess::Prepared;
use crate::random::Keys;

/// A hierarchical latent variable model of images that can be trained on its evidence lower bound.
pub trait Model: Module {
    /// The bound for each image of a batch.
    fn elbo(&self, batch: Prepared, latents: PosteriorLatents) -> Elbo;
}

/// Which latents of the posterior the bound is measured with.
#[derive(Clone, Debug)]
pub enum PosteriorLatents {
    /// Drawn, with noise that is a function of the keys.
    Drawn(Keys),
    /// Drawn, and weighed for the importance-weighted bound.
    Weighed(Keys),
    /// The posterior's means.
    Mean,
}

/// The negative evidence lower bound of each image, in its parts. Nats per dimension; a dimension is
/// one value of one pixel.
#[derive(Debug)]
pub struct Elbo {
    /// Negative log-likelihood of the image given the latents, `[B]`.
    pub distortion: Tensor<1>,
    /// KL divergence of each layer from the prior, top to bottom, `[B]` each; `None` for layers whose
    /// latents are not from the posterior.
    pub rate_per_layer: Vec<Option<Tensor<1>>>,
    /// ln q(z | x) - ln p(z) at the drawn latents, `[B]`, whose expectation is the rate; only of latents
    /// that are [`PosteriorLatents::Weighed`].
    pub log_ratio: Option<Tensor<1>>,
}

impl Elbo {
    /// Sum of the layers' KL divergences, `[B]`.
    pub fn rate(&self) -> Tensor<1> {
        let zero = Tensor::zeros_like(&self.distortion);
        self.rate_per_layer
            .iter()
            .flatten()
            .cloned()
            .fold(zero, |sum, layer| sum + layer)
    }

    /// distortion + rate, `[B]`.
    pub fn total(&self) -> Tensor<1> {
        self.distortion.clone() + self.rate()
    }
}
