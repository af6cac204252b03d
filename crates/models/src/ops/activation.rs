//! Activations on their own.

use std::borrow::Cow;

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use vdvae_kernels::elementwise::elu as kernel;

use super::fused::{CpuOperation, apply, is_cpu};

/// x sigmoid(x).
pub fn swish<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    sigmoid(x.clone()) * x
}

/// x above 0, else exp(x) - 1.
pub fn elu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !is_cpu(&x.device()) {
        return composed::elu(x);
    }
    apply(Elu(x.dims().to_vec()), [x.into_dispatch()])
}

/// Of a tensor of this shape.
#[derive(Clone, Debug)]
struct Elu(Vec<usize>);

impl CpuOperation<1> for Elu {
    type Saved = ();

    fn name(&self) -> String {
        "elu".to_owned()
    }

    fn output_shape(&self) -> Vec<usize> {
        self.0.clone()
    }

    fn forward(&self, [x]: [&[f32]; 1], saved: Option<&mut Option<()>>) -> Vec<f32> {
        saved.map(|saved| saved.insert(()));
        Before { x, elu: true }.activated().into_owned()
    }

    fn backward(
        &self,
        [x]: [&[f32]; 1],
        _: &(),
        gradient: &[f32],
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<Vec<f32>>; 1] {
        let mut dx = vec![0.0; x.len()];
        kernel::elu_backward(x, gradient, &mut dx);
        [Some(dx)]
    }
}

/// What an operation reads: numbers, or their elu.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    pub x: &'a [f32],
    pub elu: bool,
}

impl<'a> Before<'a> {
    /// What is read.
    pub fn activated(self) -> Cow<'a, [f32]> {
        if !self.elu {
            return Cow::Borrowed(self.x);
        }
        let mut y = vec![0.0; self.x.len()];
        kernel::elu(self.x, &mut y);
        Cow::Owned(y)
    }

    /// The gradient with respect to `x` from the one with respect to what is read.
    pub fn gradient(self, gradient: Vec<f32>) -> Vec<f32> {
        if !self.elu {
            return gradient;
        }
        let mut dx = vec![0.0; gradient.len()];
        kernel::elu_backward(self.x, &gradient, &mut dx);
        dx
    }
}

pub(super) mod composed {
    use super::*;
    /// [`super::elu`] of Burn's operations.
    pub fn elu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
        x.clone().clamp_min(0.0) + (x.clamp_max(0.0).exp() - 1.0)
    }
}
