//! Convolutions of each channel on its own.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use vdvae_kernels::depthwise::{Depthwise, backward_new, forward_new};

use super::activation::Before;
use super::fused::{CpuOperation, apply, is_cpu};

/// Convolution of each channel of the elu of `x` [B, H, W, C] by its own `weight` [k, k, C] (k = 3 or 5), "same"
/// padding, no bias. The elu is not kept for the backward pass but computed again.
pub fn depthwise_conv_of_elu(x: Tensor<4>, weight: Tensor<3>) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::depthwise_conv_of_elu(x, weight);
    }
    let [batch, height, width, channels] = x.dims();
    let shape = Depthwise {
        batch,
        height,
        width,
        channels,
        kernel: weight.dims()[0],
    };
    apply(shape, [x.into_dispatch(), weight.into_dispatch()])
}

impl CpuOperation<2> for Depthwise {
    type Saved = ();

    fn name(&self) -> String {
        format!("depthwise {0}x{0}", self.kernel)
    }

    fn operations(&self) -> usize {
        Depthwise::operations(self)
    }

    fn output_shape(&self) -> Vec<usize> {
        vec![self.batch, self.height, self.width, self.channels]
    }

    fn forward(&self, [x, weight]: [&[f32]; 2], saved: Option<&mut Option<()>>) -> Vec<f32> {
        saved.map(|saved| saved.insert(()));
        forward_new(self, &Before { x, elu: true }.activated(), None, weight)
    }

    fn backward(
        &self,
        [x, weight]: [&[f32]; 2],
        _: &(),
        gradient: &[f32],
        _: [bool; 2],
        _: &mut [Option<FlexTensor>; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let before = Before { x, elu: true };
        let (dx, dweight) = backward_new(self, &before.activated(), None, weight, gradient);
        [Some(before.gradient(dx)), Some(dweight)]
    }
}

pub(super) mod composed {
    use super::*;
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;

    use crate::ops::composed::elu;

    /// [`super::depthwise_conv_of_elu`] of Burn's operations.
    pub fn depthwise_conv_of_elu(x: Tensor<4>, weight: Tensor<3>) -> Tensor<4> {
        depthwise_conv(elu(x), weight)
    }

    /// Convolution of each channel of `x` [B, H, W, C] by its own `weight` [k, k, C], of Burn's operations.
    pub fn depthwise_conv(x: Tensor<4>, weight: Tensor<3>) -> Tensor<4> {
        let [kernel, _, channels] = weight.dims();
        let weight = weight
            .permute([2, 0, 1])
            .reshape([channels, 1, kernel, kernel]);
        let same = kernel / 2;
        let options = ConvOptions::new([1, 1], [same, same], [1, 1], channels);
        conv2d(x.permute([0, 3, 1, 2]), weight, None, options).permute([0, 2, 3, 1])
    }
}
