//! Average pooling, with new channels of zeros where the next resolution is wider.

use super::{expect_len, for_chunks};
use crate::sizes::product;

/// Sizes of a pooling: `[batch, height, width, c_in]` to
/// `[batch, height / factor, width / factor, c_out]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Images.
    pub batch: usize,
    /// Rows of pixels before pooling, a multiple of `factor`.
    pub height: usize,
    /// Pixels in a row before pooling, a multiple of `factor`.
    pub width: usize,
    /// Channels before.
    pub c_in: usize,
    /// Channels after, `>= c_in`; the further ones are 0.
    pub c_out: usize,
    /// Side of the square that becomes one pixel; 1 only adds channels.
    pub factor: usize,
}

impl PoolShape {
    /// Numbers in the input.
    pub fn input_len(&self) -> usize {
        product(&[self.batch, self.height, self.width, self.c_in])
    }

    /// Numbers in the output.
    pub fn output_len(&self) -> usize {
        let (height, width) = (self.height / self.factor, self.width / self.factor);
        product(&[self.batch, height, width, self.c_out])
    }

    #[track_caller]
    fn check(&self, input: usize, output: usize) {
        let divides = |side: usize| self.factor > 0 && side.is_multiple_of(self.factor);
        assert!(
            divides(self.height) && divides(self.width) && self.c_out >= self.c_in,
            "impossible pooling: {self:?}"
        );
        expect_len("pooling input", input, self.input_len());
        expect_len("pooling output", output, self.output_len());
    }
}

/// Mean of each `factor` x `factor` cell.
///
/// # Panics
/// If `factor` does not divide the sides, `c_out < c_in`, or the lengths do not agree.
pub fn avg_pool(shape: &PoolShape, x: &[f32], out: &mut [f32]) {
    let cell = (shape.factor * shape.factor) as f32;
    sum_cells(shape, 1.0 / cell, x, out);
}

/// Gradient of [`avg_pool`]: each pixel of a cell receives its share.
///
/// # Panics
/// As [`avg_pool`].
pub fn avg_pool_backward(shape: &PoolShape, dout: &[f32], dx: &mut [f32]) {
    shape.check(dx.len(), dout.len());
    let (d, c_in, c_out) = (shape.factor, shape.c_in, shape.c_out);
    let share = 1.0 / (d * d) as f32;
    let pooled_row = shape.width / d * c_out;
    for_chunks(dx, shape.width * c_in, |row, dx| {
        // Image rows follow each other without gaps, and `d` divides their number per image.
        let dout = &dout[row / d * pooled_row..][..pooled_row];
        let cells = dx.chunks_exact_mut(d * c_in).zip(dout.chunks_exact(c_out));
        for (cell, dout) in cells {
            for dx in cell.chunks_exact_mut(c_in) {
                for (dx, dout) in dx.iter_mut().zip(dout) {
                    *dx = dout * share;
                }
            }
        }
    });
}

/// `scale` times the sum over each cell, row by row.
///
/// # Panics
/// As [`avg_pool`].
pub(super) fn sum_cells(shape: &PoolShape, scale: f32, x: &[f32], out: &mut [f32]) {
    shape.check(x.len(), out.len());
    let (d, c_in, c_out) = (shape.factor, shape.c_in, shape.c_out);
    let row = shape.width * c_in;
    for_chunks(out, shape.width / d * c_out, |i, out| {
        let x = &x[i * d * row..][..d * row];
        for (column, out) in out.chunks_exact_mut(c_out).enumerate() {
            let x = &x[column * d * c_in..];
            sum_cell(d, row, scale, x, &mut out[..c_in]);
            out[c_in..].fill(0.0);
        }
    });
}

/// One cell: `x` starts at its first pixel, `row` numbers are between its rows.
#[inline(always)]
fn sum_cell(d: usize, row: usize, scale: f32, x: &[f32], out: &mut [f32]) {
    const BLOCK: usize = 16;
    let channels = out.len();
    let mut blocks = out.chunks_exact_mut(BLOCK);
    for (block, out) in blocks.by_ref().enumerate() {
        let mut sum = [0.0; BLOCK];
        for y in 0..d {
            for pixel in 0..d {
                let start = y * row + pixel * channels + block * BLOCK;
                let x: &[f32; BLOCK] = x[start..].first_chunk().expect("inside the cell");
                for i in 0..BLOCK {
                    sum[i] += x[i];
                }
            }
        }
        for i in 0..BLOCK {
            out[i] = sum[i] * scale;
        }
    }
    let done = channels / BLOCK * BLOCK;
    for (i, out) in blocks.into_remainder().iter_mut().enumerate() {
        let mut sum = 0.0;
        for y in 0..d {
            for pixel in 0..d {
                sum += x[y * row + pixel * channels + done + i];
            }
        }
        *out = sum * scale;
    }
}
