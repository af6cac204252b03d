//! Cells: a residual pair of 3x3 convolutions and an inverted bottleneck, each with batch norm, swish, squeeze
//! and excitation.

use std::sync::{Arc, OnceLock};

use burn::backend::DispatchTensor;
use burn::tensor::{Device, Tensor};
use vdvae_kernels::batch_norm::{Norm, Statistics};
use vdvae_kernels::squeeze::Squeeze;

use super::fused::{host, host_slice, is_cpu, is_plain};
use super::norm::{BatchNorm, BatchStatistics, batch_norm};
use super::{inverted, residual};

/// Weights of a squeeze and excitation (Hu et al., CVPR 2018): means of the channels, a linear map to few, ReLU,
/// a linear map back, a sigmoid, by which the channels are multiplied.
#[derive(Clone, Debug)]
pub struct SqueezeExcite {
    /// [C, S].
    pub squeeze: Tensor<2>,
    /// `[S]`.
    pub squeeze_bias: Tensor<1>,
    /// [S, C].
    pub excite: Tensor<2>,
    /// `[C]`.
    pub excite_bias: Tensor<1>,
}

/// Weights of [`residual_cell`].
#[derive(Clone, Debug)]
pub struct ResidualCell {
    /// Before each convolution.
    pub norms: [BatchNorm; 2],
    /// Weight [3, 3, C_in, C_out] and bias `[C_out]` of each.
    pub convolutions: [(Tensor<4>, Tensor<1>); 2],
    /// At the end.
    pub squeeze_excite: Option<SqueezeExcite>,
    /// Of the first convolution: 1 or 2.
    pub stride: usize,
}

/// Weights of [`inverted_cell`].
#[derive(Clone, Debug)]
pub struct InvertedCell {
    /// Of the input, the expansion, the depthwise convolution and the projection.
    pub norms: [BatchNorm; 4],
    /// [1, 1, C_in, E].
    pub expand: Tensor<4>,
    /// [k, k, E].
    pub depthwise: Tensor<3>,
    /// [1, 1, E, C_out].
    pub project: Tensor<4>,
    /// At the end.
    pub squeeze_excite: Option<SqueezeExcite>,
    /// Whether the input is repeated twice in both directions first.
    pub upsample: bool,
}

/// Factor on what a cell adds to its skip connection (NVAE, appendix A).
pub const CELL_SCALE: f64 = 0.1;

/// `skip + 0.1 se(conv(swish(bn(conv(swish(bn(x)))))))`, and the statistics of the two normalisations where they
/// are those of the batch. `x`: [B, H, W, C_in]; `skip`: [B, H / stride, W / stride, C_out], `x` itself if `None`.
pub fn residual_cell(
    x: Tensor<4>,
    skip: Option<Tensor<4>>,
    cell: &ResidualCell,
) -> (Tensor<4>, Vec<BatchStatistics>) {
    match &cell.squeeze_excite {
        Some(squeeze_excite) if is_fused(&x, &cell.norms) => {
            residual::residual_cell(x, skip, cell, squeeze_excite)
        }
        _ => composed::residual_cell(x, skip, cell),
    }
}

/// `skip + 0.1 se(bn(project(swish(bn(depthwise(swish(bn(expand(bn(x)))))))))`, and the statistics of the four
/// normalisations where they are those of the batch. `x`: [B, H, W, C_in]; `skip`: [B, H', W', C_out], twice as
/// high and wide with `upsample`; `x` itself if `None`.
pub fn inverted_cell(
    x: Tensor<4>,
    skip: Option<Tensor<4>>,
    cell: &InvertedCell,
) -> (Tensor<4>, Vec<BatchStatistics>) {
    match &cell.squeeze_excite {
        Some(squeeze_excite) if is_fused(&x, &cell.norms) => {
            inverted::inverted_cell(x, skip, cell, squeeze_excite)
        }
        _ => composed::inverted_cell(x, skip, cell),
    }
}

/// Whether the kernels have what is asked for: everything on the CPU but gradients by running statistics.
fn is_fused(x: &Tensor<4>, norms: &[BatchNorm]) -> bool {
    let in_training = norms.iter().all(|norm| norm.running.is_none());
    is_cpu(&x.device()) && (in_training || is_plain(x) && is_plain(&norms[0].gamma))
}

/// Biased statistics of a batch that an operation found.
pub(super) type Found<const N: usize> = Arc<OnceLock<[Statistics; N]>>;

/// The unbiased ones of so many pixels, if any were found.
pub(super) fn unbiased<const N: usize>(
    found: &Found<N>,
    pixels: [usize; N],
) -> Vec<BatchStatistics> {
    let tensor = |values: Vec<f32>| Tensor::from_floats(&values[..], &Device::flex());
    let unbiased = |(found, pixels): (&Statistics, usize)| {
        let factor = pixels as f64 / (pixels as f64 - 1.0).max(1.0);
        let variance = found
            .variance
            .iter()
            .map(|&v| (f64::from(v) * factor) as f32);
        BatchStatistics {
            mean: tensor(found.mean.clone()),
            variance: tensor(variance.collect()),
        }
    };
    let found = found.get().into_iter().flatten();
    found.zip(pixels).map(unbiased).collect()
}

