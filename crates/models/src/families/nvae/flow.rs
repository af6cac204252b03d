//! Inverse autoregressive flows that keep volumes (section 3.1 of the paper; Kingma et al., NeurIPS 2016).

use burn::tensor::Tensor;

use super::layers::{Acting, Builder, Conv, ConvShape};
use crate::ops::{Mask, depthwise_conv_of_elu, elu};
use crate::store::Store;

/// Hidden channels for each latent channel.
const HIDDEN: usize = 6;

/// z - mu(z), where mu of a latent sees those before it in raster order, and at the same place those of
/// earlier channels.
#[derive(Clone, Debug)]
pub struct FlowCell {
    spread: Conv,
    depthwise: Acting<3>,
    mu: Conv,
}

/// A cell, and another whose order of places is the opposite.
#[derive(Clone, Debug)]
pub struct Flow([FlowCell; 2]);

impl Flow {
    pub fn new(builder: &mut Builder, name: &str, channels: usize, side: usize) -> Self {
        Self([1, 2].map(|number| {
            FlowCell::new(
                builder,
                &format!("{name}.cell{number}"),
                channels,
                number == 2,
                side,
            )
        }))
    }

    /// z_0 to z_k, [B, R, R, Z]: the logarithm of the determinant is 0.
    pub fn forward(&self, store: &Store, z: Tensor<4>) -> Tensor<4> {
        let [first, second] = &self.0;
        second.forward(store, first.forward(store, z))
    }
}

impl FlowCell {
    fn new(
        builder: &mut Builder,
        name: &str,
        channels: usize,
        mirrored: bool,
        side: usize,
    ) -> Self {
        let hidden = HIDDEN * channels;
        let spread = ConvShape {
            mask: Some(mask(channels, hidden, 3, true, mirrored)),
            ..ConvShape::new(channels, hidden, 3).without_bias()
        };
        let mu = ConvShape {
            log_scale: 0.1_f32.ln(),
            mask: Some(mask(hidden, channels, 1, false, mirrored)),
            ..ConvShape::new(hidden, channels, 1)
        };
        let spread = builder.conv(&format!("{name}.conv.convz.0"), spread, side);
        let inside = depthwise_mask(hidden, 5, mirrored);
        let convz = format!("{name}.conv.convz.2");
        Self {
            spread,
            depthwise: builder.depthwise(&convz, hidden, 5, inside, side),
            mu: builder.conv(&format!("{name}.mu.conv_0"), mu, side),
        }
    }

    fn forward(&self, store: &Store, z: Tensor<4>) -> Tensor<4> {
        let h = self.spread.forward(store, z.clone());
        let h = elu(depthwise_conv_of_elu(h, self.depthwise.get(store)));
        z - self.mu.forward_of_elu(store, h)
    }
}

/// 1 at earlier rows, and earlier columns of the same row; at the place itself what `here` says. In the order
/// [k, k], `mirrored`: later ones.
fn earlier(kernel: usize, row: usize, column: usize, mirrored: bool) -> Option<bool> {
    let middle = kernel / 2;
    let (row, column) = if mirrored {
        (kernel - 1 - row, kernel - 1 - column)
    } else {
        (row, column)
    };
    match (row, column) {
        (row, column) if (row, column) == (middle, middle) => None,
        (row, column) => Some((row, column) < (middle, middle)),
    }
}

/// The mask of a full convolution, [k, k, C_in, C_out]: at the same place a channel sees those of earlier
/// latents, and of its own unless `strict`.
fn mask(c_in: usize, c_out: usize, kernel: usize, strict: bool, mirrored: bool) -> Mask {
    let latents = c_in.min(c_out);
    let latent = |channel: usize, channels: usize| channel * latents / channels;
    let mut mask = Vec::with_capacity(kernel * kernel * c_in * c_out);
    for row in 0..kernel {
        for column in 0..kernel {
            for input in 0..c_in {
                for output in 0..c_out {
                    let (from, to) = (latent(input, c_in), latent(output, c_out));
                    let here = if strict { from < to } else { from <= to };
                    let sees = earlier(kernel, row, column, mirrored).unwrap_or(here);
                    mask.push(f32::from(u8::from(sees)));
                }
            }
        }
    }
    mask.into()
}

/// The mask of a depthwise convolution, [k, k, C]: a channel sees its own at the same place.
fn depthwise_mask(channels: usize, kernel: usize, mirrored: bool) -> Mask {
    let places = (0..kernel * kernel).flat_map(|place| {
        let sees = earlier(kernel, place / kernel, place % kernel, mirrored).unwrap_or(true);
        std::iter::repeat_n(f32::from(u8::from(sees)), channels)
    });
    places.collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::likelihood::values;
    use crate::random::{Purpose, generator};

    const SIDE: usize = 3;
    const CHANNELS: usize = 2;

    fn flow(store: &Store, cell: &FlowCell, z: &[f32]) -> Vec<f32> {
        let shape = [1, SIDE, SIDE, CHANNELS];
        let z = Tensor::from_data(TensorData::new(z.to_vec(), shape), &Device::flex());
        values(cell.forward(store, z))
    }

    /// A latent moves itself by exactly as much, and only those after it besides: the Jacobian is triangular
    /// with a unit diagonal.
    #[test]
    fn a_cell_is_causal_and_keeps_volumes() {
        for mirrored in [false, true] {
            let store = Store::new(generator(5, Purpose::Weights, 0, 0), &Device::flex());
            let mut builder = Builder::new(store, true);
            let cell = FlowCell::new(&mut builder, "flow", CHANNELS, mirrored, SIDE);
            let store = builder.store;
            let count = SIDE * SIDE * CHANNELS;
            let z: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
            let at = flow(&store, &cell, &z);
            let order = |i: usize| {
                let place = i / CHANNELS;
                let place = if mirrored {
                    SIDE * SIDE - 1 - place
                } else {
                    place
                };
                place * CHANNELS + i % CHANNELS
            };
            let mut others = 0;
            for i in 0..count {
                let mut moved = z.clone();
                moved[i] += 0.5;
                let found = flow(&store, &cell, &moved);
                for j in 0..count {
                    let change = found[j] - at[j];
                    if i == j {
                        assert!((change - 0.5).abs() < 1e-6, "{mirrored} {i}: {change}");
                    } else if order(j) < order(i) {
                        assert_eq!(change, 0.0, "{mirrored}: {j} must not see {i}");
                    } else {
                        others += usize::from(change != 0.0);
                    }
                }
            }
            assert!(others > count, "later latents see earlier ones: {others}");
        }
    }
}
