//! The model: the network with its tensors, and what is measured with it.

use std::sync::OnceLock;

use burn::tensor::{Device, Tensor};

use super::cached::Cached;
use super::network::Network;
use super::packed::Packed;
use super::plan::GatedPixelCnnPlan;
use crate::family::{Cannot, Cost, ImageShape, Loss, Model, Plan, PosteriorLatents, Step};
use crate::hierarchy::Hierarchy;
use crate::likelihood::Likelihood;
use crate::ops::{self, Compute};
use crate::ordered::{Next, Ordered};
use crate::parameters::{self, Parameters, Ranked, Specs, TensorSpec};
use crate::preprocess::Prepared;
use crate::random::{Purpose, generator};
use crate::store::Store;

/// A network with weights.
#[derive(Debug)]
pub struct GatedPixelCnn {
    store: Store,
    network: Network,
    likelihood: Likelihood,
    image: ImageShape,
    input: [f32; 256],
    classes: usize,
    /// What the cached sampler reads, since it first asked.
    packed: OnceLock<Packed>,
}

impl Clone for GatedPixelCnn {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            network: self.network.clone(),
            packed: OnceLock::new(),
            ..*self
        }
    }
}

impl GatedPixelCnn {
    /// With fresh weights, a function of `seed`.
    pub fn new(plan: &GatedPixelCnnPlan, seed: u64, device: &Device) -> Self {
        let store = Store::new(generator(seed, Purpose::Weights, 0, 0), device);
        let built = Network::build(plan.config(), store);
        Self {
            store: built.store,
            network: built.network,
            likelihood: plan.likelihood(),
            image: plan.image(),
            input: std::array::from_fn(|byte| plan.input(byte as u8)),
            classes: plan.classes(),
            packed: OnceLock::new(),
        }
    }

    /// The same model with the tensors that `get` returns, in the order of files.
    ///
    /// # Errors
    /// The first one that `get` returns.
    pub fn importing<E>(
        self,
        specs: &Specs,
        get: impl FnMut(&TensorSpec) -> Result<Vec<f32>, E>,
    ) -> Result<Self, E> {
        let Self { store, .. } = self;
        Ok(Self {
            store: parameters::importing(specs, get, |each| store.map(each))?,
            packed: OnceLock::new(),
            ..self
        })
    }

    /// Logits [B, S, S, C levels] of `images` [B, S, S, C] in [-1, 1]; `classes`: the kind of each, none where the
    /// model tells none apart.
    ///
    /// # Panics
    /// If there is not one kind for each image of a model that tells kinds apart.
    pub fn logits(&self, images: Tensor<4>, classes: &[usize]) -> Tensor<4> {
        let expected = self.classes.min(1) * images.dims()[0];
        assert_eq!(classes.len(), expected, "kinds of images");
        ops::awake(&images.device(), || {
            self.network.logits(&self.store, images, classes)
        })
    }

    /// Negative log-likelihood, nats per image `[B]`.
    pub fn nats(&self, batch: Prepared) -> Tensor<1> {
        let logits = self.logits(batch.input, &batch.classes);
        self.likelihood
            .negative_log_likelihood(logits, batch.target)
    }

    fn exact(&self, nats: Tensor<1>) -> Cost {
        Cost {
            distortion: nats / self.image.len() as f32,
            rate_per_layer: Vec::new(),
            log_ratio: None,
        }
    }
}

impl Parameters for GatedPixelCnn {
    fn visit(&self, each: &mut dyn FnMut(&str, Ranked)) {
        self.store.visit(each);
    }

    fn map(self: Box<Self>, each: &mut dyn FnMut(&str, Ranked) -> Ranked) -> Box<dyn Model> {
        Box::new(Self {
            store: self.store.map(each),
            packed: OnceLock::new(),
            ..*self
        })
    }

    fn boxed_clone(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

impl Model for GatedPixelCnn {
    fn set_compute(&mut self, _: Compute) {
        // There is one way: the plan refuses others.
    }

    fn cost(&self, batch: Prepared, _: PosteriorLatents) -> Cost {
        self.exact(self.nats(batch))
    }

    fn loss(&mut self, batch: Prepared, _: &Step) -> Loss {
        let nats = self.nats(batch);
        Loss {
            total: nats.clone().mean(),
            cost: self.exact(nats),
            terms: Vec::new(),
        }
    }

    fn sample(&self, seed: u64, items: &[u64], _: &[f32]) -> Vec<u8> {
        let ordered: &dyn Ordered = self;
        ordered.sample(seed, items)
    }

    fn hierarchy(&self) -> Result<&dyn Hierarchy, Cannot> {
        Err(super::plan::no_latents())
    }

    fn ordered(&self) -> Result<&dyn Ordered, Cannot> {
        Ok(self)
    }
}

impl Ordered for GatedPixelCnn {
    fn image(&self) -> ImageShape {
        self.image
    }

    fn likelihood(&self) -> &Likelihood {
        &self.likelihood
    }

    fn input(&self) -> &[f32; 256] {
        &self.input
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn parameters(&self, images: Tensor<4>, classes: &[usize]) -> Tensor<4> {
        self.logits(images, classes)
    }

    fn begin<'a>(&'a self, batch: usize, classes: &[usize]) -> Box<dyn Next + 'a> {
        let packed = self
            .packed
            .get_or_init(|| Packed::new(&self.network, &self.store));
        let shape = [batch, self.image.size];
        Box::new(Cached::new(packed, &self.network, shape, classes))
    }
}
