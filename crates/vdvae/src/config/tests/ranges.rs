//! Every range.

use super::*;

/// The message of `validate` after `change`.
fn range_fault(change: impl FnOnce(&mut Config)) -> String {
    let mut config = cifar10();
    change(&mut config);
    config.validate().expect_err("outside a range").to_string()
}

/// TOML has no such number: written to a run's configuration, it could not be read again.
#[test]
fn whole_numbers_that_toml_does_not_have() {
    let fault = range_fault(|c| c.train.seed = u64::MAX);
    assert_eq!(
        fault,
        "train.seed: expected 9223372036854775807 or less, the largest number that TOML has, found 18446744073709551615"
    );
    type Change = fn(&mut Config, u64);
    let keys: [(&str, Change); 8] = [
        ("seed", |c, n| c.train.seed = n),
        ("steps", |c, n| c.train.steps = n),
        ("lr_every", |c, n| c.train.lr_every = n),
        ("warmup_iters", |c, n| c.train.warmup_iters = n),
        ("log_every", |c, n| c.train.log_every = n),
        ("eval_every", |c, n| c.train.eval_every = n),
        ("sample_every", |c, n| c.train.sample_every = n),
        ("save_every", |c, n| c.train.save_every = n),
    ];
    let largest = i64::MAX as u64;
    for (key, change) in keys {
        let fault = range_fault(|c| change(c, largest + 1));
        assert!(
            fault.starts_with(&format!("train.{key}: expected")),
            "{fault}"
        );
        let mut config = cifar10();
        change(&mut config, largest);
        config.validate().expect("the largest");
        assert_eq!(
            Config::from_toml(&config.to_toml(), "x").expect("read"),
            config
        );
    }
}

#[test]
fn values_outside_their_ranges() {
    type Case = (fn(&mut Config), &'static str);
    let cases: [Case; 28] = [
        (
            |c| set_model(c, "bits", 4),
            "model.bits: expected 8 or 5, found 4",
        ),
        (
            |c| c.data.source = " ".into(),
            "data.source: expected a source",
        ),
        (
            |c| c.data.shift = Some(f64::NAN),
            "data.shift: expected a finite number, found NaN",
        ),
        (
            |c| c.data.scale = Some(0.0),
            "data.scale: expected a finite number above 0, found 0",
        ),
        (
            |c| c.data.scale = None,
            "data.scale: expected both shift and scale",
        ),
        (
            |c| c.data.shift = None,
            "data.shift: expected both shift and scale",
        ),
        (
            |c| c.train.n_batch = 0,
            "train.n_batch: expected 1 or more, found 0",
        ),
        (
            |c| c.train.accumulate = 0,
            "train.accumulate: expected 1 or more",
        ),
        (|c| c.train.steps = 0, "train.steps: expected 1 or more"),
        (
            |c| c.train.log_every = 0,
            "train.log_every: expected 1 or more",
        ),
        (
            |c| c.train.lr = -2e-4,
            "train.lr: expected a finite number above 0, found -0.0002",
        ),
        (|c| c.train.lr = 0.0, "train.lr: expected"),
        (
            |c| c.train.lr = f64::INFINITY,
            "train.lr: expected a finite number above 0, found inf",
        ),
        (
            |c| c.train.lr_final = 1.5,
            "train.lr_final: expected a fraction of lr from 0 to 1",
        ),
        (
            |c| c.train.lr_decay = LrDecay::Exponential,
            "train.lr_rate: expected with lr_decay exponential a number above 0 and below 1, found 1",
        ),
        (
            |c| {
                c.train.lr_decay = LrDecay::Exponential;
                c.train.lr_rate = 0.0;
            },
            "train.lr_rate: expected with lr_decay exponential a number above 0",
        ),
        (
            |c| {
                c.train.lr_decay = LrDecay::Exponential;
                c.train.lr_rate = f64::NAN;
            },
            "train.lr_rate: expected with lr_decay exponential a number above 0",
        ),
        (
            |c| c.train.lr_rate = 0.5,
            "train.lr_rate: expected 1 (or left out): only lr_decay exponential reads it, found 0.5",
        ),
        (
            |c| c.train.wd = -0.1,
            "train.wd: expected a finite number, 0 or more",
        ),
        (
            |c| c.train.adam_beta1 = 1.0,
            "train.adam_beta1: expected a number from 0 to below 1",
        ),
        (|c| c.train.adam_beta2 = -0.1, "train.adam_beta2: expected"),
        (
            |c| c.train.ema_rate = 1.0,
            "train.ema_rate: expected a number from 0 to below 1, found 1",
        ),
        (|c| c.train.ema_rate = f64::NAN, "train.ema_rate: expected"),
        (
            |c| c.train.grad_clip = 0.0,
            "train.grad_clip: expected a number above 0",
        ),
        (
            |c| c.train.grad_clip = f64::NAN,
            "train.grad_clip: expected",
        ),
        (
            |c| c.train.skip_threshold = 0.0,
            "train.skip_threshold: expected a number above 0, or -1",
        ),
        (
            |c| c.train.skip_threshold = -2.0,
            "train.skip_threshold: expected",
        ),
        (
            |c| set_model(c, "zdim", 0),
            "model.zdim: expected a whole number from 1",
        ),
    ];
    for (change, says) in cases {
        let message = range_fault(change);
        assert!(message.starts_with(says), "no {says:?} in: {message}");
    }
}

/// As published with PixelCNN++.
#[test]
fn an_exponential_decay_with_adam() {
    let text = format!("{}\n", cifar10().to_toml()).replace(
        "lr_decay = \"none\"",
        "lr_decay = \"exponential\"\nlr_rate = 0.999995\noptimizer = \"adam\"",
    );
    let config = Config::from_toml(&text, "x").expect("a configuration");
    config.validate().expect("possible");
    assert_eq!(config.train.optimizer, Optimizer::Adam);
    assert_eq!(
        (config.train.lr_decay, config.train.lr_rate),
        (LrDecay::Exponential, 0.999_995)
    );
    assert_eq!(
        Config::from_toml(&config.to_toml(), "x").expect("read"),
        config
    );
    assert!(!cifar10().to_toml().contains("lr_rate"));
}

#[test]
fn every_range_is_reported_at_once() {
    let message = range_fault(|config| {
        config.train.lr = -1.0;
        config.train.n_batch = 0;
    });
    assert_eq!(message.lines().count(), 2, "{message}");
}

#[test]
fn binary_images() {
    let gray = |config: &mut Config| {
        set_model(config, "likelihood", "bernoulli");
        set_model(config, "image_channels", 1);
    };
    let mut config = cifar10();
    gray(&mut config);
    config.validate().expect("possible");
    let bits = range_fault(|config| {
        gray(config);
        set_model(config, "bits", 5);
    });
    assert!(bits.starts_with("model.bits: expected 8"), "{bits}");
    let colours = range_fault(|config| set_model(config, "likelihood", "bernoulli"));
    assert_eq!(
        colours,
        "model.image_channels: expected 1 with likelihood bernoulli, found 3"
    );
}

#[test]
fn limits_that_mean_no_limit() {
    let mut config = cifar10();
    config.train.skip_threshold = -1.0;
    config.train.grad_clip = f64::INFINITY;
    config.train.warmup_iters = 0;
    config.validate().expect("possible");
}
