//! What the arguments of a command ask for, as a configuration.

use anyhow::Result;
use vdvae_data::Source;

use crate::cli::{Configuration, TrainArgs};
use crate::config::Config;
use crate::error::usage;

/// The preset where none is named.
pub const DEFAULT_PRESET: &str = "photos32";

/// The configuration that the arguments describe.
pub fn config_of(configuration: &Configuration) -> Result<Config> {
    match (&configuration.config, &configuration.preset) {
        (Some(path), _) => Ok(Config::from_file(path)?),
        (None, preset) => Ok(Config::preset(preset.as_deref().unwrap_or(DEFAULT_PRESET))?),
    }
}

/// The configuration that a new run of these arguments would have.
pub fn requested(arguments: &TrainArgs) -> Result<Config> {
    let config = match (&arguments.configuration.config, &arguments.data) {
        (Some(path), Some(source)) => Config::from_file_with_source(path, &source.to_string())?,
        _ => config_of(&arguments.configuration)?,
    };
    with_options(arguments, config)
}

/// Applies --set and the shorter ways of saying the same.
pub fn with_options(arguments: &TrainArgs, mut config: Config) -> Result<Config> {
    config.apply_overrides(&arguments.configuration.set)?;
    if let Some(source) = &arguments.data {
        let source = source.to_string();
        if config.data.source != source {
            // Another data set has other statistics, unless they were asked for.
            let asked = |key| asks_for(arguments, key);
            if !asked("data.shift") && !asked("data.scale") && !arguments.resume {
                (config.data.shift, config.data.scale) = (None, None);
            }
            config.data.source = source;
        }
    }
    config.train.steps = arguments.steps.unwrap_or(config.train.steps);
    config.train.n_batch = arguments.batch.unwrap_or(config.train.n_batch);
    config.train.seed = arguments.seed.unwrap_or(config.train.seed);
    config.train.dtype = arguments.machine.dtype.unwrap_or(config.train.dtype);
    config.validate()?;
    Ok(config)
}

/// The same with the source's whole path, which may be written from the working folder.
fn located(config: &Config) -> Config {
    let mut config = config.clone();
    let source = config.data.source.parse::<Source>();
    if let Some(Ok(source)) = source.ok().map(|source| source.absolute()) {
        config.data.source = source.to_string();
    }
    config
}

/// Weights want images as they were trained with.
pub fn check_normalised(config: &Config) -> Result<()> {
    let has_none = config.data.shift.is_none() || config.data.scale.is_none();
    if has_none && config.plan()?.is_normalised() {
        return Err(usage(
            "data.shift, data.scale: expected the numbers that the weights were trained with, found none; give them in the configuration or with --set data.shift=-120.6 --set data.scale=0.0156 (input = (value + shift) * scale)",
        ));
    }
    Ok(())
}

/// Whether a --set is about the key.
pub fn asks_for(arguments: &TrainArgs, key: &str) -> bool {
    let mut set = arguments.configuration.set.iter();
    set.any(|set| set.trim_start().starts_with(key))
}

/// Where `asked` differs from what a run holds, the normalisation and the names of classes that its images told aside.
pub fn difference(asked: &Config, existing: &Config) -> Vec<String> {
    let mut asked = asked.clone();
    if asked.data.shift.is_none() {
        (asked.data.shift, asked.data.scale) = (existing.data.shift, existing.data.scale);
    }
    if asked.data.classes.is_empty() {
        asked.data.classes = existing.data.classes.clone();
    }
    let (asked, existing) = (located(&asked), located(existing));
    asked.difference(&existing)
}
