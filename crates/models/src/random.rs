//! Randomness as a function of what it is for: (seed, purpose, step, image, layer), never of timing,
//! thread, device or batch size.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use vdvae_kernels::elementwise::normal::{GROUP, normal};

use crate::ops::profile::{Work, timed};

/// What random numbers are for. Two purposes never share a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights.
    Weights = 1,
    /// Latents of a training step.
    Training = 2,
    /// Latents of an evaluation; the step is the number of the importance sample.
    Evaluation = 3,
    /// Latents of samples from the prior.
    Sample = 4,
    /// Latents of reconstructions.
    Reconstruction = 5,
    /// Pixels drawn from the likelihood.
    Pixels = 6,
    /// Dynamic binarization of the input.
    Binarization = 7,
    /// What a new model sees of its first images.
    Start = 8,
}

/// The generator of one item (an image) in one step, for one purpose.
pub fn generator(seed: u64, purpose: Purpose, step: u64, item: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, word) in key
        .chunks_exact_mut(8)
        .zip([seed, purpose as u64, step, item])
    {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// The random numbers of a batch of images.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The run's or the command's seed.
    pub seed: u64,
    /// What for.
    pub purpose: Purpose,
    /// Training step, or number of the importance sample.
    pub step: u64,
    /// The number of each image: in training its position since the start, else its place in the data set.
    pub items: Vec<u64>,
}

impl Keys {
    /// Of step 0.
    pub fn new(seed: u64, purpose: Purpose, items: impl IntoIterator<Item = u64>) -> Self {
        Self {
            seed,
            purpose,
            step: 0,
            items: items.into_iter().collect(),
        }
    }

    /// One generator per image, for layer `layer`.
    pub fn generators(&self, layer: usize) -> Vec<ChaCha8Rng> {
        let generator = |&item| {
            let mut generator = generator(self.seed, self.purpose, self.step, item);
            generator.set_stream(layer as u64);
            generator
        };
        self.items.iter().map(generator).collect()
    }

    /// Standard normal noise for layer `layer`, [B, side, side, channels].
    pub fn normal(&self, layer: usize, side: usize, channels: usize, device: &Device) -> Tensor<4> {
        /// Numbers that make a task, whole groups; any would give the same.
        const TASK: usize = 128 * GROUP;
        let per_image = side * side * channels;
        let mut noise = vec![0.0_f32; self.items.len() * per_image];
        let task = |generator: &ChaCha8Rng, task: usize, numbers: &mut [f32]| {
            let mut generator = generator.clone();
            generator.set_word_pos((task * TASK) as u128);
            let mut words = [0; TASK];
            let words = &mut words[..numbers.len().next_multiple_of(GROUP)];
            generator.fill(words);
            normal(words, numbers);
        };
        let fill = |(image, generator): (&mut [f32], ChaCha8Rng)| {
            let tasks = image.par_chunks_mut(TASK).enumerate();
            tasks.for_each(|(i, numbers)| task(&generator, i, numbers));
        };
        let images = noise.par_chunks_mut(per_image).zip(self.generators(layer));
        let count = self.items.len() * per_image;
        timed(|_| Work::moving("noise", count), || images.for_each(fill));
        let shape = [self.items.len(), side, side, channels];
        Tensor::from_data(TensorData::new(noise, shape), device)
    }
}

/// The standard normal noise of a pass, for each layer.
#[derive(Clone, Debug)]
pub enum Noise {
    /// A function of the images' keys and the layer alone.
    Keyed(Keys),
    /// One tensor [B, R, R, Z] per layer.
    Given(Vec<Tensor<4>>),
}

impl Noise {
    /// The noise of layer `layer`, [B, R, R, Z].
    ///
    /// # Panics
    /// If it is given, and not for so many layers.
    pub fn normal(
        &self,
        layer: usize,
        [_, side, _, channels]: [usize; 4],
        device: &Device,
    ) -> Tensor<4> {
        match self {
            Self::Keyed(keys) => {
                keys.normal(layer, side, channels, &device.clone().without_autodiff())
            }
            Self::Given(noise) => noise[layer].clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal_of(items: &[u64], side: usize) -> Vec<f32> {
        let keys = Keys {
            seed: 3,
            purpose: Purpose::Sample,
            step: 1,
            items: items.to_vec(),
        };
        let noise = keys.normal(2, side, 7, &Device::flex());
        noise.into_data().try_into_vec().unwrap()
    }

    /// More numbers than a task makes, and a last task that is not whole.
    #[test]
    fn noise_is_a_function_of_image_and_place() {
        const SIDE: usize = 43;
        let each = SIDE * SIDE * 7;
        let all = normal_of(&[5, 9], SIDE);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let found = pool.build().unwrap().install(|| normal_of(&[9], SIDE));
            assert!(found == all[each..], "{threads} threads");
        }
        assert!(normal_of(&[5], 4) == all[..4 * 4 * 7], "a smaller image");
        // No two numbers are the same by more than chance: those of f32 are few.
        let mut bits: Vec<_> = all.iter().map(|number| number.to_bits()).collect();
        bits.sort_unstable();
        bits.dedup();
        assert!(
            bits.len() > 2 * each - 300,
            "{} of {}",
            bits.len(),
            all.len()
        );
    }

    /// From version to version, unless the changelog says otherwise.
    #[test]
    fn noise_of_a_seed_stays() {
        let expected = [
            0.376_196, 1.226_283, -0.291_393, 0.704_236, 0.336_19, -0.647_972, -0.567_329,
        ];
        for (found, expected) in normal_of(&[5], 1).into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
        }
    }
}
