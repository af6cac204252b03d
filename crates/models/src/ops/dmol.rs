//! The discretized mixture of logistics (PixelCNN++, section 2.1; reference likelihood of VDVAE).

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use rayon::prelude::*;
use vdvae_kernels::elementwise::dmol;
pub use vdvae_kernels::elementwise::dmol::UPPER_EDGE;

use super::fused::{CpuOperation, apply, is_cpu};
use super::profile::{Work, timed};
use super::total::sum_per_image;

/// What a discretized mixture of logistics models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dmol {
    /// Mixture components K.
    pub mixtures: usize,
    /// 3 (RGB, blue and green conditioned on the colours before them) or 1 (grayscale).
    pub channels: usize,
    /// Bits per value, 8 or 5: half a bin is 1/255 or 1/31.
    pub bits: u32,
    /// Values above it count as the largest one, whose bin reaches to infinity: [`UPPER_EDGE`] as a rule.
    pub upper_edge: f32,
}

impl Dmol {
    /// Parameters per pixel: 10 K for RGB (logits, then means, log scales and coefficients per
    /// colour), 3 K for grayscale, which needs no coefficients.
    pub fn parameters(&self) -> usize {
        let per_channel = if self.channels == 3 { 3 } else { 2 };
        self.mixtures * (1 + per_channel * self.channels)
    }

    fn kernel(&self, batch: usize, pixels: usize) -> dmol::DmolShape {
        let &Self {
            mixtures,
            channels,
            bits,
            upper_edge,
        } = self;
        dmol::DmolShape {
            batch,
            pixels,
            mixtures,
            colours: channels,
            bits,
            upper_edge,
        }
    }

    /// Half the number of bins less one, so that values in [-1, 1] are 1 / this apart.
    pub fn half_bins(&self) -> f32 {
        ((1_u32 << self.bits) - 1) as f32 / 2.0
    }
}

/// Negative log-likelihood in nats per image, `[B]`, of `target` [B, S, S, channels] in [-1, 1], a
/// constant, under `parameters` [B, S, S, [`Dmol::parameters`]].
pub fn dmol_nll(shape: &Dmol, parameters: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    if !is_cpu(&parameters.device()) {
        return composed::dmol_nll(shape, parameters, target);
    }
    let [batch, height, width, _] = parameters.dims();
    let operation = shape.kernel(batch, height * width);
    apply(
        operation,
        [parameters.into_dispatch(), target.into_dispatch()],
    )
}

/// Draws values in [-1, 1], [B, S, S, channels], from parameters [B, S, S, P] on the host, given
/// uniform noise in (0, 1): `u_mixture` [B, S, S, K] chooses the component (Gumbel-max), `u_logistic`
/// [B, S, S, channels] the value.
pub fn dmol_sample(
    shape: &Dmol,
    parameters: &[f32],
    u_mixture: &[f32],
    u_logistic: &[f32],
) -> Vec<f32> {
    let mut values = vec![0.0; u_logistic.len()];
    let shape = shape.kernel(1, u_logistic.len() / shape.channels);
    let numbers = parameters.len() + u_mixture.len() + 2 * u_logistic.len();
    timed(
        |_| Work::moving("dmol sample", numbers),
        || dmol::sample(&shape, parameters, u_mixture, u_logistic, &mut values),
    );
    values
}

impl CpuOperation<2> for dmol::DmolShape {
    /// The gradient of each image's own loss.
    type Saved = Vec<f32>;
    const KEEPS_INPUTS: bool = false;

    fn name(&self) -> String {
        "dmol".to_owned()
    }

    fn output_shape(&self) -> Vec<usize> {
        vec![self.batch]
    }

    fn forward(
        &self,
        [parameters, target]: [&[f32]; 2],
        saved: Option<&mut Option<Vec<f32>>>,
    ) -> Vec<f32> {
        let mut nll = vec![0.0; self.batch];
        match saved {
            None => dmol::nll(self, parameters, target, &mut nll),
            Some(saved) => {
                let gradient = saved.insert(vec![0.0; parameters.len()]);
                dmol::nll_with_gradient(self, parameters, target, &mut nll, gradient);
            }
        }
        nll
    }

