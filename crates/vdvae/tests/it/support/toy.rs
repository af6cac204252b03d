//! A tiny model that makes pixel after pixel: the parameters of a pixel are a fixed function of the pixels to the
//! left of it and above it, and of the colours of its own before.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use vdvae::config::Config;
use vdvae::likelihood::{Categorical, Likelihood, values};
use vdvae::models::family::Exactness;
use vdvae::models::ordered::{Canvas, Next, Turn};
use vdvae::models::verify::{Compared, Recording, Setting, VerifyError};
use vdvae::models::{
    Cannot, Coding, Cost, Hierarchy, ImageShape, LatentLayer, Model, Operations, Ordered,
    Parameters, Plan, PosteriorLatents,
};
use vdvae::ops::{Compute, Dmol, UPPER_EDGE};
use vdvae::parameters::{Ranked, TensorSpec};
use vdvae::preprocess::{Normalisation, Prepared, Preprocess};
use vdvae::trained::TrainedModel;

/// Of images of 8x8 pixels.
pub const SIDE: usize = 8;

#[derive(Clone, Debug)]
pub struct Toy {
    likelihood: Likelihood,
    image: ImageShape,
    input: [f32; 256],
    classes: usize,
}

impl Toy {
    pub fn new(likelihood: Likelihood, channels: usize) -> Self {
        Self {
            likelihood,
            image: ImageShape {
                size: SIDE,
                channels,
            },
            input: std::array::from_fn(|byte| byte as f32 / 127.5 - 1.0),
            classes: 0,
        }
    }

    /// A mixture of two logistics.
    pub fn logistics(channels: usize, bits: u32) -> Self {
        let shape = Dmol {
            mixtures: 2,
            channels,
            bits,
            upper_edge: UPPER_EDGE,
        };
        Self::new(Likelihood::Dmol(shape), channels)
    }

    pub fn softmax(channels: usize, levels: usize) -> Self {
        Self::new(
            Likelihood::Categorical(Categorical { levels, channels }),
            channels,
        )
    }

    /// Told which of so many kinds an image is of.
    pub fn of_kinds(self, classes: usize) -> Self {
        Self { classes, ..self }
    }

    /// As of a run.
    pub fn trained(self) -> TrainedModel {
        let config = Config::preset("photos32").unwrap();
        TrainedModel {
            preprocess: self.preprocess(None),
            plan: Arc::new(self.clone()),
            model: Box::new(self),
            config,
            step: 0,
            device: Device::flex(),
            run: None,
        }
    }

    /// What the network reads of a colour of the pixel `up` above and `left` beside; 0 outside.
    fn before(
        &self,
        image: &[f32],
        [row, column]: [usize; 2],
        [up, left]: [usize; 2],
        c: usize,
    ) -> f32 {
        match (row.checked_sub(up), column.checked_sub(left)) {
            (Some(row), Some(column)) => image[(row * SIDE + column) * self.image.channels + c],
            _ => 0.0,
        }
    }

    /// The parameters of a turn, given the image [S, S, C] as the network reads it.
    fn turn(&self, turn: Turn, image: &[f32]) -> Vec<f32> {
        let place = [turn.row, turn.column];
        let near = |c: usize| {
            let left = self.before(image, place, [0, 1], c);
            let above = self.before(image, place, [1, 0], c);
            0.6 * left + 0.4 * above
        };
        match &self.likelihood {
            Likelihood::Dmol(shape) => {
                let k = shape.mixtures;
                let kinds = if shape.channels == 3 { 3 } else { 2 };
                let mut parameters = vec![0.3, -0.2];
                for colour in 0..shape.channels {
                    for kind in 0..kinds {
                        parameters.extend((0..k).map(|i| match kind {
                            0 => near(colour) + 0.1 * i as f32,
                            1 => -3.0 + i as f32,
                            _ => 0.2,
                        }));
                    }
                }
                parameters
            }
            Likelihood::Categorical(shape) => {
                let own = match turn.part {
                    0 => near(0),
                    part => self.before(image, place, [0, 0], part - 1),
                };
                let levels = (0..shape.levels).map(|level| {
                    let value = level as f32 / (shape.levels - 1) as f32 * 2.0 - 1.0;
                    -4.0 * (value - own).abs()
                });
                levels.collect()
            }
            Likelihood::Bernoulli => (0..self.image.channels).map(near).collect(),
        }
    }
}

impl Ordered for Toy {
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

