//! Convolutions, stride 1, "same" padding, with bias.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use vdvae_kernels::conv::Conv;

use super::fused::{CpuOperation, apply, is_cpu};

/// Convolution of `x` [B, H, W, C_in] with `weight` [k, k, C_in, C_out] (k = 1 or 3) and `bias` `[C_out]`;
/// returns [B, H, W, C_out].
pub fn conv(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::conv(x, weight, bias);
    }
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
    apply(
        shape,
        [
            x.into_dispatch(),
            weight.into_dispatch(),
            bias.into_dispatch(),
        ],
    )
}

impl CpuOperation<3> for Conv {
    type Saved = ();

    fn name(&self) -> String {
        format!("conv {0}x{0}", self.kernel)
    }

    fn operations(&self) -> usize {
        Conv::operations(self)
    }

    fn output_shape(&self) -> Vec<usize> {
        vec![self.batch, self.height, self.width, self.c_out]
    }

    fn forward(&self, [x, weight, bias]: [&[f32]; 3], saved: Option<&mut Option<()>>) -> Vec<f32> {
        let mut y = vec![0.0; self.batch * self.height * self.width * self.c_out];
        vdvae_kernels::conv::forward(self, x, weight, bias, &mut y);
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
        let mut dbias = vec![0.0; self.c_out];
        vdvae_kernels::conv::backward(
            self,
            x,
            weight,
            gradient,
            dx.as_deref_mut(),
            &mut dweight,
            &mut dbias,
        );
        [dx, Some(dweight), Some(dbias)]
    }
}

pub(super) mod composed {
    use super::*;
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;

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
