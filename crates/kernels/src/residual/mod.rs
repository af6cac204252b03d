//! The residual cell: twice batch normalisation, swish and a 3x3 convolution, then a squeeze and
//! excitation, and a skip.
//!
//! `y = skip + scale * SE(conv(swish(BN1(conv(swish(BN0(x)))))))`, with zero padding; the first
//! convolution may go over every second pixel of every second line. Activations are
//! `[batch, height, width, channels]`.
//!
//! What is normalised and activated is made where the convolutions read it, an image inside its border at a
//! time, and made again in the backward pass: a cell keeps the outputs of its two convolutions.

mod backward;
mod forward;

pub use backward::backward_new;
pub use forward::{evaluate, forward_new};

use crate::batch_norm::{Images, Norm, NormGradient, Statistics};
use crate::bottleneck::check_length;
use crate::conv3::bordered;
use crate::grid::Grid;
use crate::sizes::{check_images, product};
use crate::squeeze::{Gates, Squeeze, SqueezeGradient};

/// The shape of a residual cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Residual {
    pub batch: usize,
    /// Height of the input.
    pub height: usize,
    /// Width of the input.
    pub width: usize,
    pub c_in: usize,
    pub c_out: usize,
    /// Channels in the middle of the squeeze and excitation.
    pub squeezed: usize,
    /// 1, or 2 where the output has half the sides of the input (rounded up).
    pub stride: usize,
    /// Added to variances.
    pub epsilon: f32,
    /// Factor on what is added to the skip.
    pub scale: f32,
}

/// What is learned.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// Of the input, `[c_in]`, and of what the first convolution makes, `[c_out]`.
    pub norms: [Norm<'a>; 2],
    /// `[3, 3, c_in, c_out]` and `[3, 3, c_out, c_out]`.
    pub convolutions: [&'a [f32]; 2],
    /// `[c_out]` each.
    pub biases: [&'a [f32]; 2],
    pub squeeze: Squeeze<'a>,
}

/// What [`backward_new`] needs from [`forward_new`] beside its inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// Outputs of the convolutions, `[batch, height, width, c_out]`.
    outputs: [Vec<f32>; 2],
    statistics: [Statistics; 2],
    gates: Gates,
}

impl Saved {
    /// The batch's statistics of the two normalisations, for running ones.
    pub fn statistics(&self) -> &[Statistics; 2] {
        &self.statistics
    }
}

/// Gradients in the layout of what they belong to.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Gradients {
    pub x: Vec<f32>,
    pub norms: [NormGradient; 2],
    pub convolutions: [Vec<f32>; 2],
    pub biases: [Vec<f32>; 2],
    pub squeeze: SqueezeGradient,
}

impl Residual {
    fn inputs(&self) -> Images {
        Images {
            batch: self.batch,
            pixels: product(&[self.height, self.width]),
            channels: self.c_in,
        }
    }

    fn outputs(&self) -> Images {
        let (height, width) = self.size_out();
        Images {
            batch: self.batch,
            pixels: product(&[height, width]),
            channels: self.c_out,
        }
    }

    /// Height and width of the output.
    fn size_out(&self) -> (usize, usize) {
        let half = |side: usize| side.div_ceil(self.stride.max(1));
        (half(self.height), half(self.width))
    }

    /// What the two convolutions read.
    fn grids(&self) -> [Grid; 2] {
        let (height, width) = self.size_out();
        [
            bordered(self.batch, self.height, self.width),
            bordered(self.batch, height, width),
        ]
    }

    /// So many images alone.
    fn images(&self, batch: usize) -> Self {
        Self { batch, ..*self }
    }

    /// Multiplications and additions of a forward pass (direct convolutions, borders included); a backward
    /// pass takes twice as many.
    pub fn operations(&self) -> usize {
        let pixels = self.outputs().pixels.saturating_mul(self.batch);
        let weights = product(&[9, self.c_in.saturating_add(self.c_out), self.c_out]);
        (2 * pixels).saturating_mul(weights)
    }

    fn check(&self, x: &[f32], weights: &Weights) {
        let Self { c_in, c_out, .. } = *self;
        let stride = self.stride;
        assert!(stride == 1 || stride == 2, "stride is 1 or 2, not {stride}");
        assert!(
            c_in > 0 && c_out > 0 && self.batch * self.height * self.width > 0,
            "a residual cell without pixels or channels: {self:?}"
        );
        check_images(self.batch, self.height, self.width, c_in.max(c_out));
        check_length("x", x.len(), self.inputs().length());
        for (i, inputs) in [c_in, c_out].into_iter().enumerate() {
            weights.norms[i].check(inputs);
            let length = product(&[9, inputs, c_out]);
            check_length("convolution", weights.convolutions[i].len(), length);
            check_length("bias", weights.biases[i].len(), c_out);
        }
        weights.squeeze.check(c_out, self.squeezed);
    }
}
