//! Bilinear upsampling to twice the sides, corners on corners, and its gradient.
//!
//! The pixel `i` of `2n` lies at `i (n - 1) / (2n - 1)` among the `n` that there are.

use super::{expect_len, for_chunks};
use crate::sizes::product;

/// The images that are upsampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bilinear {
    /// Images.
    pub batch: usize,
    /// Rows of pixels of the input.
    pub height: usize,
    /// Pixels in a row of the input.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

/// What a pixel is made of: two neighbours (perhaps the same one) and the share of the second.
#[derive(Clone, Copy)]
struct Between {
    first: usize,
    second: usize,
    share: f32,
}

/// The pixels of a line of twice `n`.
fn line(n: usize) -> Vec<Between> {
    let step = (n as f64 - 1.0) / (2.0 * n as f64 - 1.0);
    let between = |i: usize| {
        let place = i as f64 * step;
        let first = (place as usize).min(n - 1);
        Between {
            first,
            second: (first + 1).min(n - 1),
            share: (place - first as f64) as f32,
        }
    };
    (0..2 * n).map(between).collect()
}

/// For each pixel of a line of `n`, the pixels of the line of twice as many that it is in, and its shares.
fn shares(n: usize) -> Vec<Vec<(usize, f32)>> {
    let mut shares = vec![Vec::new(); n];
    for (i, between) in line(n).iter().enumerate() {
        shares[between.first].push((i, 1.0 - between.share));
        shares[between.second].push((i, between.share));
    }
    shares
}

impl Bilinear {
    /// Numbers of the input.
    pub fn input_len(&self) -> usize {
        product(&[self.batch, self.height, self.width, self.channels])
    }

    /// Numbers of the output, `[batch, 2 height, 2 width, channels]`.
    pub fn output_len(&self) -> usize {
        product(&[4, self.input_len()])
    }
}

/// Computes the output, `[batch, 2 height, 2 width, channels]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn upsample_bilinear(shape: &Bilinear, x: &[f32], out: &mut [f32]) {
    expect_len("input", x.len(), shape.input_len());
    expect_len("result", out.len(), shape.output_len());
    if x.is_empty() {
        return;
    }
    let c = shape.channels;
    let row = shape.width * c;
    let (rows, columns) = (line(shape.height), line(shape.width));
    for_chunks(out, 2 * row, |i, out| {
        let (image, y) = (i / rows.len(), rows[i % rows.len()]);
        let image = &x[image * shape.height * row..][..shape.height * row];
        let lines = [y.first, y.second].map(|y| &image[y * row..][..row]);
        for (out, x) in out.chunks_exact_mut(c).zip(&columns) {
            let [above, below] = lines.map(|line| [x.first, x.second].map(|x| &line[x * c..][..c]));
            for (i, out) in out.iter_mut().enumerate() {
                let [above, below] = [above, below].map(|[a, b]| a[i] + x.share * (b[i] - a[i]));
                *out = above + y.share * (below - above);
            }
        }
    });
}

/// The gradient with respect to the input.
///
/// # Panics
/// If the lengths do not agree.
pub fn upsample_bilinear_backward(shape: &Bilinear, dout: &[f32], dx: &mut [f32]) {
    expect_len("gradient", dout.len(), shape.output_len());
    expect_len("result", dx.len(), shape.input_len());
    if dx.is_empty() {
        return;
    }
    let c = shape.channels;
    let row = 2 * shape.width * c;
    let (rows, columns) = (shares(shape.height), shares(shape.width));
    for_chunks(dx, shape.width * c, |i, dx| {
        let (image, y) = (i / shape.height, i % shape.height);
        let image = &dout[image * 2 * shape.height * row..][..2 * shape.height * row];
        dx.fill(0.0);
        for &(line, share) in &rows[y] {
            let line = &image[line * row..][..row];
            for (dx, x) in dx.chunks_exact_mut(c).zip(&columns) {
                for &(column, part) in x {
                    let factor = share * part;
                    let from = &line[column * c..][..c];
                    dx.iter_mut()
                        .zip(from)
                        .for_each(|(dx, d)| *dx += factor * d);
                }
            }
        }
    });
}
