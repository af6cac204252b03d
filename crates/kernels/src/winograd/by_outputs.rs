//! The same convolutions, the same bits, for many channels: panel of outputs by panel of outputs.
//!
//! Transformed weights take four times the memory. Where that is more than caches hold, it is better to
//! transform the patches of many tiles first, and then, for a panel of outputs at a time, the weights, which
//! are used for all tiles while they are in the cache, and never stored elsewhere.

use super::transform::{tile_outputs, transform_patch};
use super::{GAP, POSITIONS, SIDE, Tiles, position_rows};
use crate::detect::{Kernel, dispatch};
use crate::grid::Map;
use crate::multiply::{self, Product, Rows, multiply};
use crate::pack::Weights;
use crate::parallel::{Shared, for_ranges, threads};
use crate::precision::Single;
use crate::rows::store_row;
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::tile::Segment;
use std::ops::Range;

/// Tiles that weights are transformed for.
const TILES: usize = 128;

/// Weights as they are stored, `[3, 3, c_in, c_out]`.
#[derive(Clone, Copy)]
pub(crate) struct Filters<'a> {
    pub weights: &'a [f32],
    pub c_in: usize,
    pub c_out: usize,
    /// Whether the gradient of the input is computed: from `c_out` channels to `c_in`.
    pub turned: bool,
}

impl Filters<'_> {
    fn inputs(&self) -> usize {
        if self.turned { self.c_out } else { self.c_in }
    }

    fn outputs(&self) -> usize {
        if self.turned { self.c_in } else { self.c_out }
    }

    /// The transformed weights of some outputs.
    fn transformed(&self, outputs: &Range<usize>) -> Weights<'static> {
        let (c_in, c_out, n) = (self.c_in, self.c_out, outputs.len());
        if self.turned {
            let mut rows = Scratch::take(9 * n * c_out);
            for (tap, to) in rows.chunks_exact_mut(n * c_out).enumerate() {
                let from = (tap * c_in + outputs.start) * c_out;
                to.copy_from_slice(&self.weights[from..from + n * c_out]);
            }
            return Weights::transposed(&rows, 9, n, c_out, n).winograd(c_out, n);
        }
        let transformed = |weights: &[f32], columns| {
            let stored = Weights::Stored { weights, columns };
            stored.winograd(c_in, n)
        };
        if c_out.is_multiple_of(WIDEST_LANES) {
            return transformed(&self.weights[outputs.start..], c_out);
        }
        // Whole vectors of columns.
        let width = n.next_multiple_of(WIDEST_LANES);
        let mut columns = Scratch::take(9 * c_in * width);
        let rows = columns.chunks_exact_mut(width);
        for (to, from) in rows.zip(self.weights.chunks_exact(c_out)) {
            to[..n].copy_from_slice(&from[outputs.clone()]);
            to[n..].fill(0.0);
        }
        transformed(&columns, width)
    }
}

/// A multiple of every instruction set's lanes.
const WIDEST_LANES: usize = 16;

/// Computes all pixels of `to`, without border, from `from`, bordered and the border clear.
///
/// # Safety
/// Both must be alive and of the same pixels; `to` must be used by nobody else.
pub(crate) unsafe fn run_by_outputs(from: Map, filters: Filters, bias: Option<&[f32]>, to: Map) {
    let (inputs, outputs) = (filters.inputs(), filters.outputs());
    assert!(from.channels == inputs && to.channels == outputs);
    if let Some(bias) = bias {
        assert!(bias.len() >= outputs);
    }
    let all = Tiles::count(from.grid);
    let count = all.min(TILES);
    let stride = count * inputs + GAP;
    let mut room = Scratch::take(POSITIONS * stride);
    let width = width(outputs);
    for first in (0..all).step_by(TILES) {
        let part = Part {
            from,
            filters,
            bias,
            to,
            first,
            count: TILES.min(all - first),
            stride,
            patches: Shared(room.as_mut_ptr()),
            width,
        };
        let numbers = POSITIONS * part.count * inputs;
        for_ranges(part.count, 4, 8 * numbers, |range| {
            dispatch(Patches { part: &part, range });
        });
        let operations = 2 * numbers * outputs;
        for_ranges(outputs.div_ceil(width), 1, operations, |range| {
            dispatch(Outputs { part: &part, range });
        });
    }
}

