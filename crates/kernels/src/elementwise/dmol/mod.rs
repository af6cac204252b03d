//! Discretized mixture of logistics: the likelihood of 8-bit or 5-bit pixels.
//!
//! Every pixel has `P` numbers, channels last: `[K logits | colour 0 | colour 1 | ...]`. In RGB
//! each colour has `K` means, `K` log scales and `K` coefficients (`P = 10 K`); in grayscale the
//! one colour has no coefficients (`P = 3 K`). The coefficients, through tanh, shift the means
//! of green and blue by the true values of the colours before: green by `c0 R`, blue by
//! `c1 R + c2 G`, where `c0, c1, c2` are stored with red, green and blue.
//!
//! Sixteen or eight pixels are worked on together, one a lane: a small transposed buffer
//! instead of temporaries of mixtures x colours x pixels.

mod lanes;
mod likelihood;
mod sample;

use super::{expect_len, image_parts, sum_per_image};
use crate::detect::dispatch;
use crate::scratch::Scratch;
use crate::sizes::product;
use likelihood::Nll;
use std::ops::Range;

/// Lower bound of the log scales; below it their gradient is 0.
const LEAST_LOG_SCALE: f32 = -7.0;

/// Values below its negative are in the first bin; as a rule those above it are in the last.
pub const UPPER_EDGE: f32 = 0.999;

/// Sizes of a batch of predicted pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DmolShape {
    /// Images.
    pub batch: usize,
    /// Pixels of an image.
    pub pixels: usize,
    /// Mixture components `K`.
    pub mixtures: usize,
    /// 3 for RGB, 1 for grayscale.
    pub colours: usize,
    /// 8 or 5: how fine the values are.
    pub bits: u32,
    /// Values above it are in the last bin, which reaches to infinity: [`UPPER_EDGE`], as those below
    /// its negative are in the first.
    pub upper_edge: f32,
}

impl DmolShape {
    /// Parameters of a pixel: `10 K` in RGB, `3 K` in grayscale.
    pub fn parameters(&self) -> usize {
        self.mixtures * if self.colours == 1 { 3 } else { 10 }
    }

    #[track_caller]
    fn check(&self, logits: usize) {
        assert!(
            self.mixtures > 0 && [1, 3].contains(&self.colours) && [5, 8].contains(&self.bits),
            "impossible mixture of logistics: {self:?}"
        );
        let expected = product(&[self.batch, self.pixels, self.parameters()]);
        expect_len("logits", logits, expected);
    }

    /// Half the distance of two neighbouring values in [-1, 1].
    fn half_bin(&self) -> f32 {
        1.0 / ((1 << self.bits) - 1) as f32
    }
}

/// Negative log likelihood of each image, in nats, summed over pixels and colours.
///
/// `logits` is `[batch, pixels, P]`, `target` `[batch, pixels, colours]` in [-1, 1], `nll`
/// `[batch]`.
///
/// # Panics
/// If the shape has no mixture, not 1 or 3 colours or not 5 or 8 bits, or the lengths do not
/// agree.
pub fn nll(shape: &DmolShape, logits: &[f32], target: &[f32], nll: &mut [f32]) {
    check_all(shape, logits, target, nll);
    let parts = image_parts(shape.batch, shape.pixels).collect();
    sum_per_image(parts, true, nll, |range: Range<usize>| {
        run_part::<false>(shape, logits, target, range, &mut [])
    });
}

/// [`nll`], and the gradient of each image's own negative log likelihood with respect to its
/// logits; `dlogits` is like `logits`.
///
/// # Panics
/// As [`nll`].
pub fn nll_with_gradient(
    shape: &DmolShape,
    logits: &[f32],
    target: &[f32],
    nll: &mut [f32],
    dlogits: &mut [f32],
) {
    check_all(shape, logits, target, nll);
    expect_len("gradient", dlogits.len(), logits.len());
    let mut rest = dlogits;
    let parts = image_parts(shape.batch, shape.pixels).map(|range| {
        let len = range.len() * shape.parameters();
        (range, rest.split_off_mut(..len).expect("lengths agree"))
    });
    sum_per_image(parts.collect(), true, nll, |(range, gradient)| {
        run_part::<true>(shape, logits, target, range, gradient)
    });
}

#[track_caller]
fn check_all(shape: &DmolShape, logits: &[f32], target: &[f32], nll: &[f32]) {
    shape.check(logits.len());
    let pixels = shape.batch * shape.pixels;
    expect_len("target", target.len(), pixels * shape.colours);
    expect_len("nll", nll.len(), shape.batch);
}

/// The sum over a range of pixels; with `GRADIENT`, writes that of their logits.
fn run_part<const GRADIENT: bool>(
    shape: &DmolShape,
    logits: &[f32],
    target: &[f32],
    range: Range<usize>,
    gradient: &mut [f32],
) -> f64 {
    let (p, colours) = (shape.parameters(), shape.colours);
    let logits = &logits[range.start * p..range.end * p];
    let target = &target[range.start * colours..range.end * colours];
    let mut scratch = Scratch::take((p + shape.mixtures) * lanes::MOST);
    if colours == 1 {
        dispatch(Nll::<1, GRADIENT>::new(
            shape,
            logits,
            target,
            gradient,
            &mut scratch,
        ))
    } else {
        dispatch(Nll::<3, GRADIENT>::new(
            shape,
            logits,
            target,
            gradient,
            &mut scratch,
        ))
    }
}

pub use sample::sample;
