//! Batch normalisation with or without swish behind it: `y = swish((x - mean) / std * gamma + beta)`.
//!
//! Activations are rows of channels, `[pixels, channels]`. What a backward pass needs beside the input
//! are the statistics: the activation is computed again.

pub(crate) mod moments;
mod passes;
mod scaling;

pub(crate) use moments::{Channels, Moments, Parts};
pub(crate) use passes::{Combination, combine, normalise};
pub(crate) use scaling::{Scaling, Slopes, total};

use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::grid::{Grid, Map};
use crate::parallel::{Shared, enter};
use crate::precision::Precision;
use crate::sizes::product;

/// The rows that are normalised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Pixels of all images.
    pub pixels: usize,
    /// Channels of a pixel.
    pub channels: usize,
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether swish follows.
    pub swish: bool,
}

/// What is learned, `[channels]` each.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// Standard deviations of the outputs.
    pub gamma: &'a [f32],
    /// Means of the outputs.
    pub beta: &'a [f32],
}

/// Statistics of channels: those of a batch, or running ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Means.
    pub mean: Vec<f32>,
    /// Mean squared deviations from them ("biased": divided by the number of pixels).
    pub variance: Vec<f32>,
}

/// Gradients with respect to what is learned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NormGradient {
    /// `[channels]`.
    pub gamma: Vec<f32>,
    /// `[channels]`.
    pub beta: Vec<f32>,
}

/// Images of rows of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Images {
    pub batch: usize,
    pub pixels: usize,
    pub channels: usize,
}

impl Images {
    /// A buffer of these, without border.
    pub fn map(self, at: Shared) -> Map {
        Map {
            at,
            grid: Grid::line_of(self.batch * self.pixels),
            channels: self.channels,
            precision: Precision::Fp32,
        }
    }

    pub fn length(self) -> usize {
        product(&[self.batch, self.pixels, self.channels])
    }
}

impl BatchNorm {
    fn images(&self) -> Images {
        Images {
            batch: 1,
            pixels: self.pixels,
            channels: self.channels,
        }
    }

    fn check(&self, x: &[f32], norm: &Norm) {
        check_length("x", x.len(), self.images().length());
        norm.check(self.channels);
    }

    fn operations(&self) -> usize {
        self.images().length().saturating_mul(30)
    }
}

impl Norm<'_> {
    pub(crate) fn check(&self, channels: usize) {
        check_length("gamma", self.gamma.len(), channels);
        check_length("beta", self.beta.len(), channels);
    }
}

impl Statistics {
    pub(crate) fn check(&self, channels: usize) {
        check_length("mean", self.mean.len(), channels);
        check_length("variance", self.variance.len(), channels);
    }
}

/// Normalises with the statistics of the batch, which are returned too: for [`backward_new`], and for
/// running ones.
///
/// # Panics
/// If a slice does not have the length that the shape says.
pub fn forward_new(shape: &BatchNorm, x: &[f32], norm: &Norm) -> (Vec<f32>, Statistics) {
    shape.check(x, norm);
    enter(shape.operations(), || {
        let statistics = Parts::moments(shape.images(), x).total_moments().finish();
        let y = evaluate(shape, x, norm, &statistics);
        (y, statistics)
    })
}

/// Normalises with given statistics.
///
/// # Panics
/// If a slice does not have the length that the shape says.
pub fn evaluate(shape: &BatchNorm, x: &[f32], norm: &Norm, statistics: &Statistics) -> Vec<f32> {
    shape.check(x, norm);
    statistics.check(shape.channels);
    let scaling = Scaling::new(norm, statistics, shape.epsilon);
    let mut y = Blank::new(x.len());
    let to = shape.images().map(y.at());
    enter(shape.operations(), || {
        // SAFETY: lengths were checked, every pixel is written.
        unsafe { normalise(shape.images(), x, &scaling, shape.swish, to) };
    });
    // SAFETY: as above.
    unsafe { y.written() }
}

/// The gradients with respect to `x` and to what is learned, from the gradient `dy` with respect to the
/// output and the batch's statistics. What others found for the gradient of `x` is added to it.
///
/// # Panics
/// If a slice does not have the length that the shape says.
pub fn backward_new(
    shape: &BatchNorm,
    x: &[f32],
    norm: &Norm,
    statistics: &Statistics,
    dy: &[f32],
    other: Option<&[f32]>,
) -> (Vec<f32>, NormGradient) {
    shape.check(x, norm);
    statistics.check(shape.channels);
    check_length("dy", dy.len(), x.len());
    if let Some(other) = other {
        check_length("gradient of x", other.len(), x.len());
    }
    let scaling = Scaling::new(norm, statistics, shape.epsilon);
    let mut dx = Blank::new(x.len());
    let to = shape.images().map(dx.at());
    let gradient = enter(shape.operations(), || {
        let images = shape.images();
        // SAFETY: lengths were checked, every pixel is written.
        unsafe {
            let sums = Parts::products(images, (dy, x), scaling.channels(), shape.swish);
            let slopes = Slopes::new(&scaling, sums.image_sums(), shape.pixels);
            let combination = slopes.combination(&scaling, dy, x, shape.swish, [other, None]);
            combine(images, &combination, to);
            slopes.gradient()
        }
    });
    // SAFETY: as above.
    (unsafe { dx.written() }, gradient)
}
