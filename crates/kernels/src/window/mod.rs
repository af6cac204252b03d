//! Convolutions whose kernel lies anywhere over its input, with strides; and their mirror, transposed ones.
//!
//! Two images are tied by the taps of a kernel, see `Ties`. A convolution makes the coarser one of the finer one,
//! each pixel from all taps (`gather`); a transposed one the finer of the coarser, where a pixel has the taps of
//! its phase (`spread`). Each is the other's data gradient. Inputs are read in a border of zeros, made with the
//! activation for a few images at a time, so that taps are nothing but distances.

mod forward;
mod transposed;

pub use forward::{Window, backward_new, forward_new};
pub use transposed::{Transposed, transposed_backward_new, transposed_forward_new};

use crate::activation::Input;
use crate::grid::{Grid, Map};
use crate::layer::{Finish, Layer, Source};
use crate::pack::Weights;
use crate::precision::Precision;
use crate::scratch::Scratch;
use crate::tile::Segment;

/// Gradients in the layout of what they belong to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gradients {
    /// None where nobody asked for it.
    pub x: Option<Vec<f32>>,
    pub weights: Vec<f32>,
    /// Empty where there is no bias.
    pub bias: Vec<f32>,
}

/// Pixels that make up for a task.
const TOGETHER: usize = 192;

/// Two images of which a pixel (r, c) of the coarse one is tied, by each tap (i, j), to pixel
/// (stride r + i - before, stride c + j - before) of the fine one, where that has such a pixel.
#[derive(Clone, Copy, Debug)]
struct Ties {
    batch: usize,
    /// Height and width, as of all that follows.
    fine: [usize; 2],
    coarse: [usize; 2],
    kernel: [usize; 2],
    before: [usize; 2],
    stride: usize,
}

/// Along one axis, those pixels of the fine image that see the same taps: every stride-th one.
#[derive(Clone, Copy, Debug)]
struct Phase {
    /// The first of them, and how many there are.
    start: usize,
    count: usize,
    /// The first of the taps, from where every stride-th one sees a pixel of the coarse image, and how many there
    /// are.
    tap: usize,
    taps: usize,
    /// The coarse pixel that the first tap ties to the first pixel; each further tap the one before.
    coarse: usize,
}

impl Ties {
    fn images(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    fn taps(self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    fn coarse_grid(self) -> Grid {
        Grid::plain(self.batch, self.coarse[0], self.coarse[1])
    }

    fn fine_grid(self) -> Grid {
        Grid::plain(self.batch, self.fine[0], self.fine[1])
    }

    /// The fine image with all that taps reach.
    fn bordered_fine(self) -> Grid {
        let after = [0, 1].map(|axis| {
            let reach = self.stride * (self.coarse[axis] - 1) + self.kernel[axis];
            reach.saturating_sub(self.before[axis] + self.fine[axis])
        });
        Grid::inside(self.batch, self.fine, self.before, after)
    }

    /// The phases of an axis that have pixels.
    fn phases(self, axis: usize) -> impl Iterator<Item = Phase> {
        let (stride, before) = (self.stride, self.before[axis]);
        let (fine, kernel) = (self.fine[axis], self.kernel[axis]);
        let phase = move |tap: usize| {
            // The first pixel that is a multiple of the stride away from the tap's.
            let start = (tap + before * (stride - 1)) % stride;
            Phase {
                start,
                count: fine.saturating_sub(start).div_ceil(stride),
                tap,
                taps: kernel.saturating_sub(tap).div_ceil(stride),
                coarse: (start + before - tap) / stride,
            }
        };
        (0..stride).map(phase).filter(|phase| phase.count > 0)
    }

    /// The coarse image with all that pixels of the fine one see.
    fn bordered_coarse(self) -> Grid {
        let (mut before, mut after) = ([0; 2], [0; 2]);
        for axis in 0..2 {
            for phase in self.phases(axis) {
                let missing = phase.taps.saturating_sub(phase.coarse + 1);
                before[axis] = missing.max(before[axis]);
                let missing = (phase.coarse + phase.count).saturating_sub(self.coarse[axis]);
                after[axis] = missing.max(after[axis]);
            }
        }
        Grid::inside(self.batch, self.coarse, before, after)
    }
}

/// Weights as one product after the other wants them.
struct Taps<'a> {
    weights: &'a Weights<'a>,
    /// Whether they are laid out from the last tap to the first, as [`Weights::transposed`] does.
    reversed: bool,
    bias: Option<&'a [f32]>,
    /// Output channels.
    outputs: usize,
}

/// Rows of weights for taps, `inputs` each, whose pixels lie at these distances; `place` says where a tap is among
/// the weights.
fn segments(
    inputs: usize,
    place: impl Fn(usize) -> usize,
    taps: impl Iterator<Item = (usize, isize)>,
) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for (tap, input) in taps {
        let row = place(tap) * inputs;
        match segments.last_mut() {
            // Neighbours in both: one longer row.
            Some(last)
                if last.row + last.rows == row && last.input + last.rows as isize == input =>
            {
                last.rows += inputs;
            }
            _ => segments.push(Segment {
                input,
                row,
                rows: inputs,
            }),
        }
    }
    segments
}

