//! The bottom-up path: deterministic residual blocks, whose last activation at each resolution is what
//! the posterior sees.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Tensor;

use super::block::{Bottleneck, BottleneckWidths, Conv, Initializer};
use crate::architecture::Architecture;
use crate::ops;

/// The activation kept for each resolution R, [B, R, R, C_R].
pub type Activations = BTreeMap<usize, Tensor<4>>;

/// The bottom-up network.
#[derive(Module, Debug)]
pub struct Encoder {
    in_conv: Conv,
    enc_blocks: Vec<Bottleneck>,
    #[module(skip)]
    outputs: Vec<BlockOutput>,
}

/// What happens after a residual block.
#[derive(Clone, Copy, Debug)]
struct BlockOutput {
    /// Pooling by this much; 1: none.
    down_rate: usize,
    /// Width at the resolution arrived at: fewer channels are padded with zeros.
    channels: usize,
}

impl Encoder {
    /// The last convolution of each of n blocks starts at sqrt(1/n) of its usual size.
    pub fn new(init: &mut Initializer, architecture: &Architecture) -> Self {
        let blocks = &architecture.enc_blocks;
        let in_conv = Conv::new(init, architecture.image_channels, architecture.width, 3, 1.0);
        let last_scale = (1.0 / blocks.len() as f32).sqrt();
        let block = |resolution| {
            let width = architecture.width_at(resolution);
            BottleneckWidths {
                c_in: width,
                mid: architecture.mid_at(resolution),
                c_out: width,
                kernel: architecture.kernel_at(resolution),
            }
        };
        let enc_blocks = blocks
            .iter()
            .map(|stage| Bottleneck::new(init, block(stage.resolution), true, last_scale))
            .collect();
        let outputs = blocks
            .iter()
            .map(|stage| {
                let down_rate = stage.down_rate.unwrap_or(1);
                BlockOutput { down_rate, channels: architecture.width_at(stage.resolution / down_rate) }
            })
            .collect();
        Self { in_conv, enc_blocks, outputs }
    }

    /// `input`: [B, S, S, image channels], normalised.
    pub fn forward(&self, input: Tensor<4>) -> Activations {
        let mut x = self.in_conv.forward(input);
        let mut activations = Activations::from([(x.dims()[1], x.clone())]);
        for (block, output) in self.enc_blocks.iter().zip(&self.outputs) {
            x = block.forward(x);
            x = ops::average_pool(x, output.down_rate, output.channels);
            activations.insert(x.dims()[1], x.clone());
        }
        activations
    }
}
