//! The operations the model is made of, on channels-last tensors [B, H, W, C].
//!
//! On the CPU each is one call into `vdvae-kernels`, those of training with a hand-written backward pass; on
//! every other device it is a composition of Burn's operations. The compositions (`composed`) are also the oracle
//! of the tests.

use burn::tensor::Device;

mod activation;
mod attention;
mod before;
mod bottleneck;
mod categorical;
mod cells;
mod conv;
mod depthwise;
mod dmol;
mod few_rows;
mod fused;
mod gate;
mod inverted;
mod latents;
mod norm;
mod optimizer;
mod precision;
pub mod profile;
mod quarters;
mod resample;
mod residual;
mod shift;
mod spectral;
mod sum;
mod total;
mod window;

pub use activation::{elu, swish};
pub use attention::causal_attention;
pub use before::{Activation, Before, activate, dropout};
pub use bottleneck::{
    BottleneckWeights, Compute, KeptWeights, add_drawn, bottleneck, draws_in_one,
};
pub use categorical::categorical_nll;
pub use cells::{InvertedCell, ResidualCell, SqueezeExcite, inverted_cell, residual_cell};
pub use conv::{conv, conv_of_elu};
pub(crate) use few_rows::product_of_few_rows;

pub use depthwise::depthwise_conv_of_elu;
pub use dmol::{Dmol, UPPER_EDGE, dmol_nll, dmol_sample};
pub use gate::{Gate, add_gated, gate};
pub use latents::{
    SoftClamp, add_latents, draw, draw_with_kl, gaussian_kl, gaussian_kl_per_element,
    gaussian_log_density, gaussian_log_ratio, soft_clamp,
};

pub use precision::Dtype;

pub use norm::{BatchNorm, BatchStatistics, Gain, Mask, batch_norm, weight_norm};
pub use quarters::quarters;
pub use shift::shift;
pub use spectral::{Iterated, spectral_norms};

pub use optimizer::{AdamW, Moments, Optimizer, Rule, adamw, sum_of_squares, update};
pub use resample::{average_pool, upsample_add, upsample_bilinear};
pub use total::sum_per_image;
pub use window::{Padding, Window, convolve, convolve_transposed};

/// Runs `body`, which computes on `device`; on the CPU with all threads awake.
pub fn awake<T: Send>(device: &Device, body: impl FnOnce() -> T + Send) -> T {
    if fused::is_cpu(device) {
        vdvae_kernels::parallel::awake(body)
    } else {
        body()
    }
}

/// The same operations composed of Burn's own, on any device.
pub mod composed {
    pub use super::activation::composed::*;
    pub use super::attention::composed::*;
    pub use super::before::composed::{activate, dropout};
    pub use super::bottleneck::composed::*;
    pub use super::categorical::composed::*;
    pub use super::cells::composed::*;
    pub use super::conv::composed::*;
    pub use super::depthwise::composed::*;
    pub use super::dmol::composed::*;
    pub use super::gate::composed::*;
    pub use super::latents::composed::*;
    pub use super::norm::composed::*;
    pub use super::optimizer::composed::*;
    pub use super::quarters::composed::*;
    pub use super::resample::composed::*;
    pub use super::shift::composed::*;
    pub use super::spectral::composed::*;
    pub use super::window::composed::{convolve, convolve_transposed};
}
