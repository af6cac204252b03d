//! 3x3 convolutions by Winograd's minimal filtering F(4x4, 3x3): 36 multiplications where the
//! direct way takes 144.
//!
//! A tile of 4x4 outputs needs a patch `d` of 6x6 inputs. With the transforms of
//! [`transform`], `y = A'((G g G') * (B' d B))A`, where `*` is elementwise: for each of the 36
//! positions one matrix product over tiles and channels. A. Lavin, S. Gray, "Fast Algorithms for
//! Convolutional Neural Networks" (2016); S. Winograd, "Arithmetic Complexity of Computations"
//! (1980).

mod by_outputs;
mod gradient;
mod transform;

pub(crate) use by_outputs::{Filters, run_by_outputs};
pub(crate) use gradient::WinogradGradient;

use crate::detect::{Kernel, dispatch};
use crate::grid::{Grid, Map};
use crate::layer::{Finish, finish_row};
use crate::multiply::{Product, Rows, multiply};
use crate::pack::Weights;
use crate::parallel::for_ranges;
use crate::precision::Single;
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::tile::Segment;
use std::ops::Range;
use transform::{tile_outputs, transform_patch};

/// Outputs along each side of a tile.
const SIDE: usize = 4;
/// Inputs along each side of its patch, and positions along each side of a transformed tile.
const LINE: usize = SIDE + 2;
/// Positions in a transformed tile.
const POSITIONS: usize = LINE * LINE;

/// Tiles transformed at a time.
const CHUNK: usize = 16;
const _: () = assert!(
    CHUNK <= crate::multiply::CHUNK,
    "a product has room for so many rows"
);
/// Tiles that may make a task of their own.
const GRANULE: usize = 4;

/// Numbers between positions beyond what they need: without them, the positions of 128
/// channels would all fall into the same few lines of the first cache.
const GAP: usize = 16;

/// Rows from one position to the next in matrices of `channels` rows a position: one more than
/// are used, for the same reason.
fn position_rows(channels: usize) -> usize {
    channels + 1
}

/// Whether 3x3 convolutions over such images go this way. The images alone decide, so that the
/// batch changes no result. An image of one tile is not worth transforming weights for.
pub(crate) fn suits(grid: Grid) -> bool {
    let fits = |side: usize| side.is_multiple_of(SIDE) && side > SIDE;
    grid.has_border() && fits(grid.height) && fits(grid.width)
}

/// Goes through the tiles of a bordered grid, row by row, image by image.
#[derive(Clone, Copy)]
struct Tiles {
    grid: Grid,
    column: usize,
    row: usize,
    /// The first of the output pixels.
    pixel: usize,
    /// The place of the first of the input pixels.
    corner: usize,
}

impl Tiles {
    /// How many tiles there are.
    fn count(grid: Grid) -> usize {
        grid.pixels() / (SIDE * SIDE)
    }

    /// From this tile on.
    #[inline(always)]
    fn starting_at(grid: Grid, tile: usize) -> Self {
        let across = grid.width / SIDE;
        let (row, column) = (tile / across, tile % across);
        let pixel = SIDE * (row * grid.width + column);
        Self {
            grid,
            column,
            row: row % (grid.height / SIDE),
            pixel,
            corner: grid.place(pixel) - grid.line() - 1,
        }
    }

    #[inline(always)]
    fn advance(&mut self) {
        self.pixel += SIDE;
        self.corner += SIDE;
        self.column += 1;
        if self.column == self.grid.width / SIDE {
            self.column = 0;
            self.row += 1;
            self.pixel += (SIDE - 1) * self.grid.width;
            // Over the border, and the lines that the tiles of this row have covered.
            self.corner += 2 + (SIDE - 1) * self.grid.line();
            if self.row == self.grid.height / SIDE {
                self.row = 0;
                self.corner += 2 * self.grid.line();
            }
        }
    }

    /// The place of the first output pixel in a grid with or without border.
    #[inline(always)]
    fn place(&self, to: Grid) -> usize {
        if to.is_plain() {
            self.pixel
        } else {
            self.corner + self.grid.line() + 1
        }
    }
}

/// An inner convolution with what comes after it.
pub(crate) struct Winograd<'a> {
    /// Bordered, the border clear.
    pub from: Map,
    /// As [`Weights::winograd`] makes them.
    pub weights: &'a Weights<'a>,
    /// One number per output, if any.
    pub bias: Option<&'a [f32]>,
    /// Output channels.
    pub outputs: usize,
    pub finish: Finish,
}

