//! Diagonal Gaussians: drawing latents, and what they cost.

use burn::tensor::Tensor;

pub use composed::{add_features, draw, gaussian_kl};

pub(super) mod composed {
    use super::*;

    /// z = mean + exp(log sigma) * eps, where the first Z channels of `gaussian` [B, H, W, >= 2Z] are
    /// the mean, the next Z log sigma, and `eps` is [B, H, W, Z].
    pub fn draw(gaussian: Tensor<4>, eps: Tensor<4>) -> Tensor<4> {
        let zdim = eps.dims()[3];
        let mean = gaussian.clone().narrow(3, 0, zdim);
        let log_sigma = gaussian.narrow(3, zdim, zdim);
        mean + log_sigma.exp() * eps
    }

    /// KL divergence from the prior to the posterior in nats per image, [B]: the sum over pixels and
    /// channels. `posterior` is [B, H, W, 2Z]; `prior` [B, H, W, >= 2Z], the rest being ignored.
    pub fn gaussian_kl(posterior: Tensor<4>, prior: Tensor<4>) -> Tensor<1> {
        let [batch, _, _, channels] = posterior.dims();
        let zdim = channels / 2;
        let (qm, qv) = (posterior.clone().narrow(3, 0, zdim), posterior.narrow(3, zdim, zdim));
        let (pm, pv) = (prior.clone().narrow(3, 0, zdim), prior.narrow(3, zdim, zdim));
        let difference = qm - pm;
        let spread = (qv.clone() * 2.0).exp() + difference.clone() * difference;
        let kl = (pv.clone() - qv).add_scalar(-0.5) + spread * (pv * -2.0).exp() * 0.5;
        kl.reshape([batch as i32, -1]).sum_dim(1).reshape([batch])
    }

    /// `x` [B, H, W, C] plus the last C channels of `prior` [B, H, W, 2Z + C], the features that the
    /// prior passes on.
    pub fn add_features(x: Tensor<4>, prior: Tensor<4>) -> Tensor<4> {
        let channels = x.dims()[3];
        let first = prior.dims()[3] - channels;
        x + prior.narrow(3, first, channels)
    }
}
