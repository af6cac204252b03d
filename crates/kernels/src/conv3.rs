//! 3x3 convolutions of images inside a border, the fastest way that their sides allow.

use crate::grid::{Grid, Map};
use crate::layer::{Finish, Layer, Source};
use crate::pack::Weights;
use crate::parallel::{Shared, for_jobs};
use crate::precision::Precision;
use crate::weight_gradient::WeightGradient;
use crate::winograd::{self, Filters, WinogradGradient, run_by_outputs};

/// Images of these sides, each inside the border that a 3x3 convolution needs.
pub(crate) fn bordered(batch: usize, height: usize, width: usize) -> Grid {
    Grid {
        batch,
        height,
        width,
        border: Grid::border_for(3, height, width),
    }
}

/// Computes all pixels of `to`, without border, from `from`.
///
/// # Safety
/// Both must be alive and of the same pixels, the border of `from` clear; `to` must be used by nobody else.
pub(crate) unsafe fn run(from: Map, filters: Filters, bias: Option<&[f32]>, to: Map) {
    let grid = from.grid;
    let Filters {
        weights,
        c_in,
        c_out,
        turned,
    } = filters;
    // SAFETY: promised by the caller.
    unsafe {
        if winograd::suits(grid) {
            return run_by_outputs(from, filters, bias, to);
        }
        let weights = if turned {
            Weights::transposed(weights, 9, c_in, c_out, c_in)
        } else {
            Weights::forward(weights, 9 * c_in, c_out, grid.pixels())
        };
        Layer {
            source: Source::Map(from),
            segments: grid.segments(3, from.channels),
            precision: Precision::Fp32,
            weights: &weights,
            bias,
            outputs: to.channels,
            finish: Finish::Store { to, add: None },
        }
        .run(grid.pixels());
    }
}

/// Computes the gradients of the weights and the bias from what the convolution read, and from the gradient
/// with respect to its outputs, with or without border.
///
/// # Safety
/// There must be room for both, used by nobody else; borders must be clear.
pub(crate) unsafe fn gradients(from: Map, slope: Map, [weights, bias]: [Shared; 2]) {
    let grid = from.grid;
    // SAFETY: promised by the caller.
    unsafe {
        if winograd::suits(grid) {
            let gradient = WinogradGradient::new(from, slope, weights, bias);
            for_jobs(&[gradient.sum()]);
            for_jobs(&[gradient.back()]);
            return;
        }
        if grid.border == 0 {
            // One pixel sees the centre alone.
            let length = 9 * from.channels * slope.channels;
            weights.0.write_bytes(0, length);
        }
        let gradient = WeightGradient {
            source: Source::Map(from),
            segments: grid.segments(3, from.channels),
            slope,
            weights,
            bias,
        };
        for_jobs(&[gradient.job()]);
    }
}
