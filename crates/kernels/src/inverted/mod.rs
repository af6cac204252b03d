//! The inverted bottleneck: 1x1 expansion, depthwise convolution, 1x1 projection, with batch
//! normalisations in between, a squeeze and excitation, and a skip.
//!
//! `y = skip + scale * SE(BN3(swish(BN2(depthwise(swish(BN1(BN0(x) w1))))) w2))`, where `x` may be
//! repeated twice in both directions in front (nearest upsampling). Activations are
//! `[batch, height, width, channels]`.
//!
//! The expanded activations, six times as wide as the rest, are what memory is spent on. Everything that
//! is done to them is done channel by channel, statistics of the batch included: so a thread takes a panel
//! of channels of all images through all steps, within its caches. Between the passes there are, once
//! written and once read, the first expanded tensor, which is kept for the backward pass, and the last one,
//! which is not. What lies between them is computed again from the first, which costs 2 % of the
//! operations of a step: a cell keeps one expanded tensor, where operations one by one keep six. As repeating pixels
//! changes no statistics, the expansion is computed for the pixels before they are repeated.

mod backward;
mod evaluate;
mod forward;
mod panels;
mod panels_backward;

pub use backward::backward_new;
pub use evaluate::evaluate;
pub use forward::forward_new;

use crate::batch_norm::{Images, Norm, NormGradient, Statistics};
use crate::bottleneck::check_length;
use crate::depthwise::taps::PANEL;
use crate::sizes::{check_images, product};
use crate::squeeze::{Gates, Squeeze, SqueezeGradient};
use std::ops::Range;

/// The shape of an inverted bottleneck.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inverted {
    pub batch: usize,
    /// Height of the input; the output's is twice that with `upsample`.
    pub height: usize,
    /// Width of the input.
    pub width: usize,
    pub c_in: usize,
    /// Channels between the 1x1 convolutions.
    pub expanded: usize,
    pub c_out: usize,
    /// Channels in the middle of the squeeze and excitation.
    pub squeezed: usize,
    /// Size of the depthwise convolution: 3 or 5.
    pub kernel: usize,
    /// Whether the input is repeated twice in both directions.
    pub upsample: bool,
    /// Added to variances.
    pub epsilon: f32,
    /// Factor on what is added to the skip.
    pub scale: f32,
}

/// What is learned.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// Of the input, the expansion, the depthwise convolution and the projection.
    pub norms: [Norm<'a>; 4],
    /// `[c_in, expanded]`.
    pub expand: &'a [f32],
    /// `[kernel, kernel, expanded]`.
    pub depthwise: &'a [f32],
    /// `[expanded, c_out]`.
    pub project: &'a [f32],
    pub squeeze: Squeeze<'a>,
}

/// What [`backward_new`] needs from [`forward_new`] beside its inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// Outputs of the expansion, a panel of channels of all pixels after the other.
    expanded: Vec<f32>,
    /// Outputs of the projection, `[batch, height, width, c_out]`.
    projected: Vec<f32>,
    statistics: [Statistics; 4],
    /// Means of each image's outputs of the projection less those of the batch, `[batch, c_out]`.
    centred_means: Vec<f32>,
    gates: Gates,
}

impl Saved {
    /// The batch's statistics of the four normalisations, for running ones. They are means over the pixels of
    /// the output, all four: repeating pixels changes neither means nor biased variances.
    pub fn statistics(&self) -> &[Statistics; 4] {
        &self.statistics
    }
}

/// Gradients in the layout of what they belong to.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Gradients {
    pub x: Vec<f32>,
    pub norms: [NormGradient; 4],
    pub expand: Vec<f32>,
    pub depthwise: Vec<f32>,
    pub project: Vec<f32>,
    pub squeeze: SqueezeGradient,
}

impl Inverted {
    /// How often a pixel is repeated in each direction.
    fn repeat(&self) -> usize {
        1 + usize::from(self.upsample)
    }

    /// The input.
    fn inputs(&self) -> Images {
        Images {
            batch: self.batch,
            pixels: product(&[self.height, self.width]),
            channels: self.c_in,
        }
    }

    /// The output.
    fn outputs(&self) -> Images {
        Images {
            batch: self.batch,
            pixels: product(&[self.height, self.width, self.repeat(), self.repeat()]),
            channels: self.c_out,
        }
    }

    /// Pixels of the input.
    fn pixels_in(&self) -> usize {
        self.batch * self.height * self.width
    }

    /// Pixels of the output.
    fn pixels_out(&self) -> usize {
        self.pixels_in() * self.repeat() * self.repeat()
    }

    /// Multiplications and additions of a forward pass; a backward pass takes twice as many.
    pub fn operations(&self) -> usize {
        let expansion = product(&[self.pixels_in(), self.c_in, self.expanded]);
        let each = self.kernel * self.kernel + self.c_out;
        let rest = product(&[self.pixels_out(), self.expanded, each]);
        2_usize.saturating_mul(expansion.saturating_add(rest))
    }

    fn panels(&self) -> usize {
        self.expanded.div_ceil(PANEL)
    }

    /// The channels of a panel.
    fn panel(&self, panel: usize) -> Range<usize> {
        panel * PANEL..self.expanded.min((panel + 1) * PANEL)
    }

    fn border(&self) -> usize {
        self.kernel / 2
    }

    fn check(&self, x: &[f32], weights: &Weights) {
        let Self {
            c_in,
            c_out,
            expanded,
            kernel,
            ..
        } = *self;
        assert!(kernel == 3 || kernel == 5, "kernel is 3 or 5, not {kernel}");
        assert!(
            c_in > 0 && c_out > 0 && expanded > 0 && self.pixels_in() > 0,
            "an inverted bottleneck without pixels or channels: {self:?}"
        );
        check_images(
            self.batch,
            self.height.saturating_add(2).saturating_mul(2),
            self.width.saturating_add(2).saturating_mul(2),
            c_in.max(c_out).max(expanded.saturating_add(PANEL)),
        );
        check_length("x", x.len(), self.inputs().length());
        for (norm, channels) in weights.norms.iter().zip([c_in, expanded, expanded, c_out]) {
            norm.check(channels);
        }
        check_length(
            "expansion",
            weights.expand.len(),
            product(&[c_in, expanded]),
        );
        let taps = kernel * kernel;
        check_length(
            "depthwise",
            weights.depthwise.len(),
            product(&[taps, expanded]),
        );
        check_length(
            "projection",
            weights.project.len(),
            product(&[expanded, c_out]),
        );
        weights.squeeze.check(c_out, self.squeezed);
    }
}