impl Taps<'_> {
    /// The layer that reads the pixels of a map by these taps.
    fn layer(
        &self,
        ties: Ties,
        from: Map,
        distances: impl Iterator<Item = (usize, isize)>,
        finish: Finish,
    ) -> Layer<'_> {
        let last = ties.taps() - 1;
        let place = |tap| if self.reversed { last - tap } else { tap };
        Layer {
            source: Source::Map(from),
            segments: segments(from.channels, place, distances),
            precision: Precision::Fp32,
            weights: self.weights,
            bias: self.bias,
            outputs: self.outputs,
            finish,
        }
    }
}

/// The pixels of the fine image, bordered, that the first tap ties to the coarse one's, and the distances from
/// there to those of all taps.
fn seen(ties: Ties, from: Map) -> (Map, impl Iterator<Item = (usize, isize)>) {
    let (line, channels) = (from.grid.line(), from.channels);
    let distance = move |tap: usize| {
        let (row, column) = (tap / ties.kernel[1], tap % ties.kernel[1]);
        (tap, ((row * line + column) * channels) as isize)
    };
    let grid = from.grid.view([0; 2], ties.coarse, ties.stride);
    (from.view(grid), (0..ties.taps()).map(distance))
}

/// Computes all pixels of the coarse image from the fine one, bordered.
///
/// # Safety
/// All buffers must be alive, the border clear, those that are written used by nobody else.
unsafe fn gather(ties: Ties, from: Map, taps: &Taps, finish: Finish) {
    let (seen, distances) = seen(ties, from);
    let layer = taps.layer(ties, seen, distances, finish);
    // SAFETY: promised by the caller.
    unsafe { layer.run(seen.grid.pixels()) };
}

/// Computes all pixels of the fine image from the coarse one, bordered. `finish` says what becomes of those that
/// are at the places of a grid.
///
/// # Safety
/// All buffers must be alive, the border clear, those that are written used by nobody else.
unsafe fn spread(ties: Ties, from: Map, taps: &Taps, finish: impl Fn(Grid) -> Finish) {
    let (line, channels) = (from.grid.line(), from.channels);
    let [above, left] = from.grid.before();
    for rows in ties.phases(0) {
        for columns in ties.phases(1) {
            let count = [rows.count, columns.count];
            let fine = [rows.start, columns.start];
            let fine = ties.fine_grid().view(fine, count, ties.stride);
            let first = [above + rows.coarse, left + columns.coarse];
            let seen = from.view(from.grid.view(first, count, 1));
            let distances = (0..rows.taps).rev().flat_map(|i| {
                (0..columns.taps).rev().map(move |j| {
                    let row = rows.tap + i * ties.stride;
                    let column = columns.tap + j * ties.stride;
                    let distance = ((i * line + j) * channels) as isize;
                    (row * ties.kernel[1] + column, -distance)
                })
            });
            let layer = taps.layer(ties, seen, distances, finish(fine));
            // SAFETY: promised by the caller.
            unsafe { layer.run(fine.pixels()) };
        }
    }
}

/// A buffer as it is read with this border: itself, or a copy in `room`.
///
/// # Safety
/// It must be alive and hold the grid's pixels.
unsafe fn bordered(buffer: Map, grid: Grid, room: &mut Option<Scratch>) -> Map {
    if grid.is_plain() {
        return buffer;
    }
    let room = room.insert(Scratch::take(grid.places() * buffer.channels));
    let to = Map::new(room, grid, buffer.channels, Precision::Fp32);
    // SAFETY: promised by the caller.
    unsafe { Input::from(buffer).fill(to) };
    to
}
