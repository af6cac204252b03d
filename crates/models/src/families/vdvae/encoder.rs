//! The bottom-up path: deterministic residual blocks, whose last activation at each resolution is what
//! the posterior sees.

use burn::module::Module;
use burn::tensor::Tensor;

use super::block::{Bottleneck, Conv, Initializer};
use crate::families::vdvae::architecture::Architecture;
use crate::hierarchy::Activations;
use crate::ops;

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
        let in_conv = Conv::new(init, architecture.in_conv(), 1.0);
        let last_scale = (1.0 / blocks.len() as f32).sqrt();
        let enc_blocks = blocks
            .iter()
            .map(|block| Bottleneck::new(init, architecture.enc_block(block), true, last_scale))
            .collect();
        let outputs = blocks
            .iter()
            .map(|block| BlockOutput {
                down_rate: block.down_rate.unwrap_or(1),
                channels: architecture.width_at(block.resolution_after()),
            })
            .collect();
        Self {
            in_conv,
            enc_blocks,
            outputs,
        }
    }

    /// Computes like this from now on.
    pub fn set_compute(&mut self, compute: ops::Compute) {
        for block in &mut self.enc_blocks {
            block.set_compute(compute);
        }
    }

    /// `input`: [B, S, S, image channels], normalised. Returns the activation kept for each resolution R,
    /// [B, R, R, C_R].
    pub fn forward(&self, input: Tensor<4>) -> Activations {
        let device = input.device();
        ops::awake(&device, || {
            let mut x = self.in_conv.forward(input);
            let mut activations = Activations::from([(x.dims()[1], x.clone())]);
            for (block, output) in self.enc_blocks.iter().zip(&self.outputs) {
                x = block.forward(x);
                x = ops::average_pool(x, output.down_rate, output.channels);
                activations.insert(x.dims()[1], x.clone());
            }
            activations
        })
    }
}
