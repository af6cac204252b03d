//! The learning rate of each step.

use vdvae_models::ops::Optimizer;
use vdvae_models::step::Recipe;

use super::{ADAM_EPS, LrDecay, TrainConfig};

impl TrainConfig {
    /// How the step after `step` steps updates the weights.
    pub fn recipe(&self, step: u64) -> Recipe {
        Recipe {
            optimizer: Optimizer::AdamW,
            steps: self.steps,
            learning_rate: learning_rate(self, step),
            weight_decay: self.wd,
            beta1: self.adam_beta1,
            beta2: self.adam_beta2,
            epsilon: ADAM_EPS,
            ema_rate: self.ema_rate,
            grad_clip: self.grad_clip,
            skip_threshold: self.skip_threshold,
        }
    }
}

/// lr x step/warmup during the warm-up (the very first step has rate 0), then lr times the decay.
/// `step` counts from 0 and advances on skipped updates too.
pub fn learning_rate(config: &TrainConfig, step: u64) -> f64 {
    if step < config.warmup_iters {
        return config.lr * step as f64 / config.warmup_iters as f64;
    }
    let span = config.steps.saturating_sub(config.warmup_iters).max(1) as f64;
    let progress = ((step - config.warmup_iters) as f64 / span).min(1.0);
    let remaining = match config.lr_decay {
        LrDecay::None => return config.lr,
        LrDecay::Linear => 1.0 - progress,
        LrDecay::Cosine => 0.5 + 0.5 * (std::f64::consts::PI * progress).cos(),
    };
    config.lr * (config.lr_final + (1.0 - config.lr_final) * remaining)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(lr_decay: LrDecay) -> TrainConfig {
        TrainConfig {
            lr: 1.0,
            warmup_iters: 4,
            steps: 14,
            lr_decay,
            lr_final: 0.1,
            ..Default::default()
        }
    }

    #[test]
    fn warm_up_starts_at_zero_and_is_linear() {
        let rates: Vec<f64> = (0..6)
            .map(|step| learning_rate(&config(LrDecay::None), step))
            .collect();
        assert_eq!(rates, [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]);
    }

    #[test]
    fn decays_reach_their_end() {
        for decay in [LrDecay::Linear, LrDecay::Cosine] {
            assert!((learning_rate(&config(decay), 4) - 1.0).abs() < 1e-12);
            assert!(
                (learning_rate(&config(decay), 9) - 0.55).abs() < 1e-12,
                "half way"
            );
            assert!((learning_rate(&config(decay), 14) - 0.1).abs() < 1e-12);
            assert!(
                (learning_rate(&config(decay), 99) - 0.1).abs() < 1e-12,
                "beyond the last step"
            );
        }
    }

    #[test]
    fn no_warm_up_starts_at_the_full_rate() {
        let config = TrainConfig {
            warmup_iters: 0,
            ..config(LrDecay::None)
        };
        assert_eq!(learning_rate(&config, 0), 1.0);
    }
}
