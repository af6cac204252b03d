//! Mixing a lower resolution into the state: nearest upsampling, channel slice and addition.

use super::pool::{PoolShape, sum_cells};
use super::{expect_len, for_chunks};
use crate::sizes::product;

/// Sizes of `out [batch, height, width, channels] = x + upsample(mixed[.., ..channels])`, with
/// `mixed` `[batch, height / factor, width / factor, mixed_channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpsampleShape {
    /// Images.
    pub batch: usize,
    /// Rows of pixels of the result, a multiple of `factor`.
    pub height: usize,
    /// Pixels in a row of the result, a multiple of `factor`.
    pub width: usize,
    /// Channels of the result.
    pub channels: usize,
    /// Channels of `mixed`, `>= channels`; the further ones are not used.
    pub mixed_channels: usize,
    /// Side of the square that one pixel of `mixed` becomes.
    pub factor: usize,
}

impl UpsampleShape {
    /// Numbers in one image of the result.
    pub fn image_len(&self) -> usize {
        product(&[self.height, self.width, self.channels])
    }

    /// Numbers in `mixed`.
    pub fn mixed_len(&self) -> usize {
        self.adjoint().output_len()
    }

    /// Upsampling backwards is a sum over each cell, with zeros for the unused channels.
    fn adjoint(&self) -> PoolShape {
        PoolShape {
            batch: self.batch,
            height: self.height,
            width: self.width,
            c_in: self.channels,
            c_out: self.mixed_channels,
            factor: self.factor,
        }
    }

    #[track_caller]
    fn check(&self) {
        let divides = |side: usize| self.factor > 0 && side.is_multiple_of(self.factor);
        assert!(
            divides(self.height) && divides(self.width) && self.mixed_channels >= self.channels,
            "impossible upsampling: {self:?}"
        );
    }

    /// Whether a state of `len` numbers is one image for the whole batch.
    #[track_caller]
    fn is_broadcast(&self, len: usize) -> bool {
        let broadcast = len == self.image_len();
        if !broadcast {
            expect_len("state", len, product(&[self.batch, self.image_len()]));
        }
        broadcast
    }
}

/// `out = x + upsample(mixed[.., ..channels])`; `x` is `[batch, height, width, channels]`, or
/// `[1, height, width, channels]` for the whole batch (a learned bias).
///
/// # Panics
/// If `factor` does not divide the sides, `mixed_channels < channels`, or the lengths do not
/// agree.
pub fn upsample_add(shape: &UpsampleShape, x: &[f32], mixed: &[f32], out: &mut [f32]) {
    shape.check();
    expect_len("upsampled", mixed.len(), shape.mixed_len());
    expect_len(
        "result",
        out.len(),
        product(&[shape.batch, shape.image_len()]),
    );
    let images = if shape.is_broadcast(x.len()) {
        1
    } else {
        shape.batch
    };
    let (d, c) = (shape.factor, shape.channels);
    let (row, mixed_row) = (shape.width * c, shape.width / d * shape.mixed_channels);
    for_chunks(out, row, |i, out| {
        let x = &x[i % (images * shape.height) * row..][..row];
        let mixed = mixed[i / d * mixed_row..][..mixed_row].chunks_exact(shape.mixed_channels);
        let cells = out.chunks_exact_mut(d * c).zip(x.chunks_exact(d * c));
        for ((out, x), mixed) in cells.zip(mixed) {
            let mixed = &mixed[..c];
            for (out, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                for ((out, x), m) in out.iter_mut().zip(x).zip(mixed) {
                    *out = x + m;
                }
            }
        }
    });
}

/// Gradients of [`upsample_add`]: `dx` is `dout`, or its sum over the batch where `dx` is one
/// image; `dmixed` is the sum over each cell, 0 in the channels that are not used.
///
/// # Panics
/// As [`upsample_add`].
pub fn upsample_add_backward(
    shape: &UpsampleShape,
    dout: &[f32],
    dx: &mut [f32],
    dmixed: &mut [f32],
) {
    shape.check();
    expect_len(
        "gradient",
        dout.len(),
        product(&[shape.batch, shape.image_len()]),
    );
    sum_cells(&shape.adjoint(), 1.0, dout, dmixed);
    if shape.is_broadcast(dx.len()) {
        sum_over_batch(dout, dx);
    } else {
        copy(dout, dx);
    }
}

/// `sum[i]` of all images, in their order; `images` is `[batch, ..]`, `sum` `[1, ..]`.
///
/// # Panics
/// If the length of `images` is not a multiple of that of `sum`.
pub fn sum_over_batch(images: &[f32], sum: &mut [f32]) {
    let len = sum.len();
    assert!(
        images.len().checked_rem(len).unwrap_or(images.len()) == 0,
        "{} numbers are not a batch of images of {len}",
        images.len()
    );
    for_chunks(sum, super::CHUNK, |i, sum| {
        sum.fill(0.0);
        for image in images.chunks_exact(len) {
            let image = &image[i * super::CHUNK..][..sum.len()];
            for (sum, x) in sum.iter_mut().zip(image) {
                *sum += x;
            }
        }
    });
}

/// `to = from`.
fn copy(from: &[f32], to: &mut [f32]) {
    for_chunks(to, super::CHUNK, |i, to| {
        to.copy_from_slice(&from[i * super::CHUNK..][..to.len()]);
    });
}
