//! All pixels of whole images.

use burn::tensor::{Tensor, TensorData};

use super::Pass;
use crate::likelihood::values;
use crate::ops::{self, Activation, Before, convolve, convolve_transposed, shift};
use crate::ordered::layers::{Attention, Conv, Deconv, GatedBlock, Kinds, Norm, Shift};
use crate::random::Noise;
use crate::store::Store;

/// A pass over whole images, [B, S, S, C].
pub struct Whole<'a, W = &'a Store> {
    weights: W,
    /// With a channel of ones.
    image: Tensor<4>,
    classes: &'a [usize],
    dropout: Option<&'a Noise>,
}

/// A pass over whole images that sets the norms and biases of each layer first, so that every channel of its output
/// has the mean 0 and the standard deviation `init_scale` over these images (Salimans and Kingma 2016, section 3).
pub type Start<'a> = Whole<'a, Starting<'a>>;

/// Layers of numbers, as a pass over whole images sees them.
pub trait Weights {
    /// The store that they are in.
    fn store(&self) -> &Store;

    /// The convolution, not shifted.
    fn convolve(&mut self, conv: &Conv, before: Before, x: Tensor<4>) -> Tensor<4>;

    /// The transposed convolution.
    fn double(&mut self, deconv: &Deconv, x: Tensor<4>) -> Tensor<4>;
}

impl<'a, W: Weights> Whole<'a, W> {
    /// Of images [B, S, S, C] as the network reads them, of these kinds (none where there are no kinds); with the
    /// dropout of training or without.
    pub fn new(
        weights: W,
        images: Tensor<4>,
        classes: &'a [usize],
        dropout: Option<&'a Noise>,
    ) -> Self {
        let [batch, height, width, _] = images.dims();
        let ones = Tensor::ones([batch, height, width, 1], &images.device());
        Self {
            weights,
            image: Tensor::cat(vec![images, ones], 3),
            classes,
            dropout,
        }
    }
}

