//! What is done to the input of a convolution: an activation, and dropout after it.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
pub use vdvae_kernels::activation::Activation;
use vdvae_kernels::activation::{self as kernel, activate_backward_new, activate_new};

use super::fused::{CpuOperation, apply, host_slice, is_cpu};
use crate::random::{Kept, Noise};

/// An activation, and what is dropped of it.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    activation: Activation,
    dropout: Option<Dropout<'a>>,
}

/// A share of numbers that are dropped, and what decides which.
#[derive(Clone, Copy, Debug)]
struct Dropout<'a> {
    rate: f32,
    noise: &'a Noise,
    layer: usize,
}

impl From<Activation> for Before<'_> {
    fn from(activation: Activation) -> Self {
        Self {
            activation,
            dropout: None,
        }
    }
}

impl<'a> Before<'a> {
    /// The activation, and then [`dropout`].
    pub fn dropped(activation: Activation, rate: f32, noise: &'a Noise, layer: usize) -> Self {
        let dropout = Dropout { rate, noise, layer };
        Self {
            activation,
            dropout: (rate > 0.0).then_some(dropout),
        }
    }

    /// For inputs [B, H, W, C].
    pub(super) fn of(self, [batch, height, width, channels]: [usize; 4]) -> Applied {
        let activation = self.activation;
        let shape = [batch, height, width, activation.channels(channels)];
        let kept = |Dropout { rate, noise, layer }| {
            let kept = noise.kept(layer, rate, shape);
            (Arc::new(kept), (1.0 - rate).recip())
        };
        Applied {
            activation,
            kept: self.dropout.map(kept),
        }
    }
}

/// The same for the inputs of one operation.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    activation: Activation,
    /// What stays, and what that is multiplied by.
    kept: Option<(Arc<Kept>, f32)>,
}

impl Applied {
    /// As the kernels know it.
    pub fn kernel(&self) -> kernel::Before<'_> {
        let kept = self.kept.as_ref().map(|(kept, factor)| kernel::Kept {
            words: kept.words(),
            factor: *factor,
        });
        kernel::Before {
            activation: self.activation,
            kept,
        }
    }
}

/// The activation of `x` [B, H, W, C]: as many channels, twice as many of [`Activation::ConcatElu`].
pub fn activate(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    if activation == Activation::None {
        return x;
    }
    before(x, activation.into())
}

/// `x` [B, H, W, C] without a share `rate` of its numbers, in [0, 1); the others divided by `1 - rate` (Srivastava
/// et al. 2014). Which go is a function of the images' keys and the layer alone; where noise is given for the layer,
/// those where that is 0. A bit for each number is kept for the backward pass.
pub fn dropout(x: Tensor<4>, rate: f32, noise: &Noise, layer: usize) -> Tensor<4> {
    if rate == 0.0 {
        return x;
    }
    before(x, Before::dropped(Activation::None, rate, noise, layer))
}

fn before(x: Tensor<4>, before: Before) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::before(x, before);
    }
    let shape = x.dims();
    let applied = before.of(shape);
    apply(Operation { shape, applied }, [x.into_dispatch()])
}

#[derive(Clone, Debug)]
struct Operation {
    /// Of the input.
    shape: [usize; 4],
    applied: Applied,
}

impl CpuOperation<1> for Operation {
    type Saved = ();

    fn name(&self) -> String {
        match (self.applied.activation, &self.applied.kept) {
            (activation, None) => format!("{activation:?}"),
            (Activation::None, Some(_)) => "dropout".to_owned(),
            (activation, Some(_)) => format!("{activation:?}, dropout"),
        }
    }

    fn output_shape(&self) -> Vec<usize> {
        let [batch, height, width, channels] = self.shape;
        vec![
            batch,
            height,
            width,
            self.applied.activation.channels(channels),
        ]
    }

    fn forward(&self, [x]: [&[f32]; 1], saved: Option<&mut Option<()>>) -> Vec<f32> {
        saved.map(|saved| saved.insert(()));
        activate_new(self.shape[3], x, self.applied.kernel())
    }

    fn backward(
        &self,
        [x]: [&[f32]; 1],
        _: &(),
        gradient: &[f32],
        _: [bool; 1],
        earlier: &mut [Option<FlexTensor>; 1],
    ) -> [Option<Vec<f32>>; 1] {
        let other = earlier[0].take();
        let other = other.as_ref().map(host_slice);
        let before = self.applied.kernel();
        [Some(activate_backward_new(
            self.shape[3],
            x,
            before,
            gradient,
            other,
        ))]
    }
}

pub(super) mod composed {
    use super::*;
    use burn::tensor::activation::{gelu, relu};

    use crate::ops::activation::swish;
    use crate::ops::composed::elu;

    /// [`super::activate`] of Burn's operations.
    pub fn activate(x: Tensor<4>, activation: Activation) -> Tensor<4> {
        match activation {
            Activation::None => x,
            Activation::Elu => elu(x),
            Activation::ConcatElu => elu(Tensor::cat(vec![x.clone(), x.neg()], 3)),
            Activation::Relu => relu(x),
            Activation::Gelu => gelu(x),
            Activation::Swish => swish(x),
        }
    }

    /// [`super::dropout`] of Burn's operations.
    pub fn dropout(x: Tensor<4>, rate: f32, noise: &Noise, layer: usize) -> Tensor<4> {
        let kept = noise.kept(layer, rate, x.dims()).tensor(&x.device());
        x * kept * (1.0 - rate).recip()
    }

    /// The activation and then the dropout.
    pub(in crate::ops) fn before(x: Tensor<4>, before: Before) -> Tensor<4> {
        let x = activate(x, before.activation);
        match before.dropout {
            Some(Dropout { rate, noise, layer }) => dropout(x, rate, noise, layer),
            None => x,
        }
    }
}
