//! Randomness as a function of what it is for: (seed, purpose, step, image, layer), never of timing,
//! thread, device or batch size.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use vdvae_kernels::activation::Kept as Bits;
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
    /// What a training step drops.
    Dropout = 8,
    /// What a new model sees of its first images.
    Start = 9,
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

/// Which numbers of a tensor [B, H, W, C] stay: a bit each, 32 to a word; each pixel begins a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    shape: [usize; 4],
    words: Vec<u32>,
}

impl Kept {
    /// Words of a task; any number of them would give the same.
    const TASK: usize = 512;

    /// Bits from a function that makes words of an image, from a word on.
    fn new(shape: [usize; 4], make: impl Fn(usize, usize, &mut [u32]) + Sync) -> Self {
        let [batch, height, width, channels] = shape;
        let per_image = height * width * Bits::words_of(channels);
        let mut words = vec![0; batch * per_image];
        let images = words.par_chunks_mut(per_image.max(1)).enumerate();
        images.for_each(|(image, words)| {
            let tasks = words.par_chunks_mut(Self::TASK).enumerate();
            tasks.for_each(|(i, words)| make(image, i * Self::TASK, words));
        });
        Self { shape, words }
    }

    /// The bits, those of a pixel in [`vdvae_kernels::activation::Kept::words_of`] words.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// 1 for what stays and 0 for the rest.
    pub fn tensor(&self, device: &Device) -> Tensor<4> {
        let channels = self.shape[3];
        let pixels = self.words.chunks(Bits::words_of(channels).max(1));
        let bits = |pixel: &[u32]| -> Vec<f32> {
            let bit = |i: usize| (pixel[i / 32] >> (i % 32) & 1) as f32;
            (0..channels).map(bit).collect()
        };
        let numbers = pixels.flat_map(bits).collect();
        let device = device.clone().without_autodiff();
        Tensor::from_data(TensorData::new(numbers, self.shape), &device)
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

    /// Which numbers of a tensor [B, H, W, C] stay that loses a share `rate` of them (in steps of 2^-16), for layer
    /// `layer`: a function of the images' keys, whatever their purpose, and the layer; those that are not 0 where
    /// noise is given.
    ///
    /// # Panics
    /// If it is given, and not for so many layers.
    pub fn kept(&self, layer: usize, rate: f32, shape: [usize; 4]) -> Kept {
        match self {
            Self::Keyed(keys) => {
                let keys = Keys {
                    purpose: Purpose::Dropout,
                    ..keys.clone()
                };
                let generators = keys.generators(layer);
                let dropped = (f64::from(rate) * 65536.0).round() as u32;
                Kept::new(shape, |image, first, words| {
                    let mut generator = generators[image].clone();
                    generator.set_word_pos((first * 16) as u128);
                    keep(&mut generator, dropped, words);
                })
            }
            Self::Given(noise) => {
                let numbers: Vec<f32> = host(noise[layer].clone());
                let [_, height, width, channels] = shape;
                let per_pixel = Bits::words_of(channels);
                Kept::new(shape, |image, first, words| {
                    for (i, word) in words.iter_mut().enumerate() {
                        let (pixel, at) = ((first + i) / per_pixel, (first + i) % per_pixel * 32);
                        let pixel = &numbers[(image * height * width + pixel) * channels..];
                        let own = &pixel[at..channels.min(at + 32)];
                        for (bit, &number) in own.iter().enumerate() {
                            *word |= u32::from(number != 0.0) << bit;
                        }
                    }
                })
            }
        }
    }
}

/// Sets each bit unless the next 16 of the generator are a number below `dropped`.
fn keep(generator: &mut ChaCha8Rng, dropped: u32, words: &mut [u32]) {
    let mut pairs = [0_u32; 16 * Kept::TASK];
    let pairs = &mut pairs[..16 * words.len()];
    generator.fill(pairs);
    for (word, pairs) in words.iter_mut().zip(pairs.chunks_exact(16)) {
        for (i, pair) in pairs.iter().enumerate() {
            let stays = [pair & 0xffff, pair >> 16].map(|half| u32::from(half >= dropped));
            *word |= (stays[0] | stays[1] << 1) << (2 * i);
        }
    }
}

/// The numbers of a tensor.
fn host(tensor: Tensor<4>) -> Vec<f32> {
    let data = tensor.into_data();
    data.try_into_vec().expect("the model computes in f32")
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

    fn kept_of(items: &[u64], side: usize, channels: usize, rate: f32) -> Kept {
        let keys = Keys::new(3, Purpose::Training, items.iter().copied());
        Noise::Keyed(keys).kept(2, rate, [items.len(), side, side, channels])
    }

    /// More words than a task makes.
    #[test]
    fn what_stays_is_a_function_of_image_and_place() {
        let all = kept_of(&[5, 9], 20, 37, 0.25);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let found = pool.build().unwrap();
            let found = found.install(|| kept_of(&[9], 20, 37, 0.25));
            assert!(found.words == all.words[800..], "{threads} threads");
        }
        let numbers = host(all.tensor(&Device::flex()));
        let share = numbers.iter().sum::<f32>() / numbers.len() as f32;
        // Four standard deviations of a mean of 29,600 numbers.
        assert!((share - 0.75).abs() < 0.01, "{share} stay");
        let none = kept_of(&[5], 3, 5, 0.0).tensor(&Device::flex());
        assert_eq!(host(none), [1.0; 45]);
    }

    #[test]
    fn what_is_given_stays() {
        let numbers: Vec<f32> = (0..2 * 3 * 2 * 35).map(|i| (i % 3) as f32).collect();
        let data = TensorData::new(numbers.clone(), [2, 3, 2, 35]);
        let given = Noise::Given(vec![Tensor::from_data(data, &Device::flex())]);
        let kept = given.kept(0, 0.5, [2, 3, 2, 35]).tensor(&Device::flex());
        let expected: Vec<f32> = numbers.iter().map(|n| n.min(1.0)).collect();
        assert_eq!(host(kept), expected);
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
