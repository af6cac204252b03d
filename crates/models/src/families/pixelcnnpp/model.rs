//! The model: the network with its tensors, and what is measured and drawn with it.

use std::sync::{Arc, OnceLock};

use burn::tensor::{Device, Tensor};
use vdvae_kernels::Precision;
use vdvae_kernels::parallel::awake;

use super::config::PixelCnnConfig;
use super::network::{Above, Built, Found, Network};
use crate::family::{Cannot, Cost, ImageShape, Loss, Model, PosteriorLatents, Step};
use crate::hierarchy::Hierarchy;
use crate::likelihood::Likelihood;
use crate::ops::{self, Compute};
use crate::ordered::pass::{self, KeptLayers, Line, Start, Starting, Whole};
use crate::ordered::{Canvas, Next, Ordered, Turn};
use crate::parameters::{Parameters, Ranked};
use crate::preprocess::Prepared;
use crate::random::{Noise, Purpose, generator};
use crate::store::Store;

/// A network with weights.
#[derive(Clone, Debug)]
pub struct PixelCnn {
    store: Store,
    network: Network,
    likelihood: Likelihood,
    image: ImageShape,
    classes: usize,
    /// How the network reads bytes.
    input: [f32; 256],
    /// Layers of the network.
    layers: usize,
    /// These weights as steps use them.
    kept: OnceLock<Arc<KeptLayers>>,
}

impl PixelCnn {
    /// A model with fresh weights, a function of `seed`. `config` was checked.
    pub fn new(
        config: &PixelCnnConfig,
        likelihood: Likelihood,
        input: [f32; 256],
        seed: u64,
        device: &Device,
    ) -> Self {
        let store = Store::new(generator(seed, Purpose::Weights, 0, 0), device);
        let Built {
            network,
            store,
            layers,
            ..
        } = Network::build(config, store);
        Self {
            store,
            network,
            likelihood,
            image: ImageShape {
                size: config.image_size,
                channels: config.image_channels,
            },
            classes: config.classes,
            input,
            layers,
            kept: OnceLock::new(),
        }
    }

    /// The same network with the weights of this store.
    fn with(self, store: Store) -> Self {
        let kept = OnceLock::new();
        Self {
            store,
            kept,
            ..self
        }
    }

    /// Parameters of all pixels, [B, S, S, P].
    fn pass(&self, images: Tensor<4>, classes: &[usize], dropout: Option<&Noise>) -> Tensor<4> {
        let device = images.device();
        ops::awake(&device, || {
            let mut pass = Whole::new(&self.store, images, classes, dropout);
            self.network.whole(&mut pass)
        })
    }

    /// Nats per image, `[B]`.
    fn nats(&self, batch: Prepared, dropout: Option<&Noise>) -> Tensor<1> {
        let parameters = self.pass(batch.input, &batch.classes, dropout);
        self.likelihood
            .negative_log_likelihood(parameters, batch.target)
    }

    fn cost_of(&self, nats: Tensor<1>) -> Cost {
        Cost {
            distortion: nats / self.image.len() as f32,
            rate_per_layer: Vec::new(),
            log_ratio: None,
        }
    }
}

/// What is dropped: nothing where the noise is given and is none.
fn dropout(noise: &Noise) -> Option<&Noise> {
    let none = matches!(noise, Noise::Given(noise) if noise.is_empty());
    (!none).then_some(noise)
}

impl Parameters for PixelCnn {
    fn visit(&self, each: &mut dyn FnMut(&str, Ranked)) {
        self.store.visit(each);
    }

    fn map(mut self: Box<Self>, each: &mut dyn FnMut(&str, Ranked) -> Ranked) -> Box<dyn Model> {
        let store = std::mem::replace(&mut self.store, Store::telling());
        Box::new(self.with(store.map(each)))
    }

    fn boxed_clone(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

impl Model for PixelCnn {
    fn set_compute(&mut self, _: Compute) {
        // There is one way: the plan refuses others.
    }

    fn cost(&self, batch: Prepared, _: PosteriorLatents) -> Cost {
        self.cost_of(self.nats(batch, None))
    }

    fn start(&mut self, batch: Prepared, noise: &Noise) {
        let device = batch.input.device();
        ops::awake(&device, || {
            let (weights, images) = (Starting(&mut self.store), batch.input);
            let mut pass = Start::new(weights, images, &batch.classes, dropout(noise));
            self.network.whole(&mut pass);
        });
        self.kept = OnceLock::new();
    }

    fn loss(&mut self, batch: Prepared, step: &Step) -> Loss {
        let nats = self.nats(batch, dropout(&step.noise));
        Loss {
            total: nats.clone().mean(),
            cost: self.cost_of(nats),
            terms: Vec::new(),
        }
    }

    fn sample(&self, seed: u64, items: &[u64], _: &[f32]) -> Vec<u8> {
        let model: &dyn Ordered = self;
        model.sample(seed, items)
    }

    fn hierarchy(&self) -> Result<&dyn Hierarchy, Cannot> {
        Err(super::plan::no_latents("layers of latents"))
    }

    fn ordered(&self) -> Result<&dyn Ordered, Cannot> {
        Ok(self)
    }
}

impl Ordered for PixelCnn {
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
        self.pass(images, classes, None)
    }

    fn begin<'a>(&'a self, batch: usize, classes: &[usize]) -> Box<dyn Next + 'a> {
        let kept = || Arc::new(KeptLayers::new(self.layers, Precision::Fp32));
        let kept = self.kept.get_or_init(kept);
        let of = (batch, self.image);
        Box::new(Begun {
            network: &self.network,
            step: pass::Step::new(&self.store, kept, self.layers, of, classes),
            above: None,
            found: Found::default(),
            parameters: None,
        })
    }
}

/// Images that have begun.
struct Begun<'a> {
    network: &'a Network,
    step: pass::Step<'a>,
    above: Option<Above<Line>>,
    found: Found<Line>,
    parameters: Option<Line>,
}

impl Next for Begun<'_> {
    fn parameters(&mut self, turn: Turn, canvas: &Canvas) -> &[f32] {
        let Self {
            network,
            step,
            above,
            found,
            parameters,
        } = self;
        let line = awake(|| {
            if turn.column == 0 {
                step.enter_row(turn.row, canvas);
                network.above(step, above);
            }
            step.enter_pixel([turn.row, turn.column], canvas);
            let above = above.as_ref().expect("a row begins with its first pixel");
            network.left(step, above, found)
        });
        parameters.insert(line).values()
    }
}
