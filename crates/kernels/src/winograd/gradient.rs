//! Weight gradients of 3x3 convolutions in the transformed domain:
//! `dg = G'(sum over tiles of (A dy A') * (B' d B))G`.
//!
//! A thread owns some rows (position and input channel) of the 36 sums and goes over all
//! tiles in order, so that the order of additions is fixed by the shape alone.

use super::transform::{transform_patch_row, transform_slope_row, weight_gradient};
use super::{LINE, POSITIONS, Tiles, position_rows};
use crate::detect::{Kernel, dispatch};
use crate::grid::Map;
use crate::parallel::{Job, Shared};
use crate::precision::Single;
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::weight_gradient::{Block, ColumnSums, Run};
use std::ops::Range;

/// Tiles summed before their sum is added to the gradient.
const CHUNK: usize = 64;
/// Rows that are worth a task of their own.
const GRANULE: usize = 16;

/// The gradient of one convolution's weights and bias.
pub(crate) struct WinogradGradient {
    /// What the convolution read: bordered, the border clear.
    source: Map,
    /// The gradient with respect to the convolution's outputs.
    slope: Map,
    /// Receives the gradient of the weights.
    weights: Shared,
    /// Receives the gradient of the bias.
    bias: Shared,
    sums: Shared,
    /// What `sums` points to.
    _room: Scratch,
}

impl WinogradGradient {
    /// The gradient for a convolution that read `source`, bordered, the border clear.
    pub fn new(source: Map, slope: Map, weights: Shared, bias: Shared) -> Self {
        let rows = POSITIONS * position_rows(source.channels);
        let mut room = Scratch::take(rows * slope.channels);
        Self {
            source,
            slope,
            weights,
            bias,
            sums: Shared(room.as_mut_ptr()),
            _room: room,
        }
    }

    /// Computes the gradient of the bias, and the sums that [`WinogradGradient::back`] needs.
    ///
    /// # Safety
    /// All buffers must be alive until the job is done; those written must be used by nobody else.
    pub unsafe fn sum(&self) -> Job<'_> {
        let (channels, outputs) = (self.source.channels, self.slope.channels);
        let tiles = Tiles::count(self.source.grid);
        // Rows are counted by line of positions, then channel; each stands for the
        // positions of its line. Ranges of the same line transform the same slopes.
        let lines_suffice = rayon::current_num_threads() <= LINE;
        Job {
            count: LINE * channels,
            granule: if lines_suffice { channels } else { GRANULE },
            operations: 2 * POSITIONS * tiles * channels * outputs,
            body: Box::new(move |rows| {
                if rows.start == 0 {
                    dispatch(ColumnSums {
                        of: self.slope,
                        to: self.bias,
                    });
                }
                dispatch(Part {
                    gradient: self,
                    rows,
                });
            }),
        }
    }

    /// Computes the gradient of the weights from the sums.
    ///
    /// # Safety
    /// As for [`WinogradGradient::sum`], whose job must be done.
    pub unsafe fn back(&self) -> Job<'_> {
        let (channels, outputs) = (self.source.channels, self.slope.channels);
        Job {
            count: channels,
            granule: GRANULE,
            operations: 150 * channels * outputs,
            body: Box::new(move |channels| {
                dispatch(Back {
                    gradient: self,
                    channels,
                });
            }),
        }
    }
}

/// Some rows of the sums.
struct Part<'a> {
    gradient: &'a WinogradGradient,
    rows: Range<usize>,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.gradient.source.channels;
        let mut row = self.rows.start;
        while row < self.rows.end {
            let line = row / channels;
            let end = self.rows.end.min((line + 1) * channels);
            // SAFETY: `WinogradGradient::sum` requires valid buffers, its rows are disjoint.
            unsafe { self.sum(s, line, row - line * channels..end - line * channels) };
            row = end;
        }
    }
}

impl Part<'_> {
    /// Sums a line of positions over all tiles, for a range of input channels.
    #[inline(always)]
    unsafe fn sum<S: Simd>(&self, s: S, line: usize, range: Range<usize>) {
        let Map { grid, channels, .. } = self.gradient.source;
        let outputs = self.gradient.slope.channels;
        let inputs = range.len();
        let mut patches = Scratch::take(LINE * CHUNK * inputs);
        let mut slopes = Scratch::take(LINE * CHUNK * outputs);
        let mut first = 0;
        while first < Tiles::count(grid) {
            let count = CHUNK.min(Tiles::count(grid) - first);
            let tiles = Tiles::starting_at(grid, first);
            // SAFETY: rows within the scratch and the sums.
            unsafe {
                self.transform(s, line, &range, tiles, count, &mut patches, &mut slopes);
                for j in 0..LINE {
                    let run = Run {
                        input: patches.as_ptr().add(j * CHUNK * inputs),
                        slope: slopes.as_ptr().add(j * CHUNK * outputs),
                        count,
                    };
                    let row = (LINE * line + j) * position_rows(channels) + range.start;
                    Block {
                        runs: &[run],
                        offset: 0,
                        stride: inputs,
                        rows: inputs,
                        outputs,
                        slope_stride: outputs,
                        to_stride: outputs,
                        to: self.gradient.sums.0.add(row * outputs),
                        first: first == 0,
                    }
                    .add::<S, Single>(s);
                }
            }
            first += count;
        }
    }

    /// Transforms what a chunk of tiles reads.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    unsafe fn transform<S: Simd>(
        &self,
        s: S,
        line: usize,
        range: &Range<usize>,
        mut tiles: Tiles,
        count: usize,
        patches: &mut [f32],
        slopes: &mut [f32],
    ) {
        let WinogradGradient { source, slope, .. } = self.gradient;
        let (channels, outputs) = (source.channels, slope.channels);
        let inputs = range.len();
        for i in 0..count {
            // SAFETY: patches and tiles lie within their images.
            unsafe {
                let from = source.at_place(tiles.corner).add(range.start);
                let to = patches.as_mut_ptr().add(i * inputs);
                let stride = source.grid.line() * channels;
                transform_patch_row(s, line, from, stride, channels, inputs, to, CHUNK * inputs);
                let from = slope.at_place(tiles.place(slope.grid));
                let to = slopes.as_mut_ptr().add(i * outputs);
                let stride = slope.grid.line() * outputs;
                transform_slope_row(s, line, from, stride, outputs, to, CHUNK * outputs);
            }
            tiles.advance();
        }
    }
}

/// Transforms the sums of some input channels back.
struct Back<'a> {
    gradient: &'a WinogradGradient,
    channels: Range<usize>,
}

impl Kernel for Back<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (channels, n) = (self.gradient.source.channels, self.gradient.slope.channels);
        for channel in self.channels {
            // SAFETY: rows of the sums and of the gradient, each written by one thread.
            unsafe {
                let from = self.gradient.sums.0.add(channel * n);
                let to = self.gradient.weights.0.add(channel * n);
                weight_gradient(s, from, position_rows(channels) * n, n, to, channels * n);
            }
        }
    }
}