/// Outputs of a panel: many, but so few that all threads have one. No result depends on it.
fn width(outputs: usize) -> usize {
    let enough = |width: &usize| outputs.div_ceil(*width) >= threads();
    [64, 48, 32].into_iter().find(enough).unwrap_or(16)
}

/// Some tiles.
struct Part<'a> {
    from: Map,
    filters: Filters<'a>,
    bias: Option<&'a [f32]>,
    to: Map,
    first: usize,
    count: usize,
    /// `[36, tiles, inputs]`, positions `stride` apart.
    patches: Shared,
    stride: usize,
    width: usize,
}

/// The transformed patches of a range of the tiles.
struct Patches<'a> {
    part: &'a Part<'a>,
    range: Range<usize>,
}

impl Kernel for Patches<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Part {
            from,
            first,
            stride,
            patches,
            ..
        } = *self.part;
        let channels = from.channels;
        let line = from.grid.line() * channels;
        let mut tiles = Tiles::starting_at(from.grid, first + self.range.start);
        for i in self.range {
            // SAFETY: the patch lies within the bordered image, the result within the room.
            unsafe {
                let from = from.at_place(tiles.corner);
                let to = patches.after(i * channels);
                transform_patch(s, from, line, channels, to, stride);
            }
            tiles.advance();
        }
    }
}

/// The products of all tiles for a range of panels of outputs.
struct Outputs<'a> {
    part: &'a Part<'a>,
    range: Range<usize>,
}

impl Kernel for Outputs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let part = self.part;
        let stride = part.count * part.width + GAP;
        let mut products = Scratch::take(POSITIONS * stride);
        let mut pixels = Scratch::take(SIDE * SIDE * part.width);
        for panel in self.range {
            let start = panel * part.width;
            let outputs = start..part.filters.outputs().min(start + part.width);
            let weights = part.filters.transformed(&outputs);
            // SAFETY: `run_by_outputs` requires valid buffers, its panels are disjoint.
            unsafe {
                part.multiply(s, &weights, outputs.len(), (&mut products, stride));
                part.finish(s, &outputs, (&products, stride), &mut pixels);
            }
        }
    }
}

impl Part<'_> {
    /// One product for each position: `[36, tiles, n]`, positions `stride` apart.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(
        &self,
        s: S,
        weights: &Weights,
        n: usize,
        (to, stride): (&mut [f32], usize),
    ) {
        let inputs = self.from.channels;
        for position in 0..POSITIONS {
            let segments = [Segment {
                input: (position * self.stride) as isize,
                row: position * position_rows(inputs),
                rows: inputs,
            }];
            let product = Product {
                segments: &segments,
                weights,
                bias: None,
                outputs: n,
                offset: position * stride,
            };
            let mut first = 0;
            while first < self.count {
                let count = multiply::CHUNK.min(self.count - first);
                // SAFETY: rows within the rooms.
                unsafe {
                    let from = self.patches.after(first * inputs);
                    let to = to.as_mut_ptr().add(first * n);
                    let rows = Rows::regular(from, inputs, to, n, count);
                    multiply::<S, Single>(s, &product, &rows);
                }
                first += count;
            }
        }
    }

    /// Transforms the products back and stores the pixels of each tile.
    #[inline(always)]
    unsafe fn finish<S: Simd>(
        &self,
        s: S,
        outputs: &Range<usize>,
        (products, stride): (&[f32], usize),
        pixels: &mut [f32],
    ) {
        let n = outputs.len();
        let width = self.from.grid.width;
        let bias = self.bias.map(|bias| bias[outputs.start..].as_ptr());
        let mut tiles = Tiles::starting_at(self.from.grid, self.first);
        for i in 0..self.count {
            // SAFETY: the pixels of a tile are pixels of the image.
            unsafe {
                let from = products.as_ptr().add(i * n);
                tile_outputs(s, from, stride, bias, n, pixels.as_mut_ptr());
                for (j, from) in pixels.chunks_exact(n).take(SIDE * SIDE).enumerate() {
                    let pixel = tiles.pixel + j / SIDE * width + j % SIDE;
                    let to = self.to.pixel(pixel).add(outputs.start);
                    store_row(s, from.as_ptr(), None, to, n);
                }
            }
            tiles.advance();
        }
    }
}
