//! Numbers of the presets, and what is refused.

use super::config::{Nonlinearity, PixelSnailConfig};
use super::plan::PixelSnailPlan;
use crate::family::{Coding, Plan};

fn tiny() -> PixelSnailConfig {
    PixelSnailConfig {
        image_size: 8,
        image_channels: 3,
        nr_blocks: 1,
        nr_resnet: 1,
        nr_filters: 4,
        nr_logistic_mix: 2,
        key_size: 2,
        att_downsample: 2,
        nonlinearity: Nonlinearity::Elu,
        dropout: 0.5,
    }
}

/// Parameters and operations as counted by running the published graph, to the digit and to a thousandth: attention
/// to pixels that may not be seen is not counted.
#[test]
fn numbers_of_the_presets() {
    for (name, parameters, giga) in [
        ("cifar10", 46_180_788, 96.1),
        ("imagenet32", 46_237_548, 96.2),
        ("imagenet64", 46_237_548, 384.7),
    ] {
        let preset = crate::registry::presets()
            .find(|preset| preset.path() == format!("pixelsnail/{name}"))
            .expect("a preset");
        let table: toml::Table = preset.text.parse().expect("TOML");
        let mut model = table["model"].as_table().expect("a table").clone();
        model.remove(crate::registry::KEY);
        let plan = PixelSnailPlan::new(crate::family::read(&model).unwrap()).unwrap();
        assert_eq!(plan.parameters(), parameters, "{name}");
        let found = plan.operations().sample / 1e9;
        assert!((found / giga - 1.0).abs() < 2e-3, "{name}: {found} GFLOP");
    }
}

/// One per kind of wrong value: the message names the key.
#[test]
fn impossible_models_are_refused() {
    type Change = fn(&mut PixelSnailConfig);
    let faults: [(&str, Change); 9] = [
        ("model.image_size", |c| c.image_size = 0),
        ("model.image_channels", |c| c.image_channels = 2),
        ("model.nr_blocks", |c| c.nr_blocks = 0),
        ("model.nr_filters", |c| c.nr_filters = 5),
        ("model.nr_logistic_mix", |c| c.nr_logistic_mix = 5000),
        ("model.key_size", |c| c.key_size = 0),
        ("model.att_downsample", |c| c.att_downsample = 3),
        ("model.dropout", |c| c.dropout = 1.0),
        ("model.dropout", |c| c.dropout = f64::NAN),
    ];
    for (key, change) in faults {
        let mut config = tiny();
        change(&mut config);
        let error = PixelSnailPlan::new(config).expect_err(key).to_string();
        assert!(error.starts_with(key) && error.contains("found"), "{error}");
    }
    let plan = PixelSnailPlan::new(tiny()).unwrap();
    assert_eq!(plan.coding(), Ok(Coding::InOrder));
    assert!(plan.latents().is_err());
}
