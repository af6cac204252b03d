//! Dropout.

use burn::tensor::Tensor;

use crate::random::Noise;

/// `x` [B, H, W, C] without a share `rate` of its numbers, in [0, 1); the others divided by `1 - rate`. Which go is a
/// function of the images' keys and the layer alone; noise that is given holds for layer `layer` 1 for what
/// stays and 0 for what goes.
pub fn dropout(x: Tensor<4>, rate: f32, noise: &Noise, layer: usize) -> Tensor<4> {
    composed::dropout(x, rate, noise, layer)
}

pub(super) mod composed {
    use super::*;

    /// [`super::dropout`] of Burn's operations.
    pub fn dropout(x: Tensor<4>, rate: f32, noise: &Noise, layer: usize) -> Tensor<4> {
        let kept = noise.kept(layer, rate, x.dims()).tensor(&x.device());
        x * kept * (1.0 - rate).recip()
    }
}
