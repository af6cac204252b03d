//! 3x3 convolutions of images inside a border, the fastest way that their sides allow.

use crate::grid::{Grid, Map};
use crate::layer::{Finish, Layer, Source};
use crate::pack::Weights;
use crate::parallel::{Shared, for_jobs};
use crate::precision::Precision;
use crate::weight_gradient::WeightGradient;
use crate::winograd::{self, Winograd, WinogradGradient};

/// Outputs that are a multiple of every instruction set's lanes need no packing before they are
/// transformed.
const MOST_LANES: usize = 16;

/// Images of these sides, each inside the border that a 3x3 convolution needs.
pub(crate) fn bordered(batch: usize, height: usize, width: usize) -> Grid {
    Grid {
        batch,
        height,
        width,
        border: Grid::border_for(3, height, width),
    }
}

/// Weights `[3, 3, c_in, c_out]` for the forward pass over such images.
pub(crate) fn weights(grid: Grid, weights: &[f32], c_in: usize, c_out: usize) -> Weights<'_> {
    if !winograd::suits(grid) {
        return Weights::forward(weights, 9 * c_in, c_out, grid.pixels());
    }
    if c_out.is_multiple_of(MOST_LANES) {
        let columns = c_out;
        return Weights::Stored { weights, columns }.winograd(c_in, c_out);
    }
    Weights::packed(weights, 9 * c_in, c_out).winograd(c_in, c_out)
}

/// The same weights for the gradient of the input.
pub(crate) fn turned(grid: Grid, weights: &[f32], c_in: usize, c_out: usize) -> Weights<'static> {
    let turned = Weights::transposed(weights, 9, c_in, c_out, c_in);
    if winograd::suits(grid) {
        turned.winograd(c_out, c_in)
    } else {
        turned
    }
}

/// Computes all pixels of `to`, without border, from `from`.
///
/// # Safety
/// Both must be alive and of the same pixels, the border of `from` clear; weights as [`weights()`] or
/// [`turned`] make them.
pub(crate) unsafe fn run(from: Map, weights: &Weights, bias: Option<&[f32]>, to: Map) {
    let finish = Finish::Store { to, add: None };
    let outputs = to.channels;
    let grid = from.grid;
    // SAFETY: promised by the caller.
    unsafe {
        if winograd::suits(grid) {
            Winograd {
                from,
                weights,
                bias,
                outputs,
                finish,
            }
            .run();
        } else {
            Layer {
                source: Source::Map(from),
                segments: grid.segments(3, from.channels),
                precision: Precision::Fp32,
                weights,
                bias,
                outputs,
                finish,
            }
            .run(grid.pixels());
        }
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
        } else {
            let gradient = WeightGradient {
                source: Source::Map(from),
                segments: grid.segments(3, from.channels),
                slope,
                weights,
                bias,
            };
            if grid.border == 0 {
                // One pixel sees the centre alone.
                let length = 9 * from.channels * slope.channels;
                weights.0.write_bytes(0, length);
            }
            for_jobs(&[gradient.job()]);
        }
    }
}