impl Winograd<'_> {
    /// Computes all pixels.
    ///
    /// # Safety
    /// All buffers must be alive and of the same pixels; those written must be used by nobody
    /// else.
    pub unsafe fn run(&self) {
        let tiles = Tiles::count(self.from.grid);
        if let Some(bias) = self.bias {
            assert!(bias.len() >= self.outputs);
        }
        let operations = 2 * POSITIONS * tiles * self.from.channels * self.outputs;
        for_ranges(tiles, GRANULE, operations, |range| {
            dispatch(Part { layer: self, range });
        });
    }
}

/// A convolution over some of its tiles.
struct Part<'a> {
    layer: &'a Winograd<'a>,
    range: Range<usize>,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let layer = self.layer;
        let mut patches = Scratch::take(POSITIONS * (CHUNK * layer.from.channels + GAP));
        let mut products = Scratch::take(POSITIONS * (CHUNK * layer.outputs + GAP));
        let mut outputs = Scratch::take(SIDE * SIDE * layer.outputs);
        let mut first = self.range.start;
        while first < self.range.end {
            let count = CHUNK.min(self.range.end - first);
            let tiles = Tiles::starting_at(layer.from.grid, first);
            // SAFETY: `Winograd::run` requires valid buffers, and its ranges are disjoint.
            unsafe {
                layer.transform(s, tiles, count, &mut patches);
                layer.multiply(s, count, &patches, &mut products);
                layer.finish(s, tiles, count, &products, &mut outputs);
            }
            first += count;
        }
    }
}

impl Winograd<'_> {
    /// Transforms the patches of a chunk: `[36, CHUNK, channels]` with gaps.
    #[inline(always)]
    unsafe fn transform<S: Simd>(&self, s: S, mut tiles: Tiles, count: usize, to: &mut [f32]) {
        let channels = self.from.channels;
        let line = self.from.grid.line() * channels;
        for i in 0..count {
            // SAFETY: the patch lies within the bordered image, the result within `to`.
            unsafe {
                let from = self.from.at_place(tiles.corner);
                let to = to.as_mut_ptr().add(i * channels);
                transform_patch(s, from, line, channels, to, CHUNK * channels + GAP);
            }
            tiles.advance();
        }
    }

    /// One product for each position: `[36, CHUNK, outputs]` with gaps.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(&self, s: S, count: usize, from: &[f32], to: &mut [f32]) {
        let (channels, outputs) = (self.from.channels, self.outputs);
        let rows = Rows::regular(from.as_ptr(), channels, to.as_mut_ptr(), outputs, count);
        for position in 0..POSITIONS {
            let segments = [Segment {
                input: (position * (CHUNK * channels + GAP)) as isize,
                row: position * position_rows(channels),
                rows: channels,
            }];
            let product = Product {
                segments: &segments,
                weights: self.weights,
                bias: None,
                outputs,
                offset: position * (CHUNK * outputs + GAP),
            };
            // SAFETY: rows within the scratch.
            unsafe { multiply::<S, Single>(s, &product, &rows) };
        }
    }

    /// Transforms the products back and passes the pixels of each tile on.
    #[inline(always)]
    unsafe fn finish<S: Simd>(
        &self,
        s: S,
        mut tiles: Tiles,
        count: usize,
        products: &[f32],
        pixels: &mut [f32],
    ) {
        let n = self.outputs;
        let width = self.from.grid.width;
        let bias = self.bias.map(<[f32]>::as_ptr);
        for i in 0..count {
            // SAFETY: the pixels of a tile are pixels of the image.
            unsafe {
                let from = products.as_ptr().add(i * n);
                let h = pixels.as_mut_ptr();
                tile_outputs(s, from, CHUNK * n + GAP, bias, n, h);
                let place = tiles.place(self.from.grid);
                for j in 0..SIDE * SIDE {
                    let (dy, dx) = (j / SIDE, j % SIDE);
                    let pixel = tiles.pixel + dy * width + dx;
                    let place = place + dy * self.from.grid.line() + dx;
                    finish_row(s, &self.finish, h.add(j * n), n, pixel, place);
                }
            }
            tiles.advance();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_follow_one_another() {
        let grid = Grid::bordered(3, 3, 8, 12);
        let mut tiles = Tiles::starting_at(grid, 0);
        for tile in 0..Tiles::count(grid) {
            let expected = Tiles::starting_at(grid, tile);
            assert_eq!(
                (tiles.pixel, tiles.corner),
                (expected.pixel, expected.corner)
            );
            assert_eq!(tiles.place(grid), grid.place(tiles.pixel));
            tiles.advance();
        }
    }
}
