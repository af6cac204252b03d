//! Weight gradients of 3x3 convolutions in the transformed domain:
//! `dg = G'(sum over tiles of (A dy A') * (B' d B))G`.
//!
//! A thread owns some rows (position and input channel) of the sixteen sums and goes over all
//! tiles in order, so that the order of additions is fixed by the shape alone.

use super::transform::{transform_patch_row, transform_slope_row, weight_gradient};
use super::{POSITIONS, Tiles, position_rows};
use crate::detect::{Kernel, dispatch};
use crate::grid::Map;
use crate::parallel::{Shared, for_ranges};
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
    pub source: Map,
    /// The gradient with respect to the convolution's outputs.
    pub slope: Map,
    /// Receives the gradient of the weights.
    pub weights: Shared,
    /// Receives the gradient of the bias.
    pub bias: Shared,
}

impl WinogradGradient {
    /// Computes both gradients.
    ///
    /// # Safety
    /// All buffers must be alive; those written must be used by nobody else.
    pub unsafe fn run(&self) {
        let (channels, outputs) = (self.source.channels, self.slope.channels);
        let mut sums = Scratch::take(POSITIONS * position_rows(channels) * outputs);
        let sums = Shared(sums.as_mut_ptr());
        let tiles = Tiles::count(self.source.grid);
        let operations = 2 * POSITIONS * tiles * channels * outputs;
        // Rows are counted by line of positions, then channel; each stands for the four
        // positions of its line.
        for_ranges(4 * channels, GRANULE, operations, |rows| {
            dispatch(Part {
                gradient: self,
                sums,
                rows,
            });
        });
        for_ranges(channels, GRANULE, 60 * channels * outputs, |channels| {
            dispatch(Back {
                gradient: self,
                sums,
                channels,
            });
        });
        dispatch(ColumnSums {
            of: self.slope,
            to: self.bias,
        });
    }
}

/// Some rows of the sums.
struct Part<'a> {
    gradient: &'a WinogradGradient,
    sums: Shared,
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
            // SAFETY: `WinogradGradient::run` requires valid buffers, its rows are disjoint.
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
        let mut patches = Scratch::take(4 * CHUNK * inputs);
        let mut slopes = Scratch::take(4 * CHUNK * outputs);
        let mut first = 0;
        while first < Tiles::count(grid) {
            let count = CHUNK.min(Tiles::count(grid) - first);
            let tiles = Tiles::starting_at(grid, first);
            // SAFETY: rows within the scratch and the sums.
            unsafe {
                self.transform(s, line, &range, tiles, count, &mut patches, &mut slopes);
                for j in 0..4 {
                    let run = Run {
                        input: patches.as_ptr().add(j * CHUNK * inputs),
                        slope: slopes.as_ptr().add(j * CHUNK * outputs),
                        count,
                    };
                    let row = (4 * line + j) * position_rows(channels) + range.start;
                    Block {
                        runs: &[run],
                        offset: 0,
                        stride: inputs,
                        rows: inputs,
                        outputs,
                        to: self.sums.0.add(row * outputs),
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
        let WinogradGradient { source, slope, .. } = *self.gradient;
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
    sums: Shared,
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
                let from = self.sums.0.add(channel * n);
                let to = self.gradient.weights.0.add(channel * n);
                weight_gradient(s, from, position_rows(channels) * n, n, to, channels * n);
            }
        }
    }
}
