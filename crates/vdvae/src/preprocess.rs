//! From bytes to what the network reads and what the likelihood measures.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;

use crate::config::Likelihood;
use crate::random::Keys;

/// The input is (value + shift) * scale of the 8-bit value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocess {
    /// In units of 8-bit values.
    pub shift: f64,
    /// Per unit of 8-bit values.
    pub scale: f64,
    /// 8, or 5: the target is rounded down to a multiple of 8 first.
    pub bits: u32,
    /// Bernoulli: input and target are binarized, each pixel being white with probability value / 255.
    pub likelihood: Likelihood,
    /// Side of the images.
    pub image_size: usize,
    /// Channels of the images.
    pub image_channels: usize,
}

/// A batch on the device.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What the encoder reads, [B, S, S, C].
    pub input: Tensor<4>,
    /// What the likelihood measures, [B, S, S, C]: in [-1, 1], or 0 and 1 for binary images.
    pub target: Tensor<4>,
}

impl Preprocess {
    /// `images`: [B, S, S, C] bytes. `keys`, with one item per image, seed the dynamic binarization;
    /// other likelihoods do not use them.
    pub fn apply(&self, images: &[u8], keys: &Keys, device: &Device) -> Prepared {
        let image = self.image_size * self.image_size * self.image_channels;
        let binarized;
        let images = match self.likelihood {
            Likelihood::Dmol => images,
            Likelihood::Bernoulli => {
                binarized = binarize(images, image, keys);
                &binarized
            }
        };
        let shape = [
            images.len() / image,
            self.image_size,
            self.image_size,
            self.image_channels,
        ];
        let tensor = |each: &dyn Fn(u8) -> f32| {
            let table: Vec<f32> = (0..=255).map(each).collect();
            let values: Vec<f32> = images
                .iter()
                .map(|&value| table[usize::from(value)])
                .collect();
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        Prepared {
            input: tensor(&|value| ((f64::from(value) + self.shift) * self.scale) as f32),
            target: tensor(&|value| self.target(value)),
        }
    }

    /// The value that the likelihood measures for a byte.
    fn target(&self, value: u8) -> f32 {
        match self.likelihood {
            Likelihood::Bernoulli => f32::from(value) / 255.0,
            Likelihood::Dmol => {
                let coarse = if self.bits == 5 { value / 8 * 8 } else { value };
                (f32::from(coarse) - 127.5) / 127.5
            }
        }
    }
}

/// 255 with probability value / 255, else 0; the probabilities of an image depend on its key alone.
fn binarize(images: &[u8], image: usize, keys: &Keys) -> Vec<u8> {
    images
        .chunks_exact(image)
        .zip(keys.generators(0))
        .flat_map(|(image, mut generator)| {
            image.iter().map(move |&value| {
                if generator.random_range(0..255) < value {
                    255
                } else {
                    0
                }
            })
        })
        .collect()
}
