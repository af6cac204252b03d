//! Every range of a configuration.

use std::fmt::Display;

use vdvae_models::Plan;

use super::{Config, ConfigError, DataConfig, LrDecay, Problem, TrainConfig, keys};

/// More images at once, or micro-batches in an update, than any machine has a use for.
pub const MAX_BATCH: usize = 65_536;

impl Config {
    /// Checks every range, then that `[model]` describes a possible model: returns what follows from it.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every value outside its range, else [`ConfigError::Model`] with the
    /// first fault of the model.
    pub fn plan(&self) -> Result<Box<dyn Plan>, ConfigError> {
        let mut problems = Problems::default();
        check_data(&self.data, &mut problems);
        check_train(&self.train, &mut problems);
        check_whole_numbers(self, &mut problems);
        if !problems.0.is_empty() {
            return Err(ConfigError::Invalid(problems.0));
        }
        let plan = self.model.plan()?;
        if let Some(problem) = self.data.classes.problem(plan.classes()) {
            return Err(ConfigError::Invalid(vec![problem]));
        }
        if self.data.shift.is_some() && !plan.is_normalised() {
            let mut problems = Problems::default();
            let expected = "none: models of this family read images as they are";
            problems.require("data.shift", false, expected, "a number");
            return Err(ConfigError::Invalid(problems.0));
        }
        Ok(plan)
    }

    /// Whether [`plan`](Self::plan) has nothing to say against it.
    ///
    /// # Errors
    /// As there.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.plan().map(drop)
    }
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn require(&mut self, field: &str, ok: bool, expected: &str, found: impl Display) {
        if !ok {
            self.0.push(Problem {
                field: field.to_owned(),
                expected: expected.to_owned(),
                found: found.to_string(),
            });
        }
    }
}

/// TOML's whole numbers have 64 bits and a sign: what is above could be written and not be read again.
fn check_whole_numbers(config: &Config, problems: &mut Problems) {
    let expected = format!("{} or less, the largest number that TOML has", i64::MAX);
    for (key, literal) in keys::literals(config) {
        let is_above = literal
            .parse::<u64>()
            .is_ok_and(|number| i64::try_from(number).is_err());
        problems.require(&key, !is_above, &expected, literal);
    }
}

fn check_data(data: &DataConfig, problems: &mut Problems) {
    let source = data.source.trim();
    let expected = "a source such as photos or folder:DIR";
    problems.require(
        "data.source",
        !source.is_empty(),
        expected,
        "an empty string",
    );
    match (data.shift, data.scale) {
        (None, None) => {}
        (Some(shift), Some(scale)) => {
            problems.require("data.shift", shift.is_finite(), "a finite number", shift);
            let ok = scale.is_finite() && scale > 0.0;
            problems.require("data.scale", ok, "a finite number above 0", scale);
        }
        (Some(_), None) => problems.require("data.scale", false, TOGETHER, "only shift"),
        (None, Some(_)) => problems.require("data.shift", false, TOGETHER, "only scale"),
    }
}

const TOGETHER: &str = "both shift and scale, or neither (then they come from the training set)";

fn check_train(train: &TrainConfig, problems: &mut Problems) {
    let positive = |x: f64| x.is_finite() && x > 0.0;
    let share = |x: f64| (0.0..1.0).contains(&x);
    let below_1 = "a number from 0 to below 1";
    let mut at_least_1 =
        |field, found: u64| problems.require(field, found >= 1, "1 or more", found);
    at_least_1("train.n_batch", train.n_batch as u64);
    at_least_1("train.accumulate", train.accumulate as u64);
    at_least_1("train.steps", train.steps);
    at_least_1("train.log_every", train.log_every);
    at_least_1("train.lr_every", train.lr_every);
    let most = format!("{MAX_BATCH} or less");
    for (field, found) in [
        ("train.n_batch", train.n_batch),
        ("train.accumulate", train.accumulate),
    ] {
        problems.require(field, found <= MAX_BATCH, &most, found);
    }
    let mut number = |field, ok, expected, found: f64| problems.require(field, ok, expected, found);
    number(
        "train.lr",
        positive(train.lr),
        "a finite number above 0",
        train.lr,
    );
    let (ok, expected) = match train.lr_decay {
        LrDecay::Exponential => (
            train.lr_rate > 0.0 && train.lr_rate < 1.0,
            "with lr_decay exponential a number above 0 and below 1",
        ),
        _ => (
            train.lr_rate == 1.0,
            "1 (or left out): only lr_decay exponential reads it",
        ),
    };
    number("train.lr_rate", ok, expected, train.lr_rate);
    let lr_final = train.lr_final;
    let ok = (0.0..=1.0).contains(&lr_final);
    number(
        "train.lr_final",
        ok,
        "a fraction of lr from 0 to 1",
        lr_final,
    );
    let ok = train.wd.is_finite() && train.wd >= 0.0;
    number("train.wd", ok, "a finite number, 0 or more", train.wd);
    let (beta1, beta2) = (train.adam_beta1, train.adam_beta2);
    number("train.adam_beta1", share(beta1), below_1, beta1);
    number("train.adam_beta2", share(beta2), below_1, beta2);
    let eps = train.adam_eps;
    number(
        "train.adam_eps",
        positive(eps),
        "a finite number above 0",
        eps,
    );
    number(
        "train.ema_rate",
        share(train.ema_rate),
        below_1,
        train.ema_rate,
    );
    let clip = train.grad_clip;
    number(
        "train.grad_clip",
        clip > 0.0,
        "a number above 0 (inf: no clipping)",
        clip,
    );
    let skip = train.skip_threshold;
    let ok = skip == -1.0 || skip > 0.0;
    number(
        "train.skip_threshold",
        ok,
        "a number above 0, or -1 (no limit)",
        skip,
    );
}
