//! Four 1x1 convolutions, each over another pixel of every square of two by two.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use vdvae_kernels::quarters::{Gradients, Quarters, backward_new, forward_new};

use super::fused::{CpuOperation, apply, host_slice, is_cpu};

/// Halves the sides: four 1x1 convolutions of the swish of `x` [B, H, W, C], (weight [1, 1, C, P], bias `[P]`)
/// each; the first of the pixels at even rows and columns, then at odd rows and columns, at odd columns, at odd
/// rows. Returns [B, H / 2, W / 2, 4P] (NVAE, appendix A: the skip of a cell that halves the resolution).
pub fn quarters(x: Tensor<4>, parts: [(Tensor<4>, Tensor<1>); 4]) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::quarters(x, parts);
    }
    let [batch, height, width, c_in] = x.dims();
    let shape = Quarters {
        batch,
        height,
        width,
        c_in,
        part: parts[0].1.dims()[0],
    };
    let [(w0, b0), (w1, b1), (w2, b2), (w3, b3)] = parts;
    let [w0, w1, w2, w3] = [w0, w1, w2, w3].map(Tensor::into_dispatch);
    let [b0, b1, b2, b3] = [b0, b1, b2, b3].map(Tensor::into_dispatch);
    apply(shape, [x.into_dispatch(), w0, w1, w2, w3, b0, b1, b2, b3])
}

impl CpuOperation<9> for Quarters {
    type Saved = ();

    fn name(&self) -> String {
        "quarters".to_owned()
    }

    fn operations(&self) -> usize {
        Quarters::operations(self)
    }

    fn output_shape(&self) -> Vec<usize> {
        vec![self.batch, self.height / 2, self.width / 2, 4 * self.part]
    }

    fn forward(
        &self,
        [x, w0, w1, w2, w3, biases @ ..]: [&[f32]; 9],
        saved: Option<&mut Option<()>>,
    ) -> Vec<f32> {
        saved.map(|saved| saved.insert(()));
        forward_new(self, x, &[w0, w1, w2, w3], &biases)
    }

    fn backward(
        &self,
        [x, w0, w1, w2, w3, ..]: [&[f32]; 9],
        _: &(),
        gradient: &[f32],
        _: [bool; 9],
        earlier: &mut [Option<FlexTensor>; 9],
    ) -> [Option<Vec<f32>>; 9] {
        let other = earlier[0].take();
        let other = other.as_ref().map(host_slice);
        let Gradients { x, weights, biases } =
            backward_new(self, x, &[w0, w1, w2, w3], gradient, other);
        let mut all = std::iter::once(x).chain(weights).chain(biases);
        std::array::from_fn(|_| all.next())
    }
}

pub(super) mod composed {
    use super::*;
    use crate::ops::activation::swish;
    use crate::ops::composed::conv;

    /// [`super::quarters`] of Burn's operations.
    pub fn quarters(x: Tensor<4>, parts: [(Tensor<4>, Tensor<1>); 4]) -> Tensor<4> {
        let x = swish(x);
        let places = [(0, 0), (1, 1), (0, 1), (1, 0)];
        let parts = parts.into_iter().zip(places);
        let parts = parts.map(|((weight, bias), (row, column))| {
            conv(every_second(x.clone(), row, column), weight, bias)
        });
        Tensor::cat(parts.collect(), 3)
    }

    /// Every second pixel of `x` [B, H, W, C], from row `row` and column `column` (0 or 1) on:
    /// [B, H / 2, W / 2, C].
    fn every_second(x: Tensor<4>, row: usize, column: usize) -> Tensor<4> {
        let [batch, height, width, channels] = x.dims();
        x.reshape([batch, height / 2, 2, width / 2, 2 * channels])
            .narrow(2, row, 1)
            .narrow(4, column * channels, channels)
            .reshape([batch, height / 2, width / 2, channels])
    }

    #[cfg(test)]
    mod tests {
        use burn::tensor::{Device, TensorData};

        use super::*;
        use crate::likelihood::values;

        #[test]
        fn every_second_starts_where_it_is_told() {
            let numbers: Vec<f32> = (0..8).map(|i| i as f32).collect();
            let x = Tensor::from_data(TensorData::new(numbers, [1, 2, 4, 1]), &Device::flex());
            for (row, column, expected) in
                [(0, 0, [0.0, 2.0]), (0, 1, [1.0, 3.0]), (1, 1, [5.0, 7.0])]
            {
                assert_eq!(values(every_second(x.clone(), row, column)), expected);
            }
        }
    }
}
