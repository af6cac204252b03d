//! Products of few rows, of pixels that come one after the other, with weights that stay.

use vdvae_kernels::kept::{Weights, product_of_segments};

use super::profile::{Work, timed};

/// [`product_of_segments`], which a profile shows.
pub(crate) fn product_of_few_rows(
    weights: &Weights,
    segments: &[&[f32]],
    per_row: usize,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let rows = segments.len() / per_row;
    let work = |(): &()| Work {
        name: "product of few rows".to_owned(),
        operations: 2.0 * (rows * weights.inputs() * weights.outputs()) as f64,
        bytes: weights.bytes() as f64,
    };
    timed(work, || {
        product_of_segments(weights, segments, per_row, bias, y)
    });
}
