use burn::tensor::Tensor;
pub use composed::*;
pub type BottleneckWeights = [(Tensor<4>, Tensor<1>); 4];
pub(super) mod composed {
    use super::*;
    use burn::tensor::activation::gelu;

    use crate::ops::composed::conv;

    /// [`super::bottleneck`] of Burn's operations.
    pub fn bottleneck(
        x: Tensor<4>,
        activation: Option<Tensor<4>>,
        weights: BottleneckWeights,
        residual: bool,
    ) -> Tensor<4> {
        let h = match activation {
            Some(activation) => Tensor::cat(vec![x.clone(), activation], 3),
            None => x.clone(),
        };
        let h = weights.into_iter().fold(h, |h, (weight, bias)| conv(gelu(h), weight, bias));
        if residual { x + h } else { h }
    }
}
