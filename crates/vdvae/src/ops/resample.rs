//! Between resolutions: average pooling on the way up, nearest upsampling on the way down.

use burn::tensor::Tensor;

pub use composed::{average_pool, upsample_add};

pub(super) mod composed {
    use super::*;

    /// Averages over cells of `rate` x `rate` pixels and pads with zero channels up to `channels`:
    /// [B, H, W, C] to [B, H / rate, W / rate, channels].
    pub fn average_pool(x: Tensor<4>, rate: usize, channels: usize) -> Tensor<4> {
        let [batch, height, width, c] = x.dims();
        let x = if rate == 1 {
            x
        } else {
            x.reshape([batch, height / rate, rate, width / rate, rate, c])
                .mean_dim(4)
                .mean_dim(2)
                .reshape([batch, height / rate, width / rate, c])
        };
        if channels == c {
            return x;
        }
        let zeros = Tensor::zeros([batch, height / rate, width / rate, channels - c], &x.device());
        Tensor::cat(vec![x, zeros], 3)
    }

    /// `x` [B or 1, R, R, C] plus the first C channels of `lower` [B, M, M, >= C], each pixel repeated
    /// over a cell of R / M x R / M; returns [B, R, R, C].
    pub fn upsample_add(x: Tensor<4>, lower: Tensor<4>) -> Tensor<4> {
        let [_, side, _, channels] = x.dims();
        let [batch, from, _, _] = lower.dims();
        let rate = side / from;
        let lower = lower
            .narrow(3, 0, channels)
            .reshape([batch, from, 1, from, 1, channels])
            .expand([batch, from, rate, from, rate, channels])
            .reshape([batch, side, side, channels]);
        x + lower
    }
}
