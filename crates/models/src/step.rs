//! One training step: forward, backward, skip rule, update.

use std::collections::HashMap;

use burn::tensor::Tensor;

use crate::family::{Loss, Model, Step};
use crate::likelihood::values;
use crate::ops::{self, AdamW};
use crate::parameters::{Ranked, Specs};
use crate::preprocess::Prepared;
use crate::random::Noise;
use crate::state::TrainState;

/// How a step updates the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Steps in all.
    pub steps: u64,
    /// Of this step.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Share of the old average that an update keeps.
    pub ema_rate: f64,
    /// The gradient's norm is scaled down to at most this.
    pub grad_clip: f64,
    /// An update is skipped when the norm before clipping is not below this; -1: no limit.
    pub skip_threshold: f64,
}

/// What a step reports. Losses are means over the step's images, in nats per dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Negative log-likelihood given the latents.
    pub distortion: f64,
    /// KL divergence of the posterior from the prior.
    pub rate: f64,
    /// What else was minimised, by name, as it entered the loss.
    pub terms: Vec<(&'static str, f64)>,
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
pub fn train_step(
    state: TrainState,
    recipe: &Recipe,
    micro_batches: impl ExactSizeIterator<Item = (Prepared, Noise)> + Send,
) -> (TrainState, StepReport) {
    let device = state.moments.values().next();
    match device.map(|moments| moments.first.device()) {
        Some(device) => ops::awake(&device, || step(state, recipe, micro_batches)),
        None => step(state, recipe, micro_batches),
    }
}

fn step(
    mut state: TrainState,
    recipe: &Recipe,
    micro_batches: impl ExactSizeIterator<Item = (Prepared, Noise)>,
) -> (TrainState, StepReport) {
    let share = 1.0 / micro_batches.len() as f64;
    let before = buffers(&*state.model, &state.specs);
    let mut gradient: Option<Vec<Tensor<1>>> = None;
    let (mut distortion, mut rate) = (0.0, 0.0);
    let mut terms: Vec<(&'static str, f64)> = Vec::new();
    for (batch, noise) in micro_batches {
        let step = Step {
            noise,
            number: state.step,
            of: recipe.steps,
        };
        let loss = state.model.loss(batch, &step);
        distortion += share * mean(loss.cost.distortion.clone());
        rate += share * mean(loss.cost.rate());
        terms.resize(loss.terms.len(), ("", 0.0));
        for (sum, (name, term)) in terms.iter_mut().zip(&loss.terms) {
            *sum = (name, sum.1 + share * term);
        }
        let gradients = backward(&*state.model, &state.specs, loss, share);
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
    let limit = if recipe.skip_threshold < 0.0 {
        f64::INFINITY
    } else {
        recipe.skip_threshold
    };
    let updated = distortion.is_finite() && rate.is_finite() && gradient_norm < limit;
    if updated {
        state.updates += 1;
        let rule = AdamW {
            learning_rate: recipe.learning_rate,
            beta1: recipe.beta1,
            beta2: recipe.beta2,
            epsilon: recipe.epsilon,
            weight_decay: recipe.weight_decay,
            step: u32::try_from(state.updates).unwrap_or(u32::MAX),
            grad_scale: (recipe.grad_clip / (gradient_norm + 1e-6)).min(1.0),
            ema_rate: recipe.ema_rate,
        };
        state = update(state, &rule, gradient);
    } else {
        state.model = restored(state.model, before);
    }
    state.step += 1;
    (
        state,
        StepReport {
            distortion,
            rate,
            terms,
            gradient_norm,
            learning_rate: recipe.learning_rate,
            updated,
        },
    )
}

fn mean(per_image: Tensor<1>) -> f64 {
    let values = values(per_image);
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64
}

/// The gradient of `share` times the loss for each weight, flattened; the graph is gone afterwards.
fn backward(model: &dyn Model, specs: &Specs, loss: Loss, share: f64) -> Vec<Tensor<1>> {
    let mut gradients = (loss.total.clone() * share).backward();
    drop(loss);
    let mut all = Vec::new();
    model.visit(&mut |name, tensor| {
        if specs.is_weight(name) {
            all.push(tensor.gradient(&mut gradients));
        }
    });
    all
}

/// What passes of the network change: an update that is not taken takes it back.
fn buffers(model: &dyn Model, specs: &Specs) -> HashMap<String, Ranked> {
    let mut buffers = HashMap::new();
    model.visit(&mut |name, tensor| {
        if !specs.is_weight(name) {
            buffers.insert(name.to_owned(), tensor);
        }
    });
    buffers
}

/// The model with these buffers.
fn restored(model: Box<dyn Model>, before: HashMap<String, Ranked>) -> Box<dyn Model> {
    if before.is_empty() {
        return model;
    }
    model.map(&mut |name, tensor| match before.get(name) {
        Some(buffer) => buffer.clone(),
        None => tensor,
    })
}

/// Moves the model through the update, so that each tensor has one owner and changes in place.
fn update(mut state: TrainState, rule: &AdamW, gradient: Vec<Tensor<1>>) -> TrainState {
    let mut gradient = gradient.into_iter();
    state.model = state.model.map(&mut |name, tensor| {
        let Some(moments) = state.moments.get_mut(name) else {
            return tensor;
        };
        let gradient = gradient.next().expect("a gradient for every weight");
        tensor.changed(true, |weights| ops::adamw(rule, weights, gradient, moments))
    });
    state
}
