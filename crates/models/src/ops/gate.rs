//! Gates: one half of the channels decides how much of the other passes.

use burn::tensor::Tensor;

/// What becomes of the halves (a, b) of the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// a sigmoid(b) (PixelCNN++).
    Linear,
    /// tanh(a) sigmoid(b) (van den Oord et al. 2016, equation 2).
    Tanh,
}

/// Of `y` [.., 2C], the gated first half [.., C].
pub fn gate(kind: Gate, y: Tensor<4>) -> Tensor<4> {
    composed::gate(kind, y)
}

/// `x + a sigmoid(b)` of `x` [.., C] and the halves of the channels of `y` [.., 2C]: the end of a gated residual
/// block (PixelCNN++).
pub fn add_gated(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    composed::add_gated(x, y)
}

pub(super) mod composed {
    use super::*;
    use burn::tensor::activation::sigmoid;

    /// [`super::gate`] of Burn's operations.
    pub fn gate(kind: Gate, y: Tensor<4>) -> Tensor<4> {
        let channels = y.dims()[3] / 2;
        let (a, b) = (
            y.clone().narrow(3, 0, channels),
            y.narrow(3, channels, channels),
        );
        match kind {
            Gate::Linear => a * sigmoid(b),
            Gate::Tanh => a.tanh() * sigmoid(b),
        }
    }

    /// [`super::add_gated`] of Burn's operations.
    pub fn add_gated(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
        x + gate(Gate::Linear, y)
    }
}
