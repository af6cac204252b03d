//! Normalisation: batch norm with what usually follows it, and weights whose norm is learned.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
pub use vdvae_kernels::weight_norm::Gain;
use vdvae_kernels::weight_norm::{self, Direction, DirectionGradient, Normed, NormedGradient};

use super::activation::swish;
use super::fused::{CpuOperation, apply, is_cpu};

/// Added to variances.
pub const BATCH_NORM_EPSILON: f64 = 1e-5;
/// Added to the norms of weights where their logarithms are learned.
const WEIGHT_NORM_EPSILON: f64 = 1e-5;
/// Other norms count as at least this.
const LEAST_NORM: f64 = 1e-6;

/// What a batch normalisation learned and keeps, `[C]` each.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// Scale.
    pub gamma: Tensor<1>,
    /// Offset.
    pub beta: Tensor<1>,
    /// Mean and variance to normalise by; `None`: those of the batch, as in training.
    pub running: Option<[Tensor<1>; 2]>,
}

/// Statistics of a batch for each channel, `[C]`, over pixels and images. Not tracked.
#[derive(Clone, Debug)]
pub struct BatchStatistics {
    /// The mean.
    pub mean: Tensor<1>,
    /// The unbiased variance.
    pub variance: Tensor<1>,
}

/// Normalises each channel of `x` [B, H, W, C] (Ioffe and Szegedy, ICML 2015), then x sigmoid(x) if
/// `with_swish`. The statistics are those of the batch, where it was normalised by them.
pub fn batch_norm(
    x: Tensor<4>,
    norm: &BatchNorm,
    with_swish: bool,
) -> (Tensor<4>, Option<BatchStatistics>) {
    let [batch, height, width, channels] = x.dims();
    let pixels = batch * height * width;
    let rows = x.reshape([pixels, channels]);
    let (mean, variance, statistics) = match &norm.running {
        Some([mean, variance]) => (
            mean.clone().unsqueeze::<2>(),
            variance.clone().unsqueeze::<2>(),
            None,
        ),
        None => {
            let mean = rows.clone().mean_dim(0);
            let centred = rows.clone() - mean.clone();
            let variance = (centred.clone() * centred).mean_dim(0);
            let unbiased = pixels as f64 / (pixels as f64 - 1.0).max(1.0);
            let statistics = BatchStatistics {
                mean: mean.clone().detach().reshape([channels]),
                variance: variance.clone().detach().reshape([channels]) * unbiased,
            };
            (mean, variance, Some(statistics))
        }
    };
    let scale = norm.gamma.clone().unsqueeze::<2>() / (variance + BATCH_NORM_EPSILON).sqrt();
    let normalised = (rows - mean) * scale + norm.beta.clone().unsqueeze::<2>();
    let normalised = normalised.reshape([batch, height, width, channels]);
    let output = if with_swish {
        swish(normalised)
    } else {
        normalised
    };
    (output, statistics)
}

/// 1 where a weight acts and 0 where not, in the order of memory.
pub type Mask = Arc<[f32]>;

/// `v` with learned norms `g` `[C_out]`, taken for each output channel, the last axis (Salimans and Kingma, NeurIPS
/// 2016): g v / |v|, or exp(g) v / (|v| + 1e-5), as `gain` says; of what `mask` leaves of `v`.
pub fn weight_norm<const D: usize>(
    v: Tensor<D>,
    g: Tensor<1>,
    gain: Gain,
    mask: Option<&Mask>,
) -> Tensor<D> {
    if !is_cpu(&v.device()) {
        return composed::weight_norm(v, g, gain, mask);
    }
    let operation = WeightNorm {
        shape: v.dims().to_vec(),
        gain,
        mask: mask.cloned(),
    };
    apply(operation, [v.into_dispatch(), g.into_dispatch()])
}

/// Of weights of this shape.
#[derive(Clone, Debug)]
struct WeightNorm {
    shape: Vec<usize>,
    gain: Gain,
    mask: Option<Mask>,
}

impl WeightNorm {
    fn direction<'a>(&'a self, [v, g]: [&'a [f32]; 2]) -> Direction<'a> {
        let mask = self.mask.as_deref();
        Direction {
            v,
            g,
            gain: self.gain,
            mask,
        }
    }
}

impl CpuOperation<2> for WeightNorm {
    /// The norms.
    type Saved = Vec<f32>;

    fn name(&self) -> String {
        "weight norm".to_owned()
    }

    fn output_shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn forward(&self, inputs: [&[f32]; 2], saved: Option<&mut Option<Vec<f32>>>) -> Vec<f32> {
        let mut normed = weight_norm::forward_new(&[self.direction(inputs)]);
        let Normed { w, norms } = normed.remove(0);
        saved.map(|saved| saved.insert(norms));
        w
    }

    fn backward(
        &self,
        inputs: [&[f32]; 2],
        norms: &Vec<f32>,
        gradient: &[f32],
        _: [bool; 2],
        _: &mut [Option<FlexTensor>; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let normed = Normed {
            norms: norms.clone(),
            ..Normed::default()
        };
        let gradient = NormedGradient {
            dw: gradient,
            spectral: None,
        };
        let direction = self.direction(inputs);
        let mut gradients = weight_norm::backward_new(&[direction], &[normed], &[gradient]);
        let DirectionGradient { v, g } = gradients.remove(0);
        [Some(v), Some(g)]
    }
}

pub(super) mod composed {
    use super::*;

    /// [`super::weight_norm()`] of Burn's operations.
    pub fn weight_norm<const D: usize>(
        v: Tensor<D>,
        g: Tensor<1>,
        gain: Gain,
        mask: Option<&Mask>,
    ) -> Tensor<D> {
        let dims = v.dims();
        let c_out = dims[D - 1];
        let rows = v.shape().num_elements() / c_out;
        let v = match mask {
            Some(mask) => v * Tensor::<1>::from_floats(&mask[..], &g.device()).reshape(dims),
            None => v,
        };
        let v = v.reshape([rows, c_out]);
        let norm = (v.clone() * v.clone()).sum_dim(0).sqrt();
        let factor = match gain {
            Gain::Norm => g.unsqueeze::<2>() / norm.clamp_min(LEAST_NORM),
            Gain::LogNorm => g.exp().unsqueeze::<2>() / (norm + WEIGHT_NORM_EPSILON),
        };
        (v * factor).reshape(dims)
    }
}
