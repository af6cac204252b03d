//! One experiment as one value: the model, its data, its training.
//!
//! A [`Config`] comes from an embedded [`preset`], from a TOML file, or from either with single
//! values replaced (`--set train.lr=1e-3`). Reading is strict: a key that does not exist and a value
//! of the wrong type are errors that say where they are and what would be right.
//! [`Config::plan`] then checks every range, and that the model is possible.

mod classes;
mod error;
mod keys;
mod load;
mod overrides;
pub mod preset;
mod schedule;
mod validate;

#[cfg(test)]
mod tests;

pub use classes::Classes;
pub use error::{ConfigError, Problem};
pub use schedule::learning_rate;
pub use validate::MAX_BATCH;

use serde::{Deserialize, Serialize};
use vdvae_models::ops::{Dtype, Optimizer};
use vdvae_models::preprocess::Normalisation;
use vdvae_models::registry::ModelConfig;

/// The constant that AdamW adds to the root of the second moment.
const ADAM_EPS: f64 = 1e-8;

/// A complete experiment, as `configs/*.toml` and a run's `config.toml` hold it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The family, and what its models may be.
    pub model: ModelConfig,
    /// Where the images come from, and how they become the network's input.
    pub data: DataConfig,
    /// The optimisation, and how often it reports.
    #[serde(default)]
    pub train: TrainConfig,
}

/// Where the images come from, and how they become the network's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// `photos`, or `KIND:PATH` such as `folder:DIR`; what `--data` replaces.
    pub source: String,
    /// The input is `(value + shift) * scale` of the 8-bit value, of models that want that; not given: from
    /// the training set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<f64>,
    /// See `shift`; the two are given together or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Whether training images are mirrored left to right at random.
    #[serde(default)]
    pub flip: bool,
    /// The names of the classes of a model that tells classes apart, in the order of its numbers; not given: those
    /// of the images that it is trained on.
    #[serde(default, skip_serializing_if = "no_classes")]
    pub classes: Classes,
}

impl DataConfig {
    /// The normalisation, where it is known.
    pub fn normalisation(&self) -> Option<Normalisation> {
        let (shift, scale) = self.shift.zip(self.scale)?;
        Some(Normalisation { shift, scale })
    }
}

/// The optimisation, and how often it reports. Steps count updates, not micro-batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// What every random choice is a function of, with the step and the item.
    pub seed: u64,
    /// What the bottlenecks multiply in; sums and weights are fp32 either way.
    pub dtype: Dtype,
    /// Images that pass through the model at once.
    pub n_batch: usize,
    /// Micro-batches of `n_batch` images whose gradients make one update.
    pub accumulate: usize,
    /// Updates until training ends; skipped ones count.
    pub steps: u64,
    /// The rule by which weights follow their gradients.
    #[serde(skip_serializing_if = "is_adamw")]
    pub optimizer: Optimizer,
    /// Learning rate after the warm-up.
    pub lr: f64,
    /// How the learning rate falls from the end of the warm-up on.
    pub lr_decay: LrDecay,
    /// What each step of an exponential decay multiplies the learning rate by.
    #[serde(skip_serializing_if = "is_one")]
    pub lr_rate: f64,
    /// Learning rate at the end of the decay, as a fraction of `lr`.
    pub lr_final: f64,
    /// Steps between changes of the decayed learning rate: of one that changes once an epoch.
    #[serde(skip_serializing_if = "is_1")]
    pub lr_every: u64,
    /// Weight decay: decoupled with adamw and adam, added to the gradient with adamax.
    pub wd: f64,
    /// Decay of the first moment.
    pub adam_beta1: f64,
    /// Decay of the second moment.
    pub adam_beta2: f64,
    /// Added to the root of the second moment with adamw, to the gradient's absolute value with adamax, to the
    /// second moment with adam.
    #[serde(skip_serializing_if = "is_adam_eps")]
    pub adam_eps: f64,
    /// Share of the old average that an update keeps in the averaged weights.
    pub ema_rate: f64,
    /// Steps over which the learning rate rises from 0.
    pub warmup_iters: u64,
    /// The gradient's norm is scaled down to at most this.
    pub grad_clip: f64,
    /// An update is skipped when the norm before clipping is not below this; -1: no limit.
    pub skip_threshold: f64,
    /// Steps between lines of the log.
    pub log_every: u64,
    /// Steps between evaluations on the validation split; 0: only at the end.
    pub eval_every: u64,
    /// Steps between sample pictures; 0: only at the end.
    pub sample_every: u64,
    /// Steps between checkpoints; 0: only at the end.
    pub save_every: u64,
}

/// How the learning rate falls from the end of the warm-up on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LrDecay {
    /// It stays, as in the paper.
    #[default]
    None,
    /// Half a cosine, to the last step.
    Cosine,
    /// A straight line, to the last step.
    Linear,
    /// By the same factor with each step, before it is taken (Salimans et al., ICLR 2017, in their code).
    Exponential,
}

// Keys that came later are written only where they say something, so that what is kept with a run of before
// stays as it is.

fn no_classes(classes: &Classes) -> bool {
    classes.is_empty()
}

fn is_adamw(optimizer: &Optimizer) -> bool {
    *optimizer == Optimizer::AdamW
}

fn is_1(steps: &u64) -> bool {
    *steps == 1
}

fn is_one(rate: &f64) -> bool {
    *rate == 1.0
}

fn is_adam_eps(epsilon: &f64) -> bool {
    *epsilon == ADAM_EPS
}

impl Default for TrainConfig {
    /// The paper's values for CIFAR-10, on one worker.
    fn default() -> Self {
        Self {
            seed: 0,
            dtype: Dtype::Fp32,
            n_batch: 16,
            accumulate: 1,
            steps: 100_000,
            optimizer: Optimizer::AdamW,
            lr: 2e-4,
            lr_decay: LrDecay::None,
            lr_rate: 1.0,
            lr_final: 0.0,
            lr_every: 1,
            wd: 0.01,
            adam_beta1: 0.9,
            adam_beta2: 0.9,
            adam_eps: ADAM_EPS,
            ema_rate: 0.999,
            warmup_iters: 100,
            grad_clip: 200.0,
            skip_threshold: 400.0,
            log_every: 100,
            eval_every: 5_000,
            sample_every: 5_000,
            save_every: 1_000,
        }
    }
}

impl Config {
    /// This configuration as TOML that [`Config::from_toml`] reads back to an equal value.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every field of a configuration has a TOML form")
    }

    /// The fields in which `other` differs, each with both values: `train.lr (0.0002, other 0.001)`.
    /// Empty exactly when the two describe the same experiment.
    pub fn difference(&self, other: &Config) -> Vec<String> {
        let (mine, theirs) = (keys::literals(self), keys::literals(other));
        let mut names: Vec<&String> = mine.keys().chain(theirs.keys()).collect();
        names.sort();
        names.dedup();
        let text = |value: Option<&String>| value.map_or("not given", String::as_str).to_owned();
        names
            .into_iter()
            .filter(|name| mine.get(*name) != theirs.get(*name))
            .map(|name| {
                let (a, b) = (text(mine.get(name)), text(theirs.get(name)));
                format!("{name} ({a}, other {b})")
            })
            .collect()
    }
}
