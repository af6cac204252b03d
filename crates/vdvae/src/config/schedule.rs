//! The learning rate of each step.

use vdvae_models::step::Recipe;

use super::{LrDecay, TrainConfig};

impl TrainConfig {
    /// How the step after `step` steps updates the weights.
    pub fn recipe(&self, step: u64) -> Recipe {
        Recipe {
            optimizer: self.optimizer,
            steps: self.steps,
            learning_rate: learning_rate(self, step),
            weight_decay: self.wd,
            beta1: self.adam_beta1,
            beta2: self.adam_beta2,
            epsilon: self.adam_eps,
            ema_rate: self.ema_rate,
            grad_clip: self.grad_clip,
            skip_threshold: self.skip_threshold,
        }
    }
}

/// lr x step/warmup during the warm-up (the very first step has rate 0), then lr times the decay. An exponential
/// one is `lr_rate` to the power of the steps since the warm-up, this one included, whatever the steps in all;
/// the others are complete at the last step, or, if they change every `lr_every` steps, in the last such stretch.
/// `step` counts from 0 and advances on skipped updates too.
pub fn learning_rate(config: &TrainConfig, step: u64) -> f64 {
    if step < config.warmup_iters {
        return config.lr * step as f64 / config.warmup_iters as f64;
    }
    let span = config.steps.saturating_sub(config.warmup_iters).max(1) as f64;
    let since = step - config.warmup_iters;
    let progress = if config.lr_every > 1 {
        let every = config.lr_every as f64;
        let stretches = (span / every).ceil();
        ((since / config.lr_every) as f64 / (stretches - 1.0).max(1.0)).min(1.0)
    } else {
        (since as f64 / span).min(1.0)
    };
    let remaining = match config.lr_decay {
        LrDecay::None => return config.lr,
        LrDecay::Linear => 1.0 - progress,
        LrDecay::Cosine => 0.5 + 0.5 * (std::f64::consts::PI * progress).cos(),
        LrDecay::Exponential => {
            let stretch_start = since - since % config.lr_every.max(1);
            config.lr_rate.powf((stretch_start + 1) as f64)
        }
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

    /// As of a schedule that is stepped once an epoch: 1 + cos(pi i / (epochs - 1)).
    #[test]
    fn a_rate_that_changes_once_an_epoch_ends_in_the_last() {
        let config = TrainConfig {
            lr_every: 2,
            ..config(LrDecay::Cosine)
        };
        let rate = |step| learning_rate(&config, step);
        assert_eq!(
            (rate(4), rate(5)),
            (1.0, 1.0),
            "the first epoch after the warm-up"
        );
        assert_eq!(rate(6), rate(7));
        let second = 0.1 + 0.9 * (0.5 + 0.5 * (std::f64::consts::PI / 4.0).cos());
        assert!((rate(6) - second).abs() < 1e-12);
        assert!((rate(12) - 0.1).abs() < 1e-12 && (rate(13) - 0.1).abs() < 1e-12);
    }

    /// lr x rate^(s + 1) at step s, whether or not more steps follow.
    #[test]
    fn an_exponential_decay_is_before_each_step_and_knows_no_end() {
        let published = TrainConfig {
            lr_rate: 0.5,
            lr_final: 0.0,
            warmup_iters: 0,
            ..config(LrDecay::Exponential)
        };
        let longer = TrainConfig {
            steps: 1000,
            ..published.clone()
        };
        for (step, rate) in [(0, 0.5), (1, 0.25), (3, 0.0625), (20, 0.5_f64.powi(21))] {
            assert_eq!(learning_rate(&published, step), rate);
            assert_eq!(learning_rate(&longer, step), rate);
        }
        let others = TrainConfig {
            lr_every: 2,
            lr_final: 0.1,
            warmup_iters: 4,
            ..published
        };
        let rates = [2, 4, 5, 6].map(|step| learning_rate(&others, step));
        let expected = [0.5, 0.1 + 0.9 * 0.5, 0.1 + 0.9 * 0.5, 0.1 + 0.9 * 0.125];
        for (found, expected) in rates.into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found}, {expected}");
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