    fn parameters(&self, images: Tensor<4>, _: &[usize]) -> Tensor<4> {
        let batch = images.dims()[0];
        let images = values(images);
        let mut all = Vec::new();
        for image in images.chunks_exact(self.image.len()) {
            for pixel in 0..SIDE * SIDE {
                for part in 0..self.likelihood.turns() {
                    let (row, column) = (pixel / SIDE, pixel % SIDE);
                    all.extend(self.turn(Turn { row, column, part }, image));
                }
            }
        }
        let each = all.len() / (batch * SIDE * SIDE);
        let shape = [batch, SIDE, SIDE, each];
        Tensor::from_data(TensorData::new(all, shape), &Device::flex())
    }

    fn begin<'a>(&'a self, _: usize, _: &[usize]) -> Box<dyn Next + 'a> {
        Box::new(Begun {
            toy: self,
            found: Vec::new(),
        })
    }
}

struct Begun<'a> {
    toy: &'a Toy,
    found: Vec<f32>,
}

impl Next for Begun<'_> {
    fn parameters(&mut self, turn: Turn, canvas: &Canvas) -> &[f32] {
        let images = canvas.input().chunks_exact(canvas.shape().len());
        self.found = images
            .flat_map(|image| self.toy.turn(turn, image))
            .collect();
        &self.found
    }
}

impl Parameters for Toy {
    fn visit(&self, _: &mut dyn FnMut(&str, Ranked)) {}

    fn map(self: Box<Self>, _: &mut dyn FnMut(&str, Ranked) -> Ranked) -> Box<dyn Model> {
        self
    }

    fn boxed_clone(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

impl Model for Toy {
    fn set_compute(&mut self, _: Compute) {}

    fn cost(&self, batch: Prepared, _: PosteriorLatents) -> Cost {
        let parameters = Ordered::parameters(self, batch.input, &[]);
        let nats = self
            .likelihood
            .negative_log_likelihood(parameters, batch.target);
        Cost {
            distortion: nats / self.image.len() as f64,
            rate_per_layer: Vec::new(),
            log_ratio: None,
        }
    }

    fn sample(&self, seed: u64, items: &[u64], _: &[f32]) -> Vec<u8> {
        (self as &dyn Ordered).sample(seed, items)
    }

    fn hierarchy(&self) -> Result<&dyn Hierarchy, Cannot> {
        Err(no_latents())
    }

    fn ordered(&self) -> Result<&dyn Ordered, Cannot> {
        Ok(self)
    }
}

impl Plan for Toy {
    fn image(&self) -> ImageShape {
        self.image
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        Vec::new()
    }

    fn operations(&self) -> Operations {
        Operations {
            sample: 1.0,
            evaluation: 1.0,
            training: 3.0,
        }
    }

    fn activations(&self, _: bool) -> u64 {
        1
    }

    fn exactness(&self) -> Exactness {
        Exactness::Exact
    }

    fn passes_per_sample(&self) -> u64 {
        (SIDE * SIDE) as u64
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn latents(&self) -> Result<Vec<LatentLayer>, Cannot> {
        Err(no_latents())
    }

    fn coding(&self) -> Result<Coding, Cannot> {
        Ok(Coding::InOrder)
    }

    fn likelihood(&self) -> Likelihood {
        self.likelihood
    }

    fn is_normalised(&self) -> bool {
        false
    }

    fn preprocess(&self, _: Option<Normalisation>) -> Preprocess {
        let target = |byte: u8| match &self.likelihood {
            Likelihood::Categorical(shape) => shape.level(byte) as f32,
            Likelihood::Bernoulli => f32::from(byte / 255),
            // Of fewer bits: the lower ends of the levels.
            Likelihood::Dmol(shape) => {
                f32::from(byte >> (8 - shape.bits) << (8 - shape.bits)) / 127.5 - 1.0
            }
        };
        Preprocess::new(self.image, |byte| self.input[usize::from(byte)], target)
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn identity(&self) -> Vec<u8> {
        format!("{:?}", self.likelihood).into_bytes()
    }

    fn verify(&self, _: &Recording, _: &Setting) -> Result<Vec<Compared>, VerifyError> {
        Ok(Vec::new())
    }

    fn build(&self, _: u64, _: &Device) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

fn no_latents() -> Cannot {
    Cannot {
        what: "latents",
        why: "a toy has none".to_owned(),
        instead: "Ask for pixels".to_owned(),
    }
}
