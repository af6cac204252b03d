//! What the tests share.

mod ablations;
mod files;
mod overrides;
mod presets;
mod ranges;

use super::*;
use vdvae_models::registry::{self, KEY};

fn cifar10() -> Config {
    Config::preset("cifar10").expect("a preset")
}

/// A value of the model.
#[track_caller]
fn model<'a, T: Deserialize<'a>>(config: &Config, key: &str) -> T {
    let value = config.model.get(key).expect(key);
    value.clone().try_into().expect(key)
}

/// Replaces a value of the model.
fn set_model(config: &mut Config, key: &str, value: impl Into<toml::Value>) {
    let family = config.model.family();
    let mut values = config.model.table();
    values.remove(KEY);
    values.insert(key.to_owned(), value.into());
    config.model = ModelConfig::new(family, values).expect("a key of the model");
}
