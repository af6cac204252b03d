//! Values that are one of a few levels each, with a softmax over them.

use burn::tensor::Tensor;

/// Negative log-likelihood in nats per image, `[B]`, of the levels `target` [B, H, W, C] (whole numbers from 0 on, a
/// constant), under the softmax of `logits` [B, H, W, C * levels], the levels of a colour side by side
/// (PixelCNN, van den Oord et al. 2016).
pub fn categorical_nll(levels: usize, logits: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    composed::categorical_nll(levels, logits, target)
}

pub(super) mod composed {
    use super::*;
    use burn::tensor::activation::log_softmax;

    use crate::ops::sum_per_image;

    /// [`super::categorical_nll`] of Burn's operations.
    pub fn categorical_nll(levels: usize, logits: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        let [batch, height, width, colours] = target.dims();
        let logits: Tensor<5> = logits.reshape([batch, height, width, colours, levels]);
        let target: Tensor<5> = target.unsqueeze_dim(4);
        let own = log_softmax(logits, 4).gather(4, target.int());
        sum_per_image(own).neg()
    }
}
