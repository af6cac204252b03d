//! The embedded experiments.

use super::*;

#[test]
fn every_preset_is_complete_and_possible() {
    for preset in registry::presets() {
        let name = preset.path();
        let config = Config::from_toml(preset.text, &name).expect("valid");
        config.validate().expect("possible");
        assert!(preset.text.starts_with("# "), "{name}");
        assert!(preset.description().len() > 20, "{name}");
        let given: Vec<String> = keys::entries(preset.text)
            .expect("valid TOML")
            .into_iter()
            .map(|entry| entry.key)
            .collect();
        for key in keys::literals(&config).keys() {
            assert!(given.contains(key), "{name} leaves out {key}");
        }
    }
}

#[test]
fn published_hyper_parameters() {
    let rows = [
        ("cifar10", 2, 2e-4, 400.0, 0.9999, 1.0 / 64.16736),
        ("imagenet32", 32, 1.5e-4, 300.0, 0.999, 1.0 / 69.37404),
        ("imagenet64", 32, 1.5e-4, 380.0, 0.999, 1.0 / 69.37404),
        ("ffhq256", 32, 1.5e-4, 180.0, 0.999, 1.0 / 69.84780273),
        ("ffhq1024", 32, 7e-5, 500.0, 0.999, 1.0 / (0.2743 * 255.0)),
    ];
    for (name, workers, lr, skip, ema_rate, scale) in rows {
        let Config { train, data, .. } = Config::preset(name).expect(name);
        assert_eq!(train.accumulate, workers, "{name}");
        assert_eq!(
            (train.lr, train.skip_threshold, train.ema_rate),
            (lr, skip, ema_rate),
            "{name}"
        );
        assert_eq!(data.scale, Some(scale), "{name}");
    }
    let ffhq = Config::preset("ffhq1024").expect("a preset").data;
    let input = |value: f64| (value + ffhq.shift.unwrap_or(0.0)) * ffhq.scale.unwrap_or(0.0);
    let reference = |value: f64| (value / 255.0 - 0.4387) / 0.2743;
    assert!(
        (0..256)
            .map(f64::from)
            .all(|v| (input(v) - reference(v)).abs() < 1e-12)
    );
}

#[test]
fn unknown_presets_get_a_suggestion() {
    let message = |name: &str| Config::preset(name).expect_err(name).to_string();
    assert_eq!(
        message("cifar"),
        "unknown preset `cifar`; did you mean `vdvae/cifar10`?"
    );
    assert!(
        message("qqq").contains("the presets are vdvae/photos32, vdvae/fashion32, vdvae/cifar10")
    );
}

#[test]
fn toml_round_trip() {
    for preset in registry::presets() {
        let config = preset::config(preset);
        assert_eq!(
            Config::from_toml(&config.to_toml(), "text").expect("valid"),
            config
        );
    }
    let mut config = cifar10();
    config.train.seed = u64::MAX;
    config.train.grad_clip = f64::INFINITY;
    config.data.source = "folder:a \"b\"\\c\nd".into();
    assert_eq!(
        Config::from_toml(&config.to_toml(), "text").expect("valid"),
        config
    );
}
