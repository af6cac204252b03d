//! The experiments that come with the program: `configs/*.toml`, embedded.

use super::keys;
use super::{Config, ConfigError};

/// A complete, commented experiment that is part of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    name: &'static str,
    text: &'static str,
}

macro_rules! preset {
    ($name:literal) => {
        Preset {
            name: $name,
            text: include_str!(concat!("../../../../configs/", $name, ".toml")),
        }
    };
}

impl Preset {
    /// All presets: the default, the small one for Fashion-MNIST, the published ones, then one for
    /// benchmarks.
    pub const ALL: [Preset; 8] = [
        preset!("photos32"),
        preset!("fashion32"),
        preset!("cifar10"),
        preset!("imagenet32"),
        preset!("imagenet64"),
        preset!("ffhq256"),
        preset!("ffhq1024"),
        preset!("small32"),
    ];

    /// One that gives every key there is, the optional ones too.
    pub(super) const COMPLETE: Preset = Self::ALL[6];

    /// The preset called `name`.
    ///
    /// # Errors
    /// [`ConfigError::UnknownPreset`], with the nearest name.
    pub fn find(name: &str) -> Result<Preset, ConfigError> {
        if let Some(preset) = Self::ALL.into_iter().find(|preset| preset.name == name) {
            return Ok(preset);
        }
        let names = Self::ALL.map(|preset| preset.name);
        let nearest = keys::nearest(name, names.iter().map(|&name| (name.to_owned(), name)));
        Err(ConfigError::UnknownPreset {
            name: name.to_owned(),
            hint: match nearest {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("the presets are {}", names.join(", ")),
            },
        })
    }

    /// What `--preset` takes.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it is, in one line: the first comment of the file.
    pub fn description(&self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default();
        first.trim_start_matches(['#', ' '])
    }

    /// The whole file, with its comments.
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// The experiment itself.
    pub fn config(&self) -> Config {
        toml::from_str(self.text).expect("an embedded preset is a valid configuration")
    }
}
