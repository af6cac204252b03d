//! Convolutions, stride 1, "same" padding, with bias.

use burn::tensor::Tensor;

use super::before::Activation;
use super::fused::is_cpu;
use super::window::{Window, convolve};

/// Convolution of `x` [B, H, W, C_in] with `weight` [k, k, C_in, C_out] (k = 1 or 3) and `bias` `[C_out]`;
/// returns [B, H, W, C_out].
pub fn conv(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::conv(x, weight, bias);
    }
    let window = Window::around(weight.dims()[0]);
    convolve(x, Activation::None, &window, weight, Some(bias))
}

/// [`conv`] of the elu of `x`, which is not kept for the backward pass but computed again.
pub fn conv_of_elu(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::conv_of_elu(x, weight, bias);
    }
    let window = Window::around(weight.dims()[0]);
    convolve(x, Activation::Elu, &window, weight, Some(bias))
}

pub(super) mod composed {
    use super::*;
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;

    use crate::ops::composed::elu;

    /// [`super::conv_of_elu`] of Burn's operations.
    pub fn conv_of_elu(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
        conv(elu(x), weight, bias)
    }

    /// [`super::conv`] of Burn's operations.
    pub fn conv(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
        let [batch, height, width, c_in] = x.dims();
        let [kernel, _, _, c_out] = weight.dims();
        if kernel == 1 {
            let x = x.reshape([batch * height * width, c_in]);
            let y = x.matmul(weight.reshape([c_in, c_out])) + bias.unsqueeze();
            return y.reshape([batch, height, width, c_out]);
        }
        let x = x.permute([0, 3, 1, 2]); //           [B, C_in, H, W]
        let weight = weight.permute([3, 2, 0, 1]); // [C_out, C_in, k, k]
        let same = kernel / 2;
        let options = ConvOptions::new([1, 1], [same, same], [1, 1], 1);
        conv2d(x, weight, Some(bias), options).permute([0, 2, 3, 1])
    }
}
