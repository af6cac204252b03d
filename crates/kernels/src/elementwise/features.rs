//! The features that a stochastic layer's prior passes on to the state, see
//! [`crate::conv::forward_onto`].

use super::{expect_len, for_chunks, rows_per_task};

/// Gradient with respect to the prior `[.., offset + channels]`, whose last channels are its
/// features: 0 in the first `offset` channels, then `dout`.
///
/// # Panics
/// If the lengths do not agree.
pub fn add_features_backward(channels: usize, offset: usize, dout: &[f32], dp: &mut [f32]) {
    let stride = offset + channels;
    let pixels = dout.len().checked_div(channels).unwrap_or(0);
    expect_len("gradient", dout.len(), pixels * channels);
    expect_len("gradient of p", dp.len(), pixels * stride);
    let rows = rows_per_task(stride);
    for_chunks(dp, rows * stride, |i, dp| {
        let dout = dout[i * rows * channels..].chunks_exact(channels);
        for (dp, dout) in dp.chunks_exact_mut(stride).zip(dout) {
            dp[..offset].fill(0.0);
            dp[offset..].copy_from_slice(dout);
        }
    });
}
