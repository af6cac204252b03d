//! One training step: forward, backward, skip rule, update.

use burn::tensor::{Gradients, Tensor};

use super::schedule::learning_rate;
use super::state::{TrainState, flat};
use crate::config::{ADAM_EPS, TrainConfig};
use crate::likelihood::values;
use crate::models::{Elbo, Model, PosteriorLatents};
use crate::ops::{self, AdamW, Moments};
use crate::parameters::{self, MapParameter, VisitParameter};
use crate::preprocess::Prepared;
use crate::random::Keys;

/// What a step reports. Losses are means over the step's images, in nats per dimension.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Negative log-likelihood given the latents.
    pub distortion: f64,
    /// KL divergence of the posterior from the prior.
    pub rate: f64,
    /// Euclidean norm of the gradient of the mean loss over all parameters, before clipping.
    pub gradient_norm: f64,
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// Whether the update was taken.
    pub updated: bool,
}

impl StepReport {
    /// distortion + rate.
    pub fn elbo(&self) -> f64 {
        self.distortion + self.rate
    }
}

/// Takes one step on the mean loss of `micro_batches`, whose gradients are averaged; they must be of
/// equal size.
///
/// The update is taken only if no loss is NaN and the norm of the gradient before clipping is below the
/// threshold; no threshold lets a norm pass that is no finite number. The schedule advances all the same (reference: section "training step").
pub fn train_step<M: Model>(
    state: TrainState<M>,
    config: &TrainConfig,
    micro_batches: impl ExactSizeIterator<Item = (Prepared, Keys)> + Send,
) -> (TrainState<M>, StepReport) {
    let device = state.moments.first().map(|moments| moments.first.device());
    match device {
        Some(device) => ops::awake(&device, || step(state, config, micro_batches)),
        None => step(state, config, micro_batches),
    }
}

fn step<M: Model>(
    mut state: TrainState<M>,
    config: &TrainConfig,
    micro_batches: impl ExactSizeIterator<Item = (Prepared, Keys)>,
) -> (TrainState<M>, StepReport) {
    let share = 1.0 / micro_batches.len() as f64;
    let mut gradient: Option<Vec<Tensor<1>>> = None;
    let (mut distortion, mut rate) = (0.0, 0.0);
    for (batch, keys) in micro_batches {
        let elbo = state.model.elbo(batch, PosteriorLatents::Drawn(keys));
        distortion += share * mean(elbo.distortion.clone());
        rate += share * mean(elbo.rate());
        let gradients = backward(&state.model, elbo, share);
        gradient = Some(match gradient {
            None => gradients,
            Some(sum) => sum.into_iter().zip(gradients).map(|(a, b)| a + b).collect(),
        });
    }
    let gradient = gradient.expect("a step has at least one micro-batch");
    let squares: f64 = gradient
        .iter()
        .map(|tensor| ops::sum_of_squares(tensor.clone()))
        .sum();
    let gradient_norm = squares.sqrt();
    let learning_rate = learning_rate(config, state.step);
    let limit = if config.skip_threshold < 0.0 {
        f64::INFINITY
    } else {
        config.skip_threshold
    };
    let updated = distortion.is_finite() && rate.is_finite() && gradient_norm < limit;
    if updated {
        state.updates += 1;
        let rule = AdamW {
            learning_rate,
            beta1: config.adam_beta1,
            beta2: config.adam_beta2,
            epsilon: ADAM_EPS,
            weight_decay: config.wd,
            step: u32::try_from(state.updates).unwrap_or(u32::MAX),
            grad_scale: (config.grad_clip / (gradient_norm + 1e-6)).min(1.0),
            ema_rate: config.ema_rate,
        };
        state = update(state, &rule, gradient);
    }
    state.step += 1;
    (
        state,
        StepReport {
            distortion,
            rate,
            gradient_norm,
            learning_rate,
            updated,
        },
    )
}

fn mean(per_image: Tensor<1>) -> f64 {
    let values = values(per_image);
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64
}

/// The gradient of `share` times the mean loss for each parameter, flattened; the graph is gone
/// afterwards.
fn backward<M: Model>(model: &M, elbo: Elbo, share: f64) -> Vec<Tensor<1>> {
    struct Collect<'a>(Gradients, &'a mut Vec<Tensor<1>>);
    impl VisitParameter for Collect<'_> {
        fn visit<const D: usize>(&mut self, _: &str, tensor: Tensor<D>) {
            let gradient = tensor.grad_remove(&mut self.0);
            // A parameter that no loss depends on, such as those of unused encoder outputs.
            let gradient = gradient.unwrap_or_else(|| Tensor::zeros_like(&tensor.inner()));
            self.1.push(flat(gradient));
        }
    }
    let gradients = (elbo.total().mean() * share).backward();
    drop(elbo);
    let mut all = Vec::new();
    parameters::for_each(model, Collect(gradients, &mut all));
    all
}

/// Moves the model through the update, so that each tensor has one owner and changes in place.
fn update<M: Model>(
    mut state: TrainState<M>,
    rule: &AdamW,
    gradient: Vec<Tensor<1>>,
) -> TrainState<M> {
    struct Update<'a, G, I> {
        rule: &'a AdamW,
        gradient: G,
        moments: I,
    }
    impl<'a, G, I> MapParameter for Update<'a, G, I>
    where
        G: Iterator<Item = Tensor<1>>,
        I: Iterator<Item = &'a mut Moments>,
    {
        fn map<const D: usize>(&mut self, _: &str, tensor: Tensor<D>) -> Tensor<D> {
            let dims = tensor.dims();
            let moments = self.moments.next().expect("moments for every parameter");
            let gradient = self
                .gradient
                .next()
                .expect("a gradient for every parameter");
            let weights = ops::adamw(self.rule, flat(tensor.inner()), gradient, moments);
            Tensor::from_inner(weights.reshape(dims)).require_grad()
        }
    }
    let moments = state.moments.iter_mut();
    let mut update = Update {
        rule,
        gradient: gradient.into_iter(),
        moments,
    };
    state.model = parameters::map(state.model, &mut update);
    state
}
