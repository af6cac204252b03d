//! From TOML text to a [`Config`], strictly.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::keys::{self, Entry, Kind};
use super::{Config, ConfigError, preset};

/// No configuration is longer; what is longer is another kind of file.
const LONGEST: u64 = 1 << 20;

impl Config {
    /// The preset called `name`.
    ///
    /// # Errors
    /// [`ConfigError::UnknownPreset`], with the nearest name.
    pub fn preset(name: &str) -> Result<Self, ConfigError> {
        preset::find(name).map(preset::config)
    }

    /// Reads a configuration file. Ranges are checked by [`Config::validate`].
    ///
    /// # Errors
    /// The file cannot be read or is not TOML; a key is unknown, missing or of the wrong type.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let (text, origin) = read(path.as_ref())?;
        Self::from_toml(&text, &origin)
    }

    /// The same of a file that need not give `data.source`: `source` is used then.
    ///
    /// # Errors
    /// As [`Config::from_file`].
    pub fn from_file_with_source(
        path: impl AsRef<Path>,
        source: &str,
    ) -> Result<Self, ConfigError> {
        let (text, origin) = read(path.as_ref())?;
        let mut config = parse(&text, &origin)?;
        if config.data.source.is_empty() {
            config.data.source = source.to_owned();
        }
        Ok(config)
    }

    /// Reads a configuration text; errors say `origin:line`.
    ///
    /// # Errors
    /// As [`Config::from_file`].
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, ConfigError> {
        let config = parse(text, origin)?;
        if !config.data.source.is_empty() {
            return Ok(config);
        }
        let table = text.find("[data]").unwrap_or_default();
        Err(ConfigError::Syntax {
            place: format!("{origin}:{}", line(text, table)),
            message: "data.source: expected where the images are, found none; write [data] and below it, for \
                      example, source = \"folder:DIR\""
                .to_owned(),
        })
    }
}

/// A configuration that may lack `data.source`, which is empty then.
fn parse(text: &str, origin: &str) -> Result<Config, ConfigError> {
    let place = |at: usize| format!("{origin}:{}", line(text, at));
    check_keys(text, &place)?;
    toml::from_str(text).map_err(|error| describe(text, &place, &error))
}

/// The text of a file, and what its errors call it.
fn read(path: &Path) -> Result<(String, String), ConfigError> {
    match read_text(path) {
        Ok(text) => Ok((text, path.display().to_string())),
        Err(reason) => Err(ConfigError::Read {
            path: path.to_owned(),
            reason,
        }),
    }
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(LONGEST + 1)
        .read_to_string(&mut text);
    match read {
        Ok(length) if length as u64 > LONGEST => Err(std::io::Error::other(
            "longer than 1 MiB, which no configuration is",
        )),
        Ok(_) => Ok(text),
        Err(error) => Err(error),
    }
}

/// The line, from 1, of byte `at`.
fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count()
}

/// Unknown keys and wrong types, before serde sees the text: it would name neither key nor remedy.
fn check_keys(text: &str, place: &impl Fn(usize) -> String) -> Result<(), ConfigError> {
    let mut entries = keys::entries(text).map_err(|error| describe(text, place, &error))?;
    let family = keys::family(text, &entries, place)?;
    let known = keys::known(family);
    entries.sort_by_key(|entry| entry.key_span.start);
    for entry in entries {
        let place = place(entry.key_span.start);
        let found = &text[entry.value_span.clone()];
        let is_table = known
            .keys()
            .any(|key| key.starts_with(&format!("{}.", entry.key)));
        let wanted = match known.get(&entry.key) {
            Some(&kind) => kind,
            None if is_table => Kind::Table,
            None => return Err(keys::unknown(place, &entry.key, family)),
        };
        if !entry.kind.fits(wanted, found) {
            return Err(ConfigError::WrongType {
                place,
                key: entry.key,
                expected: wanted.expected().to_owned(),
                found: found.to_owned(),
            });
        }
    }
    Ok(())
}

/// The reader's own message, with the line, and with the key where the message lacks it.
fn describe(text: &str, place: &impl Fn(usize) -> String, error: &toml::de::Error) -> ConfigError {
    let (message, span) = (error.message(), error.span().unwrap_or(0..0));
    let entries = keys::entries(text).unwrap_or_default();
    // A family names its keys, and does not know where they are written.
    let named = |entry: &&Entry| message.starts_with(&format!("{}: ", entry.key));
    if let Some(entry) = entries.iter().find(named) {
        return ConfigError::Syntax {
            place: place(entry.value_span.start),
            message: message.to_owned(),
        };
    }
    let entry = entries.iter().find(|entry| entry.value_span == span);
    ConfigError::Syntax {
        place: place(span.start),
        message: match entry {
            Some(Entry { key, .. }) => format!("{key}: {message}"),
            None => message.to_owned(),
        },
    }
}
