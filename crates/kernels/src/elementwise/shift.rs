//! Images moved by whole pixels.

use super::{expect_len, for_chunks};
use crate::sizes::product;

/// Images `[batch, height, width, channels]` and how far they move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// Rows down.
    pub rows: usize,
    /// Columns to the right.
    pub columns: usize,
}

/// Zeros come in from above and from the left.
///
/// # Panics
/// If the lengths are not those of the images.
pub fn shift(shape: &Shift, x: &[f32], out: &mut [f32]) {
    let line = shape.check(x, out);
    let moved = shape.columns.min(shape.width) * shape.channels;
    for_chunks(out, line, |i, out| {
        let (image, row) = (i / shape.height, i % shape.height);
        let Some(row) = row.checked_sub(shape.rows) else {
            return out.fill(0.0);
        };
        let from = (image * shape.height + row) * line;
        out[..moved].fill(0.0);
        out[moved..].copy_from_slice(&x[from..from + line - moved]);
    });
}

/// The gradient with respect to `x`: [`shift`] the other way.
///
/// # Panics
/// If the lengths are not those of the images.
pub fn shift_backward(shape: &Shift, dout: &[f32], dx: &mut [f32]) {
    let line = shape.check(dout, dx);
    let moved = shape.columns.min(shape.width) * shape.channels;
    for_chunks(dx, line, |i, dx| {
        let (image, row) = (i / shape.height, i % shape.height + shape.rows);
        if row >= shape.height {
            return dx.fill(0.0);
        }
        let from = (image * shape.height + row) * line;
        dx[..line - moved].copy_from_slice(&dout[from + moved..from + line]);
        dx[line - moved..].fill(0.0);
    });
}

impl Shift {
    /// Numbers in a row of pixels.
    #[track_caller]
    fn check(&self, from: &[f32], to: &[f32]) -> usize {
        let line = product(&[self.width, self.channels]);
        let length = product(&[self.batch, self.height, line]);
        expect_len("images", from.len(), length);
        expect_len("moved images", to.len(), length);
        line
    }
}
