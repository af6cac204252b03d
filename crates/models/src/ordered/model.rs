//! The model of a network of [`layers`](super::layers): what is measured and drawn with it, whatever the network.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use burn::tensor::Tensor;
use vdvae_kernels::Precision;
use vdvae_kernels::parallel::awake;

use super::pass::{KeptLayers, Line, Pass, Start, Starting, Step as StepPass, Whole};
use super::{Canvas, Next, Ordered, Turn};
use crate::family::{Cannot, Cost, ImageShape, Loss, Model, PosteriorLatents, Step};
use crate::hierarchy::Hierarchy;
use crate::likelihood::Likelihood;
use crate::ops::{self, Compute, Dtype};
use crate::parameters::{Parameters, Ranked};
use crate::preprocess::Prepared;
use crate::random::Noise;
use crate::store::Store;

/// A network that is described once and computed by any [`Pass`].
pub trait Network: Clone + Debug + Send + Sync + 'static {
    /// What rows and pixels leave for later ones, beside what the pass itself keeps.
    type Found<F: Clone + Send>: Default + Send;

    /// What is known of a row before any of its pixels.
    fn row<P: Pass>(&self, pass: &mut P, found: &mut Self::Found<P::Features>);

    /// The likelihood's parameters of the pixels of the pass.
    fn pixel<P: Pass>(&self, pass: &mut P, found: &mut Self::Found<P::Features>) -> P::Features;
}

/// A network with weights.
#[derive(Clone, Debug)]
pub struct PixelModel<N> {
    store: Store,
    network: N,
    /// Layers of the network.
    layers: usize,
    likelihood: Likelihood,
    image: ImageShape,
    classes: usize,
    /// How the network reads bytes.
    input: [f32; 256],
    /// These weights as steps use them.
    kept: OnceLock<Arc<KeptLayers>>,
}

impl<N: Network> PixelModel<N> {
    /// Of a network of so many layers in `store`, for images of this shape and of so many kinds (0: they are not told
    /// apart), which it reads as values from -1 to 1.
    pub fn new(
        (network, store, layers): (N, Store, usize),
        likelihood: Likelihood,
        image: ImageShape,
        classes: usize,
    ) -> Self {
        Self {
            store,
            network,
            layers,
            likelihood,
            image,
            classes,
            input: std::array::from_fn(|value| signed(value as u8)),
            kept: OnceLock::new(),
        }
    }

    /// Parameters of all pixels, [B, S, S, P].
    fn pass(&self, images: Tensor<4>, classes: &[usize], dropout: Option<&Noise>) -> Tensor<4> {
        let device = images.device();
        ops::awake(&device, || {
            let mut pass = Whole::new(&self.store, images, classes, dropout);
            whole(&self.network, &mut pass)
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

/// A byte's value in [-1, 1].
pub fn signed(value: u8) -> f32 {
    f32::from(value) / 127.5 - 1.0
}

/// What is said to those who want `what` of a model without latents.
pub fn no_latents(what: &'static str) -> Cannot {
    Cannot {
        what,
        why: "the model makes pixel after pixel and has no latents".to_owned(),
        instead: "Samples, evaluation and compression need none".to_owned(),
    }
}

/// Whether such a model can be computed in this way.
///
/// # Errors
/// If not.
pub fn computes(compute: &Compute) -> Result<(), Cannot> {
    if compute.checkpoint_activations {
        return Err(Cannot {
            what: "--checkpoint-activations",
            why: "layers of models of pixels in order keep what they find".to_owned(),
            instead: "Fewer images at once take less memory: --batch".to_owned(),
        });
    }
    if compute.dtype != Dtype::Fp32 {
        return Err(Cannot {
            what: "--dtype bf16",
            why: "normalised weights of this family are computed in fp32".to_owned(),
            instead: "Leave --dtype out, or set train.dtype = \"fp32\"".to_owned(),
        });
    }
    Ok(())
}

/// The parameters of all pixels of a pass, from nothing.
fn whole<N: Network, P: Pass>(network: &N, pass: &mut P) -> P::Features {
    let mut found = N::Found::default();
    network.row(pass, &mut found);
    network.pixel(pass, &mut found)
}

/// What is dropped: nothing where the noise is given and is none.
fn dropout(noise: &Noise) -> Option<&Noise> {
    let none = matches!(noise, Noise::Given(noise) if noise.is_empty());
    (!none).then_some(noise)
}

impl<N: Network> Parameters for PixelModel<N> {
    fn visit(&self, each: &mut dyn FnMut(&str, Ranked)) {
        self.store.visit(each);
    }

    fn map(self: Box<Self>, each: &mut dyn FnMut(&str, Ranked) -> Ranked) -> Box<dyn Model> {
        Box::new(Self {
            store: self.store.map(each),
            kept: OnceLock::new(),
            network: self.network,
            layers: self.layers,
            likelihood: self.likelihood,
            image: self.image,
            classes: self.classes,
            input: self.input,
        })
    }

    fn boxed_clone(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

impl<N: Network> Model for PixelModel<N> {
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
            whole(&self.network, &mut pass);
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
        Err(no_latents("layers of latents"))
    }

    fn ordered(&self) -> Result<&dyn Ordered, Cannot> {
        Ok(self)
    }
}

impl<N: Network> Ordered for PixelModel<N> {
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
            step: StepPass::new(&self.store, kept, self.layers, of, classes),
            found: N::Found::default(),
            parameters: None,
        })
    }
}

/// Images that have begun.
struct Begun<'a, N: Network> {
    network: &'a N,
    step: StepPass<'a>,
    found: N::Found<Line>,
    parameters: Option<Line>,
}

impl<N: Network> Next for Begun<'_, N> {
    fn parameters(&mut self, turn: Turn, canvas: &Canvas) -> &[f32] {
        let Self {
            network,
            step,
            found,
            parameters,
        } = self;
        let line = awake(|| {
            if turn.column == 0 {
                step.enter_row(turn.row, canvas);
                network.row(step, found);
            }
            step.enter_pixel([turn.row, turn.column], canvas);
            network.pixel(step, found)
        });
        parameters.insert(line).values()
    }
}