impl<W: Weights> Pass for Whole<'_, W> {
    type Features = Tensor<4>;

    fn active(&self, _: usize) -> bool {
        true
    }

    fn start(&mut self, conv: &Conv) -> Tensor<4> {
        let image = self.image.clone();
        let y = self.weights.convolve(conv, Activation::None.into(), image);
        match conv.shift {
            Some(Shift::Down) => shift(y, 1, 0),
            Some(Shift::Right) => shift(y, 0, 1),
            None => y,
        }
    }

    fn convolve(&mut self, conv: &Conv, before: Activation, x: &Tensor<4>, _: usize) -> Tensor<4> {
        self.weights.convolve(conv, before.into(), x.clone())
    }

    fn convolve_dropped(&mut self, block: &GatedBlock, x: Tensor<4>, _: usize) -> Tensor<4> {
        let before = match self.dropout {
            Some(noise) => Before::dropped(block.activation, block.dropout, noise, block.number),
            None => block.activation.into(),
        };
        self.weights.convolve(&block.conv_out, before, x)
    }

    fn halve(&mut self, conv: &Conv, x: &Tensor<4>, level: usize) -> Option<Tensor<4>> {
        Some(self.convolve(conv, Activation::None, x, level))
    }

    fn double(&mut self, deconv: &Deconv, x: &Tensor<4>, _: usize) -> Tensor<4> {
        self.weights.double(deconv, x.clone())
    }

    fn add(&mut self, a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
        a + b
    }

    fn concat(&mut self, a: &Tensor<4>, b: &Tensor<4>) -> Tensor<4> {
        Tensor::cat(vec![a.clone(), b.clone()], 3)
    }

    fn add_gated(&mut self, x: &Tensor<4>, y: Tensor<4>) -> Tensor<4> {
        ops::add_gated(x.clone(), y)
    }

    fn add_kind(&mut self, kinds: &Kinds, y: Tensor<4>) -> Tensor<4> {
        let table = self.weights.store().get(kinds.table);
        let [count, channels] = table.dims();
        let batch = self.classes.len();
        let chosen = TensorData::new(one_hot(self.classes, count), [batch, count]);
        let chosen = Tensor::<2>::from_data(chosen, &y.device());
        y + chosen.matmul(table).reshape([batch, 1, 1, channels])
    }

    fn at(&self, x: &Tensor<4>, _: usize) -> Tensor<4> {
        x.clone()
    }

    fn background(&self) -> Tensor<4> {
        let [batch, side, _, channels] = self.image.dims();
        let channels = channels - 1;
        let place = |place| background(place, side, channels);
        let numbers = (0..side * side).flat_map(|pixel| place([pixel / side, pixel % side]));
        let data = TensorData::new(numbers.collect(), [1, side, side, 2 * channels]);
        Tensor::from_data(data, &self.image.device()).repeat_dim(0, batch)
    }

    fn attend(
        &mut self,
        attention: &Attention,
        features: &Tensor<4>,
        query: Tensor<4>,
        keys_and_values: impl FnOnce(&mut Self, &Tensor<4>, &Tensor<4>, &Tensor<4>) -> Tensor<4>,
    ) -> Tensor<4> {
        let [batch, side, _, channels] = self.image.dims();
        let image = self.image.clone().narrow(3, 0, channels - 1);
        let background = self.background();
        let both = keys_and_values(self, &image, features, &background);
        let &Attention {
            key,
            value,
            cell,
            epsilon,
            ..
        } = attention;
        let both = largest_of_cells(both, cell);
        let flat = |x: Tensor<4>| {
            let [batch, height, width, channels] = x.dims();
            x.reshape([batch, height * width, channels])
        };
        let keys = flat(both.clone().narrow(3, 0, key));
        let values = flat(both.narrow(3, key, value));
        let seen = &attention.seen;
        let scale = attention.scale();
        ops::causal_attention(flat(query), keys, values, 1, seen, scale, epsilon)
            .reshape([batch, side, side, value])
    }
}

/// Of each cell of `cell` x `cell` pixels the largest number of every channel, [B, S/cell, S/cell, C].
fn largest_of_cells(x: Tensor<4>, cell: usize) -> Tensor<4> {
    if cell == 1 {
        return x;
    }
    let [batch, height, width, channels] = x.dims();
    let rows = x.reshape([batch * height / cell, cell, width / cell, cell * channels]);
    let rows = rows.max_dim(1);
    let cells = rows.reshape([batch * height / cell, width / cell, cell, channels]);
    let cells = cells.max_dim(2);
    cells.reshape([batch, height / cell, width / cell, channels])
}

/// Where a pixel is, see [`Pass::background`].
pub(super) fn background(
    [row, column]: [usize; 2],
    side: usize,
    channels: usize,
) -> impl Iterator<Item = f32> {
    let side = side as f32;
    let at = move |place: usize| (place as f32 - side / 2.0) / side;
    let rows = std::iter::repeat_n(at(row), channels);
    rows.chain(std::iter::repeat_n(at(column), channels))
}

/// 1 for the kind that each image is of, else 0: [B, count].
pub(super) fn one_hot(kinds: &[usize], count: usize) -> Vec<f32> {
    let mut chosen = vec![0.0; kinds.len() * count];
    for (image, &kind) in chosen.chunks_exact_mut(count).zip(kinds) {
        image[kind] = 1.0;
    }
    chosen
}

impl Weights for &Store {
    fn store(&self) -> &Store {
        self
    }

    fn convolve(&mut self, conv: &Conv, before: Before, x: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = (conv.weight.acting(self), conv.weight.bias(self));
        convolve(x, before, &conv.window, weight, Some(bias))
    }

    fn double(&mut self, deconv: &Deconv, x: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = (deconv.weight.acting(self), deconv.weight.bias(self));
        convolve_transposed(x, weight, Some(bias), deconv.left)
    }
}

