//! What a stochastic layer adds to the state: the prior's features and what the latents say,
//! `x + p[.., offset..] + z`.

use super::{expect_len, for_chunks, rows_per_task};

/// Channels of `p`, after checking all lengths; `channels` is that of `x`.
#[track_caller]
fn prior_channels(channels: usize, offset: usize, x: usize, p: usize) -> usize {
    let pixels = x.checked_div(channels).unwrap_or(0);
    expect_len("x", x, pixels * channels);
    expect_len("p", p, pixels * (offset + channels));
    offset + channels
}

/// `out = x + p[.., offset..] + z`: `x`, `z` and `out` `[.., channels]`, `p`
/// `[.., offset + channels]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn add_features(
    channels: usize,
    offset: usize,
    (x, p, z): (&[f32], &[f32], &[f32]),
    out: &mut [f32],
) {
    let stride = prior_channels(channels, offset, x.len(), p.len());
    expect_len("z", z.len(), x.len());
    expect_len("out", out.len(), x.len());
    let rows = rows_per_task(channels);
    for_chunks(out, rows * channels, |i, out| {
        let x = x[i * rows * channels..].chunks_exact(channels);
        let p = p[i * rows * stride..].chunks_exact(stride);
        let z = z[i * rows * channels..].chunks_exact(channels);
        for ((out, x), (p, z)) in out.chunks_exact_mut(channels).zip(x).zip(p.zip(z)) {
            for ((out, x), (p, z)) in out.iter_mut().zip(x).zip(p[offset..].iter().zip(z)) {
                *out = x + p + z;
            }
        }
    });
}

/// Gradient of [`add_features`] with respect to `p`: 0 in the first `offset` channels, then
/// `dout`. Those with respect to `x` and `z` are `dout` itself.
///
/// # Panics
/// If the lengths do not agree.
pub fn add_features_backward(channels: usize, offset: usize, dout: &[f32], dp: &mut [f32]) {
    let stride = prior_channels(channels, offset, dout.len(), dp.len());
    let rows = rows_per_task(stride);
    for_chunks(dp, rows * stride, |i, dp| {
        let dout = dout[i * rows * channels..].chunks_exact(channels);
        for (dp, dout) in dp.chunks_exact_mut(stride).zip(dout) {
            dp[..offset].fill(0.0);
            dp[offset..].copy_from_slice(dout);
        }
    });
}
