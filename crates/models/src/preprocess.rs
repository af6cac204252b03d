//! From bytes to what the network reads and what the likelihood measures.

use std::fmt;

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;

use crate::family::ImageShape;
use crate::random::Keys;

/// The input is (value + shift) * scale of the 8-bit value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// In units of 8-bit values.
    pub shift: f64,
    /// Per unit of 8-bit values.
    pub scale: f64,
}

/// What a model makes of images, byte by byte.
#[derive(Clone, PartialEq)]
pub struct Preprocess {
    image: ImageShape,
    binarize: bool,
    input: [f32; 256],
    target: [f32; 256],
}

impl fmt::Debug for Preprocess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            image, binarize, ..
        } = self;
        write!(f, "Preprocess({image:?}, binarize: {binarize})")
    }
}

/// A batch on the device.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What the encoder reads, [B, S, S, C].
    pub input: Tensor<4>,
    /// What the likelihood measures, [B, S, S, C]: in [-1, 1], 0 and 1 for binary images, or
    /// levels.
    pub target: Tensor<4>,
    /// What kind of image each is, for models that tell kinds apart; else empty.
    pub classes: Vec<usize>,
}

impl Prepared {
    /// Of images of no particular kinds.
    pub fn new(input: Tensor<4>, target: Tensor<4>) -> Self {
        Self {
            input,
            target,
            classes: Vec::new(),
        }
    }

    /// The same images, of these classes: one number an image, or none at all.
    pub fn of_classes(self, classes: Vec<usize>) -> Self {
        Self { classes, ..self }
    }
}

impl Preprocess {
    /// For images whose bytes the network reads as `input` and the likelihood measures as `target` say.
    pub fn new(image: ImageShape, input: impl Fn(u8) -> f32, target: impl Fn(u8) -> f32) -> Self {
        let table = |of: &dyn Fn(u8) -> f32| std::array::from_fn(|value| of(value as u8));
        Self {
            image,
            binarize: false,
            input: table(&input),
            target: table(&target),
        }
    }

    /// Before anything else each value becomes 255 with probability value / 255, else 0 (dynamic
    /// binarization, Salakhutdinov and Murray, ICML 2008). Values that are 0 or 255 stay.
    pub fn binarized(mut self) -> Self {
        self.binarize = true;
        self
    }

    /// `images`: [B, S, S, C] bytes. `keys`, with one item per image, seed the dynamic binarization;
    /// images that are not binarized do not use them.
    pub fn apply(&self, images: &[u8], keys: &Keys, device: &Device) -> Prepared {
        let ImageShape { size, channels } = self.image;
        let binarized;
        let images = if self.binarize {
            binarized = binarize(images, self.image.len(), keys);
            &binarized
        } else {
            images
        };
        let shape = [images.len() / self.image.len(), size, size, channels];
        let tensor = |table: &[f32; 256]| {
            let values = images.iter().map(|&value| table[usize::from(value)]);
            let values: Vec<f32> = values.collect();
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        Prepared::new(tensor(&self.input), tensor(&self.target))
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
