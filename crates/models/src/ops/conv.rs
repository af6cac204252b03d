//! Convolutions, stride 1, "same" padding, with bias.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use vdvae_kernels::conv::Conv;

use super::activation::Before;
use super::fused::{CpuOperation, apply, is_cpu};

/// Convolution of `x` [B, H, W, C_in] with `weight` [k, k, C_in, C_out] (k = 1 or 3) and `bias` `[C_out]`;
/// returns [B, H, W, C_out].
pub fn conv(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::conv(x, weight, bias);
    }
    convolution(x, weight, bias, false)
}

/// [`conv`] of the elu of `x`, which is not kept for the backward pass but computed again.
pub fn conv_of_elu(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::conv_of_elu(x, weight, bias);
    }
    convolution(x, weight, bias, true)
}

fn convolution(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, elu: bool) -> Tensor<4> {
    let [batch, height, width, c_in] = x.dims();
    let [kernel, _, _, c_out] = weight.dims();
    let shape = Conv {
        batch,
        height,
        width,
        c_in,
        c_out,
        kernel,
    };
    let [weight, bias] = [weight.into_dispatch(), bias.into_dispatch()];
    apply(
        Convolution { shape, elu },
        [x.into_dispatch(), weight, bias],
    )
}

#[derive(Clone, Debug)]
pub(super) struct Convolution {
    pub shape: Conv,
    /// Whether the elu of the input is convolved.
    pub elu: bool,
}

impl CpuOperation<3> for Convolution {
    type Saved = ();

    fn name(&self) -> String {
        format!("conv {0}x{0}", self.shape.kernel)
    }

    fn operations(&self) -> usize {
        self.shape.operations()
    }

    fn output_shape(&self) -> Vec<usize> {
        let shape = &self.shape;
        vec![shape.batch, shape.height, shape.width, shape.c_out]
    }

    fn forward(&self, [x, weight, bias]: [&[f32]; 3], saved: Option<&mut Option<()>>) -> Vec<f32> {
        let mut y = vec![0.0; self.shape.pixels() * self.shape.c_out];
        let x = Before { x, elu: self.elu }.activated();
        vdvae_kernels::conv::forward(&self.shape, &x, weight, bias, &mut y);
        saved.map(|saved| saved.insert(()));
        y
    }

    fn backward(
        &self,
        [x, weight, _]: [&[f32]; 3],
        _: &(),
        gradient: &[f32],
        wanted: [bool; 3],
        _: &mut [Option<FlexTensor>; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let mut dx = wanted[0].then(|| vec![0.0; x.len()]);
        let mut dweight = vec![0.0; weight.len()];
        let mut dbias = vec![0.0; self.shape.c_out];
        let before = Before { x, elu: self.elu };
        vdvae_kernels::conv::backward(
            &self.shape,
            &before.activated(),
            weight,
            gradient,
            dx.as_deref_mut(),
            &mut dweight,
            &mut dbias,
        );
        [dx.map(|dx| before.gradient(dx)), Some(dweight), Some(dbias)]
    }
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
