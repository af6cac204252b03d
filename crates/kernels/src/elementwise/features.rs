//! The features that a stochastic layer's prior passes on to the state, see
//! [`crate::conv::forward_onto`].

use super::{WORTH_A_THREAD, expect_len};
use crate::blank::Blank;
use crate::parallel::for_ranges;

/// Gradient with respect to the prior `[.., offset + channels]`, whose last channels are its
/// features: 0 in the first `offset` channels, then `dout`.
///
/// # Panics
/// If `dout` is not some times `channels` long.
pub fn add_features_backward(channels: usize, offset: usize, dout: &[f32]) -> Vec<f32> {
    /// Moving a number takes about as long as this many multiplications and additions.
    const OPERATIONS: usize = 250_000 / WORTH_A_THREAD;
    let stride = offset + channels;
    let pixels = dout.len().checked_div(channels).unwrap_or(0);
    expect_len("gradient", dout.len(), pixels * channels);
    let mut dp = Blank::new(pixels * stride);
    let to = dp.at();
    for_ranges(pixels, 8, OPERATIONS * pixels * stride, |range| {
        for pixel in range {
            let from = &dout[pixel * channels..][..channels];
            // SAFETY: there is room for all pixels, and each is written once.
            unsafe {
                let to = to.after(pixel * stride);
                to.write_bytes(0, offset);
                to.add(offset)
                    .copy_from_nonoverlapping(from.as_ptr(), channels);
            }
        }
    });
    // SAFETY: every pixel was written.
    unsafe { dp.written() }
}
