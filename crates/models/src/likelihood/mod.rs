//! The distribution of an image given the decoder's output, the same for every family of models.

mod bernoulli;
mod categorical;
mod draw;
pub mod units;

use std::ops::Range;

use burn::tensor::Tensor;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use categorical::Categorical;
pub use draw::draw_logistics;

use crate::ops::{self, Dmol};

/// The distribution of a pixel given the decoder's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LikelihoodKind {
    /// Discretized mixture of logistics; with colour coefficients for three channels.
    #[default]
    Dmol,
    /// One logit per pixel of a binary image (dynamic binarization).
    Bernoulli,
}

/// p(x | z).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Likelihood {
    /// Discretized mixture of logistics, RGB or grayscale, 8 or 5 bits.
    Dmol(Dmol),
    /// Independent binary values.
    Bernoulli,
    /// A softmax for each colour.
    Categorical(Categorical),
}

impl Likelihood {
    /// Bits of a value that are measured; binary images are drawn from values of 8.
    pub fn bits(&self) -> u32 {
        match self {
            Self::Dmol(shape) => shape.bits,
            Self::Bernoulli => 8,
            Self::Categorical(shape) => shape.levels.ilog2(),
        }
    }

    /// Decisions that a pixel takes where it is drawn given those before it.
    pub fn turns(&self) -> usize {
        match self {
            Self::Dmol(_) | Self::Bernoulli => 1,
            Self::Categorical(shape) => shape.channels,
        }
    }

    /// Which of a pixel's `count` parameters a decision looks at.
    pub fn parameters_of(&self, turn: usize, count: usize) -> Range<usize> {
        let each = count / self.turns();
        turn * each..(turn + 1) * each
    }

    /// Which of a pixel's `channels` values a decision is about.
    pub fn channels_of(&self, turn: usize, channels: usize) -> Range<usize> {
        let each = channels / self.turns();
        turn * each..(turn + 1) * each
    }

    /// Draws the values of one decision given its parameters, with numbers that are `uniform` in [0, 1).
    pub fn draw(&self, parameters: &[f32], uniform: &mut dyn FnMut() -> f64, values: &mut [u8]) {
        match self {
            Self::Dmol(shape) => {
                let drawn = draw::draw_logistics(shape, parameters, uniform, true);
                for (value, drawn) in values.iter_mut().zip(drawn) {
                    *value = draw::nearest(drawn);
                }
            }
            Self::Bernoulli => {
                for (value, &logit) in values.iter_mut().zip(parameters) {
                    let white = 1.0 / (1.0 + f64::from(-logit).exp());
                    *value = if uniform() < white { 255 } else { 0 };
                }
            }
            Self::Categorical(shape) => {
                for value in values {
                    *value = shape.draw(parameters, uniform());
                }
            }
        }
    }

    /// In nats per image, `[B]`. `parameters`: [B, S, S, P]; `target`: [B, S, S, C], in [-1, 1] for
    /// mixtures of logistics, 0 or 1 for binary images, levels for a softmax.
    pub fn negative_log_likelihood(&self, parameters: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        match self {
            Self::Dmol(shape) => ops::dmol_nll(shape, parameters, target),
            Self::Bernoulli => bernoulli::negative_log_likelihood(parameters, target),
            Self::Categorical(shape) => ops::categorical_nll(shape.levels, parameters, target),
        }
    }

    /// In nats per pixel, all its colours together, [B, S, S]; their sum over an image is its
    /// [`negative_log_likelihood`](Self::negative_log_likelihood). As there.
    pub fn nats_per_pixel(&self, parameters: Tensor<4>, target: Tensor<4>) -> Tensor<3> {
        // Each pixel is an image of its own.
        let [batch, height, width, channels] = target.dims();
        let pixels = batch * height * width;
        let each = parameters.dims()[3];
        let nats = self.negative_log_likelihood(
            parameters.reshape([pixels, 1, 1, each]),
            target.reshape([pixels, 1, 1, channels]),
        );
        nats.reshape([batch, height, width])
    }

