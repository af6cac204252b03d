//! The experiments that come with the program, by name.

use vdvae_models::registry::{self, FAMILIES, UNNAMED};

use super::keys;
use super::{Config, ConfigError};

pub use vdvae_models::Preset;

/// The preset called `name`: `family/name`, or a name alone of the family that needs no name.
///
/// # Errors
/// [`ConfigError::UnknownPreset`], with the nearest name.
pub fn find(name: &str) -> Result<&'static Preset, ConfigError> {
    let path = if name.contains('/') {
        name.to_owned()
    } else {
        format!("{}/{name}", UNNAMED.name())
    };
    if let Some(preset) = registry::presets().find(|preset| preset.path() == path) {
        return Ok(preset);
    }
    Err(ConfigError::UnknownPreset {
        name: name.to_owned(),
        hint: hint(name),
    })
}

fn hint(name: &str) -> String {
    let paths = |presets: &mut dyn Iterator<Item = &'static Preset>| {
        presets.map(Preset::path).collect::<Vec<_>>().join(", ")
    };
    // A name alone that another family has; or a family's name.
    let mut same = registry::presets()
        .filter(|preset| preset.name == name)
        .peekable();
    if same.peek().is_some() {
        return format!("there is {}", paths(&mut same));
    }
    if let Some(family) = registry::find(name) {
        return format!("its presets are {}", paths(&mut family.presets().iter()));
    }
    let both = |preset: &'static Preset| {
        [preset.path(), preset.name.to_owned()].map(|name| (name, preset.path()))
    };
    match keys::nearest(name, registry::presets().flat_map(both)) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => {
            let families = FAMILIES
                .iter()
                .map(|family| paths(&mut family.presets().iter()));
            format!(
                "the presets are {}",
                families.collect::<Vec<_>>().join(", ")
            )
        }
    }
}

/// The experiment itself.
pub fn config(preset: &Preset) -> Config {
    toml::from_str(preset.text).expect("an embedded preset is a valid configuration")
}
