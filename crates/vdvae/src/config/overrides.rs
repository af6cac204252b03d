//! Single values from the command line: `--set KEY=VALUE`.

use super::keys::{self, Kind};
use super::{Config, ConfigError};

/// The keys that may be absent, and the word that takes them away.
const OPTIONAL: [&str; 2] = ["data.shift", "data.scale"];
const ABSENT: &str = "none";

impl Config {
    /// Replaces single values, in order. Each override is `table.key=value`, the value as in TOML;
    /// a string needs no quotes, and `none` takes `data.shift` and `data.scale` away.
    /// Ranges are checked by [`Config::validate`].
    ///
    /// # Errors
    /// The first override that is not `KEY=VALUE`, names no key or holds a value of the wrong type;
    /// then nothing is replaced.
    pub fn apply_overrides<S: AsRef<str>>(&mut self, overrides: &[S]) -> Result<(), ConfigError> {
        let mut config = self.clone();
        for text in overrides {
            config = config.with_override(text.as_ref())?;
        }
        *self = config;
        Ok(())
    }

    fn with_override(&self, text: &str) -> Result<Self, ConfigError> {
        let place = format!("--set {text}");
        let Some((key, value)) = text.split_once('=') else {
            return Err(ConfigError::Override {
                text: text.to_owned(),
            });
        };
        let (key, value) = (key.trim(), value.trim());
        let family = self.model.family();
        let Some(&kind) = keys::known(family).get(key) else {
            return Err(keys::unknown(place, key, family));
        };
        if key == keys::family_key() {
            return Err(ConfigError::Syntax {
                place,
                message: format!(
                    "the family ({}) is that of the preset or the file; choose another with --preset FAMILY/NAME or --config",
                    family.name()
                ),
            });
        }
        let mut literals = keys::literals(self);
        if OPTIONAL.contains(&key) && value == ABSENT {
            literals.remove(key);
        } else {
            let literal = literal(value, kind).ok_or_else(|| ConfigError::WrongType {
                place: place.clone(),
                key: key.to_owned(),
                expected: kind.expected().to_owned(),
                found: found(value, kind),
            })?;
            literals.insert(key.to_owned(), literal);
        }
        let lines = literals
            .iter()
            .map(|(key, value)| format!("{key} = {value}\n"));
        toml::from_str(&lines.collect::<String>()).map_err(|error| ConfigError::Syntax {
            place,
            message: error.message().to_owned(),
        })
    }
}

/// `value` as a TOML literal of the wanted kind, or nothing if it is none.
fn literal(value: &str, wanted: Kind) -> Option<String> {
    let parsed = format!("value = {value}\n");
    let kind = match keys::entries(&parsed).as_deref() {
        Ok([entry]) => Some(entry.kind),
        _ => None,
    };
    match (wanted, kind) {
        (Kind::Text, Some(Kind::Text)) => Some(value.to_owned()),
        (Kind::Text, _) => Some(toml::Value::from(value).to_string()),
        (_, Some(kind)) if kind.fits(wanted, value) => Some(value.to_owned()),
        _ => None,
    }
}

/// The value as written, with the remedy where a whole number was written like `1e5`.
fn found(value: &str, wanted: Kind) -> String {
    match value.parse::<f64>() {
        Ok(number) if wanted == Kind::Whole && number.fract() == 0.0 && number >= 0.0 => {
            format!("`{value}`; write {number}")
        }
        _ => format!("`{value}`"),
    }
}
