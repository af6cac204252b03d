//! Binary images: one Bernoulli per value.

use burn::tensor::Tensor;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::ops::sum_per_image;

/// Negative log-likelihood in nats per image, `[B]`, of `target` [B, S, S, C] (0 or 1) under `logits`
/// of the same shape.
pub fn negative_log_likelihood(logits: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    // ln(1 + exp(l)) - t l, without overflow
    let softplus = logits.clone().clamp_min(0.0) + logits.clone().abs().neg().exp().log1p();
    sum_per_image(softplus - target * logits)
}

/// Draws 0 or 255 with the probability of `logit`.
pub fn sample(logit: f32, generator: &mut ChaCha8Rng) -> u8 {
    let probability = 1.0 / (1.0 + (-logit).exp());
    if generator.random::<f32>() < probability {
        255
    } else {
        0
    }
}
