//! The two building blocks: a convolution and the bottleneck of four (reference: section 3, figure 3).

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::architecture;
use crate::ops;

/// Draws initial weights, one tensor after the other in the order of construction.
pub struct Initializer<'a> {
    /// The generator of [`crate::random::Purpose::Weights`].
    pub generator: ChaCha8Rng,
    /// Where the weights live.
    pub device: &'a Device,
}

impl Initializer<'_> {
    /// Uniform in (-bound, bound), times `scale`.
    fn uniform(&mut self, shape: [usize; 4], bound: f32, scale: f32) -> Param<Tensor<4>> {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count)
            .map(|_| scale * bound * (2.0 * self.generator.random::<f32>() - 1.0))
            .collect();
        self.parameter(values, shape)
    }

    /// Every element `value`.
    pub fn constant<const D: usize>(&self, value: f32, shape: [usize; D]) -> Param<Tensor<D>> {
        self.parameter(vec![value; shape.iter().product()], shape)
    }

    fn parameter<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::from_data(
            TensorData::new(values, shape),
            self.device,
        ))
    }
}

/// A convolution with stride 1 and "same" padding.
#[derive(Module, Debug)]
pub struct Conv {
    /// [k, k, C_in, C_out]. Files hold it as [C_out, C_in, k, k], see `TensorSpec::conv`.
    pub weight: Param<Tensor<4>>,
    /// `[C_out]`.
    pub bias: Param<Tensor<1>>,
}

impl Conv {
    /// Kaiming uniform weights with slope sqrt 5, that is uniform in +-1/sqrt(fan in), times `scale`;
    /// biases zero.
    pub fn new(init: &mut Initializer, shape: architecture::Conv, scale: f32) -> Self {
        let architecture::Conv {
            c_in,
            c_out,
            kernel,
            ..
        } = shape;
        let bound = 1.0 / ((c_in * kernel * kernel) as f32).sqrt();
        Self {
            weight: init.uniform([kernel, kernel, c_in, c_out], bound, scale),
            bias: init.constant(0.0, [c_out]),
        }
    }

    /// [B, H, W, C_in] to [B, H, W, C_out].
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = self.parameters();
        ops::conv(x, weight, bias)
    }

    /// Weight and bias.
    pub fn parameters(&self) -> (Tensor<4>, Tensor<1>) {
        (self.weight.val(), self.bias.val())
    }
}

/// gelu, 1x1, gelu, k x k, gelu, k x k, gelu, 1x1.
#[derive(Module, Debug)]
pub struct Bottleneck {
    c1: Conv,
    c2: Conv,
    c3: Conv,
    c4: Conv,
    residual: bool,
    #[module(skip)]
    compute: ops::Compute,
    #[module(skip)]
    kept: ops::KeptWeights,
}

impl Bottleneck {
    /// `last_scale` multiplies the initial weights of the last convolution.
    pub fn new(
        init: &mut Initializer,
        shape: architecture::Bottleneck,
        residual: bool,
        last_scale: f32,
    ) -> Self {
        let [c1, c2, c3, c4] = shape.convs();
        Self {
            c1: Conv::new(init, c1, 1.0),
            c2: Conv::new(init, c2, 1.0),
            c3: Conv::new(init, c3, 1.0),
            c4: Conv::new(init, c4, last_scale),
            residual,
            compute: ops::Compute::default(),
            kept: ops::KeptWeights::default(),
        }
    }

    /// Computes like this from now on.
    pub fn set_compute(&mut self, compute: ops::Compute) {
        self.compute = compute;
    }

    /// [B, R, R, C_in] to [B, R, R, C_out].
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.apply(x, None)
    }

    /// The same on the channels of x followed by those of the encoder's `activation`.
    pub fn forward_with(&self, x: Tensor<4>, activation: Tensor<4>) -> Tensor<4> {
        self.apply(x, Some(activation))
    }

    /// What a stochastic layer with this prior does to the state, and its KL: see [`ops::add_drawn`].
    pub fn add_drawn(
        &self,
        x: Tensor<4>,
        posterior: Option<Tensor<4>>,
        noise: Tensor<4>,
        projection: &Conv,
    ) -> (Tensor<4>, Option<Tensor<1>>) {
        ops::add_drawn(
            x,
            posterior,
            noise,
            self.weights(),
            projection.parameters(),
            self.compute,
            &self.kept,
        )
    }

    fn apply(&self, x: Tensor<4>, activation: Option<Tensor<4>>) -> Tensor<4> {
        let weights = self.weights();
        ops::bottleneck(
            x,
            activation,
            weights,
            self.residual,
            self.compute,
            &self.kept,
        )
    }

    fn weights(&self) -> ops::BottleneckWeights {
        [&self.c1, &self.c2, &self.c3, &self.c4].map(Conv::parameters)
    }
}