    fn backward(
        &self,
        _: [&[f32]; 2],
        own: &Vec<f32>,
        gradient: &[f32],
        _: [bool; 2],
        _: &mut [Option<FlexTensor>; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let mut scaled = own.clone();
        let images = scaled.par_chunks_exact_mut(own.len() / self.batch);
        images.zip(gradient).for_each(|(image, factor)| {
            for own in image {
                *own *= factor;
            }
        });
        [Some(scaled), None]
    }
}

pub(super) mod composed {
    use super::*;
    use burn::tensor::activation::{log_softmax, sigmoid};

    /// [`super::dmol_nll`] of Burn's operations.
    pub fn dmol_nll(shape: &Dmol, parameters: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        let [batch, height, width, _] = parameters.dims();
        let (k, colours) = (shape.mixtures, shape.channels);
        let logits = parameters.clone().narrow(3, 0, k); // [B, S, S, K]
        let rest = shape.parameters() - k;
        let rest =
            parameters
                .narrow(3, k, rest)
                .reshape([batch, height, width, colours, rest / colours]);
        let mean = rest.clone().narrow(4, 0, k); //                              [B, S, S, colours, K]
        let log_scale = rest.clone().narrow(4, k, k).clamp_min(-7.0); //         [B, S, S, colours, K]
        let x: Tensor<5> = target.unsqueeze_dim(4); //                           [B, S, S, colours, 1]
        let mean = if colours == 3 {
            conditioned(mean, rest.narrow(4, 2 * k, k).tanh(), &x)
        } else {
            mean
        };

        let half_bin = 0.5 / shape.half_bins();
        let centred = x.clone() - mean;
        let inverse_scale = log_scale.clone().neg().exp();
        let upper = inverse_scale.clone() * (centred.clone() + half_bin);
        let lower = inverse_scale.clone() * (centred.clone() - half_bin);
        let middle = inverse_scale * centred;
        let mass = sigmoid(upper.clone()) - sigmoid(lower.clone());
        let density = middle.clone() - log_scale - softplus(middle) * 2.0 - shape.half_bins().ln();
        let inside =
            density.mask_where(mass.clone().greater_elem(1e-5), mass.clamp_min(1e-12).log());
        let x = x.expand(inside.dims());
        let log_probability = inside
            .mask_where(
                x.clone().greater_elem(shape.upper_edge),
                softplus(lower).neg(),
            )
            .mask_where(x.lower_elem(-UPPER_EDGE), upper.clone() - softplus(upper))
            .sum_dim(3)
            .reshape([batch, height, width, k]);

        let joint = log_probability + log_softmax(logits, 3);
        let peak = joint.clone().detach().max_dim(3);
        let log_likelihood = (joint - peak.clone()).exp().sum_dim(3).log() + peak;
        sum_per_image(log_likelihood).neg()
    }

    /// Shifts the means of G and B by the coefficients times the true values of the earlier colours.
    fn conditioned(mean: Tensor<5>, coefficient: Tensor<5>, x: &Tensor<5>) -> Tensor<5> {
        let colour = |tensor: &Tensor<5>, index| tensor.clone().narrow(3, index, 1);
        let (red, green) = (colour(x, 0), colour(x, 1));
        let mean_green = colour(&mean, 1) + colour(&coefficient, 0) * red.clone();
        let mean_blue =
            colour(&mean, 2) + colour(&coefficient, 1) * red + colour(&coefficient, 2) * green;
        Tensor::cat(vec![colour(&mean, 0), mean_green, mean_blue], 3)
    }

    /// ln(1 + exp(x)), without overflow.
    fn softplus(x: Tensor<5>) -> Tensor<5> {
        x.clone().clamp_min(0.0) + x.abs().neg().exp().log1p()
    }
}
