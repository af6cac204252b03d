//! 3x3 convolutions with zero padding and stride 1, the fastest way that the sides of the images allow:
//! by minimal filtering, for a quarter of the multiplications, where sides are multiples of 4 from 8 on.
//!
//! [`crate::conv`] computes the same directly, and other bits.

use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::conv::Conv;
use crate::grid::{Grid, Map};
use crate::layer::{Finish, Layer, Source};
use crate::pack::Weights;
use crate::parallel::{Shared, enter, for_jobs};
use crate::precision::Precision;
use crate::scratch::Scratch;
use crate::sizes::check_images;
use crate::weight_gradient::WeightGradient;
use crate::winograd::{self, Filters, WinogradGradient, run_by_outputs};

/// Computes `y` `[batch, height, width, c_out]` from `x` `[batch, height, width, c_in]`, `weights`
/// `[3, 3, c_in, c_out]` and `bias` `[c_out]`, if there is one.
///
/// # Panics
/// If a slice does not have the length that the shape says, or its kernel is not 3.
pub fn forward_new(shape: &Conv, x: &[f32], weights: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    check(shape, x, weights);
    if let Some(bias) = bias {
        check_length("bias", bias.len(), shape.c_out);
    }
    let mut y = Blank::new(shape.pixels() * shape.c_out);
    let to = plain(shape, y.at(), shape.c_out);
    if shape.pixels() > 0 {
        enter(shape.operations(), || {
            let mut room = Scratch::take(grid(shape).places() * shape.c_in);
            // SAFETY: lengths were checked, the room is that of the grid.
            unsafe {
                let from = copied(shape, x, shape.c_in, &mut room);
                run(from, filters(shape, weights, false), bias, to);
            }
        });
    }
    // SAFETY: all pixels were written.
    unsafe { y.written() }
}

/// The gradients with respect to `x`, the weights and the bias, from the gradient `dy` with respect to the
/// output. What others found for the gradient of `x` is added to it.
///
/// # Panics
/// If a slice does not have the length that the shape says, or its kernel is not 3.
pub fn backward_new(
    shape: &Conv,
    x: &[f32],
    weights: &[f32],
    dy: &[f32],
    other: Option<&[f32]>,
) -> [Vec<f32>; 3] {
    check(shape, x, weights);
    check_length("dy", dy.len(), shape.pixels() * shape.c_out);
    if let Some(other) = other {
        check_length("gradient of x", other.len(), x.len());
    }
    if shape.pixels() == 0 || shape.c_in == 0 {
        return [x.len(), weights.len(), shape.c_out].map(|length| vec![0.0; length]);
    }
    let mut blanks = [x.len(), weights.len(), shape.c_out].map(Blank::new);
    let [to, dweights, dbias] = blanks.each_mut().map(Blank::at);
    enter(2 * shape.operations(), || {
        let places = grid(shape).places();
        let mut rooms = [shape.c_in, shape.c_out].map(|n| Scratch::take(places * n));
        let [room, slopes] = &mut rooms;
        // SAFETY: lengths were checked, the rooms are those of the grid.
        unsafe {
            let from = copied(shape, x, shape.c_in, room);
            let slope = copied(shape, dy, shape.c_out, slopes);
            gradients(from, slope, [dweights, dbias]);
            let to = plain(shape, to, shape.c_in);
            run(slope, filters(shape, weights, true), None, to);
        }
    });
    // SAFETY: all of them were written.
    let [mut dx, dweights, dbias] = blanks.map(|blank| unsafe { blank.written() });
    if let Some(other) = other {
        crate::elementwise::add(&mut dx, other);
    }
    [dx, dweights, dbias]
}

fn check(shape: &Conv, x: &[f32], weights: &[f32]) {
    assert!(shape.kernel == 3, "kernel is 3, not {}", shape.kernel);
    let most = shape.c_in.max(shape.c_out);
    check_images(shape.batch, shape.height, shape.width, most);
    check_length("x", x.len(), shape.pixels() * shape.c_in);
    check_length("weights", weights.len(), shape.weight_length());
}

fn grid(shape: &Conv) -> Grid {
    bordered(shape.batch, shape.height, shape.width)
}

fn filters<'a>(shape: &Conv, weights: &'a [f32], turned: bool) -> Filters<'a> {
    Filters {
        weights,
        c_in: shape.c_in,
        c_out: shape.c_out,
        turned,
    }
}

/// A buffer without border.
fn plain(shape: &Conv, at: Shared, channels: usize) -> Map {
    Map {
        at,
        grid: Grid::line_of(shape.pixels()),
        channels,
        precision: Precision::Fp32,
    }
}

/// A copy inside a clear border.
///
/// # Safety
/// The room must be that of the grid.
unsafe fn copied(shape: &Conv, from: &[f32], channels: usize, room: &mut [f32]) -> Map {
    let map = Map::new(room, grid(shape), channels, Precision::Fp32);
    let line = shape.width * channels;
    // SAFETY: promised by the caller, rows lie within the room.
    unsafe {
        map.clear_border();
        for (row, from) in from.chunks_exact(line.max(1)).enumerate() {
            let to = map.pixel(row * shape.width);
            to.copy_from_nonoverlapping(from.as_ptr(), line);
        }
    }
    map
}

/// Images of these sides, each inside the border that a 3x3 convolution needs.
pub(crate) fn bordered(batch: usize, height: usize, width: usize) -> Grid {
    Grid::bordered(3, batch, height, width)
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
        if grid.is_plain() {
            // One pixel sees the centre alone.
            let length = 9 * from.channels * slope.channels;
            weights.0.write_bytes(0, length);
        }
        let gradient = WeightGradient {
            source: Source::Map(from),
            segments: grid.segments(3, from.channels),
            slope,
            weights,
            bias: Some(bias),
        };
        for_jobs(&[gradient.job()]);
    }
}
