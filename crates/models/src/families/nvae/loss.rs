//! What training minimises: warm-up and balancing of the rate (appendix A of the paper).

use burn::tensor::Tensor;

use super::config::NvaeConfig;
use crate::likelihood::values;

/// Added to a group's mean rate, so that one that tells nothing is not left out.
const LEAST_RATE: f64 = 0.01;

/// How the loss changes in the course of training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    anneal: f64,
    constant: f64,
    least: f64,
    lambda: f64,
    first_lambda: f64,
}

impl Schedule {
    /// Of a configuration.
    pub fn new(config: &NvaeConfig) -> Self {
        Self {
            anneal: config.kl_anneal_portion,
            constant: config.kl_const_portion,
            least: config.kl_const_coeff,
            lambda: config.weight_decay_norm,
            first_lambda: config.weight_decay_norm_init,
        }
    }

    /// The weight of the rate after `step` of `steps` steps: rises linearly to 1 over `kl_anneal_portion` of
    /// them, after `kl_const_portion`, and never below `kl_const_coeff`.
    pub fn beta(&self, step: u64, steps: u64) -> f64 {
        let steps = steps as f64;
        let (rise, wait) = (self.anneal * steps, self.constant * steps);
        if rise <= 0.0 {
            return 1.0;
        }
        ((step as f64 - wait) / rise).min(1.0).max(self.least)
    }

    /// The weight of the penalties where the rate has the weight `beta`.
    pub fn lambda(&self, beta: f64) -> f64 {
        if self.first_lambda <= 0.0 {
            return self.lambda;
        }
        let logarithm = beta * self.lambda.ln() + (1.0 - beta) * self.first_lambda.ln();
        logarithm.exp()
    }
}

/// The rate of each image `[B]` as it is minimised, of the groups' `kl` `[B]`, and the weight of each group.
///
/// While `beta` is below 1 a group weighs as much as its mean rate over its `alpha` says against those of
/// all, so that none is given up; that weight is not differentiated.
pub fn balance(kl: &[Tensor<1>], beta: f64, alphas: &[f64]) -> (Tensor<1>, Vec<f64>) {
    let gammas: Vec<f64> = if beta < 1.0 {
        let mean = |kl: &Tensor<1>| {
            let kl = values(kl.clone());
            let sum: f64 = kl.iter().map(|kl| f64::from(kl.abs())).sum();
            sum / kl.len() as f64
        };
        let each = kl.iter().zip(alphas);
        let each: Vec<f64> = each
            .map(|(kl, alpha)| (mean(kl) + LEAST_RATE) / alpha)
            .collect();
        let all = each.iter().sum::<f64>() / each.len() as f64;
        each.into_iter().map(|each| each / all).collect()
    } else {
        vec![1.0; kl.len()]
    };
    let weighted = kl.iter().zip(&gammas);
    let weighted = weighted.map(|(kl, gamma)| kl.clone() * (beta.min(1.0) * gamma));
    let sum = weighted.reduce(|sum, kl| sum + kl);
    (sum.expect("a model has groups"), gammas)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn schedule() -> Schedule {
        Schedule {
            anneal: 0.3,
            constant: 0.1,
            least: 1e-4,
            lambda: 1e-2,
            first_lambda: 1.0,
        }
    }

    #[test]
    fn beta_waits_rises_and_stays() {
        let beta = |step| schedule().beta(step, 1000);
        assert_eq!((beta(0), beta(100)), (1e-4, 1e-4));
        assert!((beta(250) - 0.5).abs() < 1e-12);
        assert_eq!((beta(400), beta(999)), (1.0, 1.0));
        let none = Schedule {
            anneal: 0.0,
            ..schedule()
        };
        assert_eq!(none.beta(0, 1000), 1.0);
    }

    #[test]
    fn lambda_falls_log_linearly() {
        assert!((schedule().lambda(0.0) - 1.0).abs() < 1e-12);
        assert!((schedule().lambda(0.5) - 0.1).abs() < 1e-12);
        assert!((schedule().lambda(1.0) - 0.01).abs() < 1e-12);
        let constant = Schedule {
            first_lambda: 0.0,
            ..schedule()
        };
        assert_eq!(constant.lambda(0.2), 1e-2);
    }

    #[test]
    fn groups_weigh_by_what_they_tell() {
        let kl = |numbers: [f32; 2]| Tensor::<1>::from_floats(numbers, &Device::flex());
        let (balanced, gammas) = balance(&[kl([1.0, 2.98]), kl([0.99, 0.99])], 0.5, &[1.0, 2.0]);
        // Means 1.99 and 0.99, with 0.01 2 and 1, over alpha 2 and 0.5, over their mean 1.25.
        assert!(
            (gammas[0] - 1.6).abs() < 1e-6 && (gammas[1] - 0.4).abs() < 1e-6,
            "{gammas:?}"
        );
        let balanced = values(balanced);
        assert!(
            (balanced[0] - 0.5 * (1.6 + 0.4 * 0.99)).abs() < 1e-6,
            "{balanced:?}"
        );
        let (plain, gammas) = balance(&[kl([1.0, 2.0]), kl([3.0, 4.0])], 1.0, &[1.0, 2.0]);
        assert_eq!((values(plain), gammas), (vec![4.0, 6.0], vec![1.0, 1.0]));
    }
}
