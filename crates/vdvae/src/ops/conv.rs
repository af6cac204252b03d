use burn::tensor::Tensor;
pub use composed::*;
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