    /// Draws an image for each item of the batch, [B, S, S, C] as bytes. `parameters`: [B, S, S, P];
    /// one generator per image.
    pub fn sample(&self, parameters: Tensor<4>, mut generators: Vec<ChaCha8Rng>) -> Vec<u8> {
        let [batch, height, width, _] = parameters.dims();
        let pixels = height * width;
        let parameters = values(parameters);
        match self {
            Self::Bernoulli => parameters
                .chunks_exact(parameters.len() / batch)
                .zip(&mut generators)
                .flat_map(|(image, generator)| {
                    image
                        .iter()
                        .map(|&logit| bernoulli::sample(logit, generator))
                })
                .collect(),
            Self::Dmol(shape) => {
                let mut uniforms = |per_pixel: usize| -> Vec<f32> {
                    let image = |generator: &mut ChaCha8Rng| -> Vec<f32> {
                        (0..pixels * per_pixel)
                            .map(|_| generator.random_range(1e-5..1.0 - 1e-5))
                            .collect()
                    };
                    generators.iter_mut().flat_map(image).collect()
                };
                let mixture = uniforms(shape.mixtures);
                let logistic = uniforms(shape.channels);
                ops::dmol_sample(shape, &parameters, &mixture, &logistic)
                    .iter()
                    .map(|&x| to_byte(x))
                    .collect()
            }
            Self::Categorical(shape) => {
                let images = parameters.chunks_exact(parameters.len() / batch);
                let draw = |(image, generator): (&[f32], &mut ChaCha8Rng)| -> Vec<u8> {
                    let values = image.chunks_exact(shape.levels);
                    values
                        .map(|logits| shape.draw(logits, generator.random()))
                        .collect()
                };
                images.zip(&mut generators).flat_map(draw).collect()
            }
        }
    }

    /// The most likely image, without the noise of single pixels, [B, S, S, C] as bytes: the mean of the
    /// most likely logistic, or the more likely of black and white. `parameters`: [B, S, S, P].
    pub fn mode(&self, parameters: Tensor<4>) -> Vec<u8> {
        let [batch, height, width, _] = parameters.dims();
        let pixels = batch * height * width;
        let parameters = values(parameters);
        match self {
            Self::Bernoulli => parameters
                .iter()
                .map(|&logit| if logit >= 0.0 { 255 } else { 0 })
                .collect(),
            Self::Dmol(shape) => {
                // Where the noise of all mixtures is the same, the largest logit wins; a logistic's
                // median is its mean.
                let mixture = vec![0.5; pixels * shape.mixtures];
                let logistic = vec![0.5; pixels * shape.channels];
                ops::dmol_sample(shape, &parameters, &mixture, &logistic)
                    .iter()
                    .map(|&x| to_byte(x))
                    .collect()
            }
            Self::Categorical(shape) => parameters
                .chunks_exact(shape.levels)
                .map(|logits| shape.most_likely(logits))
                .collect(),
        }
    }
}

/// The byte of a value in [-1, 1]: truncation of clip((x + 1) * 127.5, 0, 255).
pub fn to_byte(x: f32) -> u8 {
    ((x + 1.0) * 127.5).clamp(0.0, 255.0) as u8
}

/// All elements of a tensor, in row-major order, on the host.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .into_data()
        .try_into_vec()
        .expect("the model computes in f32")
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    #[test]
    fn pixels_add_up_to_their_image() {
        let logistics = Dmol {
            mixtures: 2,
            channels: 3,
            bits: 8,
            upper_edge: ops::UPPER_EDGE,
        };
        let softmax = Categorical {
            levels: 16,
            channels: 3,
        };
        for (likelihood, each) in [
            (Likelihood::Dmol(logistics), 20),
            (Likelihood::Categorical(softmax), 48),
            (Likelihood::Bernoulli, 3),
        ] {
            let tensor = |each: usize, of: &dyn Fn(usize) -> f32| {
                let numbers: Vec<f32> = (0..2 * 16 * each).map(of).collect();
                Tensor::<4>::from_data(TensorData::new(numbers, [2, 4, 4, each]), &Device::flex())
            };
            let parameters = tensor(each, &|i| (i as f32 * 0.7).sin());
            let target = tensor(3, &|i| match likelihood {
                Likelihood::Dmol(_) => (i % 17) as f32 / 8.0 - 1.0,
                Likelihood::Categorical(_) => (i % 16) as f32,
                Likelihood::Bernoulli => (i % 2) as f32,
            });
            let images =
                values(likelihood.negative_log_likelihood(parameters.clone(), target.clone()));
            let pixels = values(likelihood.nats_per_pixel(parameters, target));
            assert_eq!(pixels.len(), 32);
            for (image, pixels) in images.into_iter().zip(pixels.chunks(16)) {
                let sum: f32 = pixels.iter().sum();
                assert!((sum - image).abs() < 1e-4 * image, "{likelihood:?}");
                assert!(pixels.iter().any(|&nats| nats != pixels[0]));
            }
        }
    }
}