/// Running statistics, if all are to be normalised by them.
pub(super) fn given<const N: usize>(norms: &[BatchNorm; N]) -> Option<[Statistics; N]> {
    let values = |tensor: &Tensor<1>| host_slice(&host(tensor.clone())).to_vec();
    let given = norms.iter().map(|norm| {
        let [mean, variance] = norm.running.as_ref()?;
        Some(Statistics {
            mean: values(mean),
            variance: values(variance),
        })
    });
    given.collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// Scales and offsets as inputs of an operation.
pub(super) fn norm_inputs<const N: usize>(norms: &[BatchNorm; N]) -> [[DispatchTensor; 2]; N] {
    norms
        .each_ref()
        .map(|norm| [&norm.gamma, &norm.beta].map(|tensor| tensor.clone().into_dispatch()))
}

/// And as the kernels know them.
pub(super) fn norms<const N: usize>(inputs: [[&[f32]; 2]; N]) -> [Norm<'_>; N] {
    inputs.map(|[gamma, beta]| Norm { gamma, beta })
}

/// Weights of a squeeze and excitation as inputs of an operation.
pub(super) fn squeeze_inputs(weights: &SqueezeExcite) -> [DispatchTensor; 4] {
    let SqueezeExcite {
        squeeze,
        squeeze_bias,
        excite,
        excite_bias,
    } = weights.clone();
    [
        squeeze.into_dispatch(),
        squeeze_bias.into_dispatch(),
        excite.into_dispatch(),
        excite_bias.into_dispatch(),
    ]
}

/// And as the kernels know them.
pub(super) fn squeeze([w1, b1, w2, b2]: [&[f32]; 4]) -> Squeeze<'_> {
    Squeeze { w1, b1, w2, b2 }
}

pub(super) mod composed {
    use super::*;
    use burn::tensor::activation::{relu, sigmoid};
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;

    use crate::ops::composed::{conv, depthwise_conv, upsample_nearest};

    /// [`super::residual_cell`] of Burn's operations.
    pub fn residual_cell(
        x: Tensor<4>,
        skip: Option<Tensor<4>>,
        cell: &ResidualCell,
    ) -> (Tensor<4>, Vec<BatchStatistics>) {
        let skip = skip.unwrap_or_else(|| x.clone());
        let [(first, first_bias), (second, second_bias)] = cell.convolutions.clone();
        let (h, before_first) = batch_norm(x, &cell.norms[0], true);
        let h = if cell.stride == 1 {
            conv(h, first, first_bias)
        } else {
            strided_conv(h, first, first_bias, cell.stride)
        };
        let (h, before_second) = batch_norm(h, &cell.norms[1], true);
        let h = conv(h, second, second_bias);
        let statistics = before_first.into_iter().chain(before_second).collect();
        (added(skip, h, cell.squeeze_excite.as_ref()), statistics)
    }

    /// [`super::inverted_cell`] of Burn's operations.
    pub fn inverted_cell(
        x: Tensor<4>,
        skip: Option<Tensor<4>>,
        cell: &InvertedCell,
    ) -> (Tensor<4>, Vec<BatchStatistics>) {
        let skip = skip.unwrap_or_else(|| x.clone());
        let x = if cell.upsample {
            upsample_nearest(x)
        } else {
            x
        };
        let (h, of_input) = batch_norm(x, &cell.norms[0], false);
        let (h, expanded) = batch_norm(pointwise(h, cell.expand.clone()), &cell.norms[1], true);
        let h = depthwise_conv(h, cell.depthwise.clone());
        let (h, filtered) = batch_norm(h, &cell.norms[2], true);
        let (h, projected) = batch_norm(pointwise(h, cell.project.clone()), &cell.norms[3], false);
        let statistics = [of_input, expanded, filtered, projected];
        let statistics = statistics.into_iter().flatten().collect();
        (added(skip, h, cell.squeeze_excite.as_ref()), statistics)
    }

    fn added(skip: Tensor<4>, h: Tensor<4>, weights: Option<&SqueezeExcite>) -> Tensor<4> {
        let h = match weights {
            Some(weights) => squeeze_excite(h, weights),
            None => h,
        };
        skip + h * CELL_SCALE
    }

    /// `x` [B, H, W, C], its channels weighted by what all of the image has in them.
    fn squeeze_excite(x: Tensor<4>, weights: &SqueezeExcite) -> Tensor<4> {
        let [batch, height, width, channels] = x.dims();
        let means = x
            .clone()
            .reshape([batch, height * width, channels])
            .mean_dim(1);
        let hidden = means
            .reshape([batch, channels])
            .matmul(weights.squeeze.clone())
            + weights.squeeze_bias.clone().unsqueeze();
        let gates =
            relu(hidden).matmul(weights.excite.clone()) + weights.excite_bias.clone().unsqueeze();
        x * sigmoid(gates).reshape([batch, 1, 1, channels])
    }

    /// A 1x1 convolution without bias: `x` [B, H, W, C_in], `weight` [1, 1, C_in, C_out].
    fn pointwise(x: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
        let c_out = weight.dims()[3];
        let bias = Tensor::zeros([c_out], &x.device());
        conv(x, weight, bias)
    }

    /// Convolution at every `stride`-th pixel, padded as one at every pixel: `x` [B, H, W, C_in], `weight`
    /// [k, k, C_in, C_out], `bias` `[C_out]`.
    fn strided_conv(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, stride: usize) -> Tensor<4> {
        let same = weight.dims()[0] / 2;
        let weight = weight.permute([3, 2, 0, 1]);
        let options = ConvOptions::new([stride, stride], [same, same], [1, 1], 1);
        conv2d(x.permute([0, 3, 1, 2]), weight, Some(bias), options).permute([0, 2, 3, 1])
    }
}
