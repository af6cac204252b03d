//! `--set KEY=VALUE`, and how two configurations differ.

use proptest::prelude::*;

use super::*;

fn set(overrides: &[&str]) -> Result<Config, String> {
    let mut config = cifar10();
    config
        .apply_overrides(overrides)
        .map_err(|error| error.to_string())?;
    Ok(config)
}

#[track_caller]
fn assert_set_fault(text: &str, parts: &[&str]) {
    let message = set(&[text]).expect_err(text);
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

#[test]
fn overrides_of_every_kind() {
    let config = set(&[
        "train.lr=1e-3",
        "train.wd = 0",
        "train.steps=100_000",
        "data.flip=true",
        "model.likelihood=bernoulli",
        "model.enc_blocks=32x1,32d2",
        "model.dec_blocks=\"16x1\"",
        "model.custom_width_str=",
        "data.source=idx:a=b",
        "data.shift=none",
        "data.scale=2",
    ])
    .expect("valid overrides");
    assert_eq!(
        (config.train.lr, config.train.wd, config.train.steps),
        (1e-3, 0.0, 100_000)
    );
    assert!(config.data.flip);
    let text = |key| model::<String>(&config, key);
    assert_eq!(text("likelihood"), "bernoulli");
    assert_eq!(
        (&*text("enc_blocks"), &*text("dec_blocks")),
        ("32x1,32d2", "16x1")
    );
    assert_eq!(
        (&*text("custom_width_str"), &*config.data.source),
        ("", "idx:a=b")
    );
    assert_eq!((config.data.shift, config.data.scale), (None, Some(2.0)));
    assert_eq!(config.model.get("width"), cifar10().model.get("width"));
}

#[test]
fn the_last_override_wins() {
    let config = set(&["train.seed=1", "train.seed=2"]).expect("valid overrides");
    assert_eq!(config.train.seed, 2);
}

#[test]
fn overrides_that_are_wrong() {
    assert_set_fault("train.lr", &["--set train.lr: expected KEY=VALUE"]);
    assert_set_fault(
        "train.lrr=1",
        &["--set train.lrr=1: unknown key `train.lrr`", "`train.lr`"],
    );
    assert_set_fault("lr=1", &["did you mean `train.lr`?"]);
    assert_set_fault("train=1", &["unknown key `train`", "the keys are"]);
    assert_set_fault(
        "train.lr=fast",
        &["train.lr: expected a number, found `fast`"],
    );
    assert_set_fault("train.lr=", &["expected a number, found ``"]);
    assert_set_fault(
        "train.steps=-5",
        &["expected a whole number, 0 or more, found `-5`"],
    );
    assert_set_fault("train.steps=1e5", &["found `1e5`; write 100000"]);
    assert_set_fault("train.steps=1.5", &["found `1.5`"]);
    assert_set_fault("data.flip=yes", &["expected true or false, found `yes`"]);
    assert_set_fault(
        "train.lr_decay=step",
        &["unknown variant `step`", "`cosine`"],
    );
    assert_set_fault("train.lr=none", &["expected a number, found `none`"]);
    assert_set_fault("train.lr=1\ntrain.wd=3", &["train.lr: expected a number"]);
    assert_set_fault("model.bits=99999999999", &["model.bits=99999999999"]);
}

#[test]
fn a_wrong_override_changes_nothing() {
    let mut config = cifar10();
    assert!(
        config
            .apply_overrides(&["train.lr=1", "train.qqqqq=1"])
            .is_err()
    );
    assert_eq!(config, cifar10());
}

#[test]
fn differences_are_named_with_both_values() {
    assert_eq!(cifar10().difference(&cifar10()), Vec::<String>::new());
    let other = set(&["train.lr=1e-3", "data.shift=none", "data.scale=none"]).expect("valid");
    assert_eq!(
        cifar10().difference(&other),
        [
            "data.scale (0.015584247193588766, other not given)",
            "data.shift (-120.63838, other not given)",
            "train.lr (0.0002, other 0.001)",
        ]
    );
}

proptest! {
    #[test]
    fn any_override_is_applied_or_refused(key in "(model|data|train)\\.[a-z_]{1,6}|data.source|train.lr", value in "(\\PC|\n){0,20}") {
        let mut config = cifar10();
        match config.apply_overrides(&[format!("{key}={value}")]) {
            Ok(()) => prop_assert!(config.difference(&cifar10()).len() <= 1),
            Err(_) => prop_assert_eq!(config, cifar10()),
        }
    }

    #[test]
    fn any_string_can_be_set(value in "(\\PC|\n){0,20}") {
        let quoted = toml::Value::from(value.as_str()).to_string();
        let mut config = cifar10();
        config.apply_overrides(&[format!("data.source={quoted}")]).expect("a quoted string");
        prop_assert_eq!(config.data.source, value);
    }
}