/// Layers that are scaled as they are used.
pub struct Starting<'a>(pub &'a mut Store);

/// Added to variances, of 1x1 convolutions and of others.
const EPSILONS: [f64; 2] = [1e-10, 1e-8];

impl Weights for Starting<'_> {
    fn store(&self) -> &Store {
        self.0
    }

    fn convolve(&mut self, conv: &Conv, before: Before, x: Tensor<4>) -> Tensor<4> {
        let directions = conv.weight.directions(self.0);
        let y = convolve(x, before, &conv.window, directions, None);
        let [batch, height, width, _] = y.dims();
        let moments = Moments::new(batch * height * width, [&y]);
        let epsilon = EPSILONS[usize::from(conv.window.kernel != [1, 1])];
        let (scales, biases) = moments.normalising(f64::from(conv.init_scale), epsilon);
        conv.weight.set(self.0, &scales, &biases);
        scaled(y, &scales, &biases)
    }

    /// The statistics are those of the published output before it is cropped, with a row and a column more that no
    /// weight reaches. Norms of input channels cannot scale the output: those weights stay as they are.
    fn double(&mut self, deconv: &Deconv, x: Tensor<4>) -> Tensor<4> {
        if deconv.weight.norm() == Norm::Input {
            return Weights::double(&mut &*self.0, deconv, x).detach();
        }
        let directions = deconv.weight.directions(self.0);
        let [batch, height, width, _] = x.dims();
        let doubled = |left| convolve_transposed(x.clone(), directions.clone(), None, left);
        let y = doubled(deconv.left);
        let mut parts = vec![y.clone()];
        if deconv.left > 0 {
            parts.push(doubled(0).narrow(2, 0, deconv.left));
        }
        let columns = 2 * width + deconv.kernel[1] - 1;
        let moments = Moments::new(batch * (2 * height + 1) * columns, &parts);
        let (scales, biases) = moments.normalising(1.0, EPSILONS[1]);
        deconv.weight.set(self.0, &scales, &biases);
        scaled(y, &scales, &biases)
    }
}

/// x * scale + bias, channel by channel.
fn scaled(x: Tensor<4>, scales: &[f32], biases: &[f32]) -> Tensor<4> {
    let device = x.device();
    let tensor = |numbers: &[f32]| Tensor::<1>::from_floats(numbers, &device).unsqueeze::<4>();
    x * tensor(scales) + tensor(biases)
}

/// Mean and variance of each channel.
struct Moments(Vec<[f64; 2]>);

impl Moments {
    /// Over so many pixels, of which those that `parts` [B, H, W, C] do not have are 0.
    fn new<'a>(pixels: usize, parts: impl IntoIterator<Item = &'a Tensor<4>>) -> Self {
        let mut sums: Vec<[f64; 2]> = Vec::new();
        for part in parts {
            let channels = part.dims()[3];
            sums.resize(channels, [0.0; 2]);
            for pixel in values(part.clone()).chunks_exact(channels) {
                for ([sum, squares], &x) in sums.iter_mut().zip(pixel) {
                    *sum += f64::from(x);
                    *squares += f64::from(x) * f64::from(x);
                }
            }
        }
        let pixels = pixels as f64;
        let moments = |[sum, squares]: [f64; 2]| {
            let mean = sum / pixels;
            [mean, (squares / pixels - mean * mean).max(0.0)]
        };
        Self(sums.into_iter().map(moments).collect())
    }

    /// Scales and biases that make the mean 0 and the standard deviation `scale`.
    fn normalising(&self, scale: f64, epsilon: f64) -> (Vec<f32>, Vec<f32>) {
        let of = |&[mean, variance]: &[f64; 2]| {
            let scale = scale / (variance + epsilon).sqrt();
            (scale as f32, (-mean * scale) as f32)
        };
        self.0.iter().map(of).unzip()
    }
}
