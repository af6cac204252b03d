//! The keys of a configuration text: where they are, what kind of value they hold, which exist.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use vdvae_models::Family;
use vdvae_models::ops::Optimizer;
use vdvae_models::registry::{self, KEY, UNNAMED};

use super::{Classes, Config, ConfigError, preset};

/// How alike (Jaro-Winkler) two names must be for one to be suggested in place of the other.
const LIKENESS: f64 = 0.8;

/// The kinds of value that a configuration holds, and the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Whole,
    Number,
    Flag,
    Texts,
    Table,
    Other,
}

impl Kind {
    fn of(value: &DeValue) -> Self {
        match value {
            DeValue::String(_) => Self::Text,
            DeValue::Integer(_) => Self::Whole,
            DeValue::Float(_) => Self::Number,
            DeValue::Boolean(_) => Self::Flag,
            DeValue::Table(_) => Self::Table,
            DeValue::Array(values) if values.iter().all(|value| value.get_ref().is_str()) => {
                Self::Texts
            }
            DeValue::Datetime(_) | DeValue::Array(_) => Self::Other,
        }
    }

    /// In words, for `expected ...`.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Whole => "a whole number, 0 or more",
            Self::Number => "a number",
            Self::Flag => "true or false",
            Self::Texts => "a list of strings, such as [\"cat\", \"dog\"]",
            Self::Table => "a table",
            Self::Other => "a plain value",
        }
    }

    /// Whether a value of kind `self`, written `literal`, can stand where `wanted` is expected.
    pub fn fits(self, wanted: Kind, literal: &str) -> bool {
        match wanted {
            Self::Whole => self == wanted && !literal.starts_with('-'),
            Self::Number => matches!(self, Self::Whole | Self::Number),
            _ => self == wanted,
        }
    }
}

/// One `key = value` of a configuration text, as `table.key`.
#[derive(Debug)]
pub struct Entry {
    pub key: String,
    pub key_span: Range<usize>,
    pub value_span: Range<usize>,
    pub kind: Kind,
}

/// The entries of `text`, one level of tables deep. A value outside any table is an entry too.
pub fn entries(text: &str) -> Result<Vec<Entry>, toml::de::Error> {
    let document = DeTable::parse(text)?;
    let mut entries = Vec::new();
    for (name, value) in document.get_ref() {
        match value.get_ref() {
            DeValue::Table(table) => entries.extend(table.iter().map(|(key, value)| Entry {
                key: format!("{}.{}", name.get_ref(), key.get_ref()),
                key_span: key.span(),
                value_span: value.span(),
                kind: Kind::of(value.get_ref()),
            })),
            other => entries.push(Entry {
                key: name.get_ref().to_string(),
                key_span: name.span(),
                value_span: value.span(),
                kind: Kind::of(other),
            }),
        }
    }
    Ok(entries)
}

/// Every given value of `config` as the TOML literal it is written as, by `table.key`.
pub fn literals(config: &Config) -> BTreeMap<String, String> {
    let text = config.to_toml();
    entries(&text)
        .expect("a configuration is written as valid TOML")
        .into_iter()
        .map(|entry| (entry.key, text[entry.value_span].to_owned()))
        .collect()
}

/// The key that names the family.
pub fn family_key() -> String {
    format!("model.{KEY}")
}

/// The family that a text with these entries is of.
pub fn family(
    text: &str,
    entries: &[Entry],
    place: &impl Fn(usize) -> String,
) -> Result<&'static dyn Family, ConfigError> {
    let key = family_key();
    let Some(entry) = entries.iter().find(|entry| entry.key == key) else {
        return Ok(UNNAMED);
    };
    let found = &text[entry.value_span.clone()];
    let name = found.trim_matches(['"', '\'']);
    registry::find(name).ok_or_else(|| ConfigError::Syntax {
        place: place(entry.value_span.start),
        message: registry::unknown(name),
    })
}

/// Every key there is in a configuration of the family, with its kind: read off one that gives them all.
pub fn known(family: &dyn Family) -> BTreeMap<String, Kind> {
    let mut config = preset::config(&family.presets()[0]);
    config.data.shift.get_or_insert(0.5);
    config.data.scale.get_or_insert(0.5);
    config.data.classes = Classes::of_source(vec![String::new()], 1, "").expect("one");
    // Others than the defaults, which are not written.
    config.train.optimizer = Optimizer::Adamax;
    config.train.adam_eps = 0.5;
    config.train.lr_every = 2;
    config.train.lr_rate = 0.5;
    let entries = entries(&config.to_toml()).expect("a configuration is written as valid TOML");
    let mut known: BTreeMap<_, _> = entries
        .into_iter()
        .map(|entry| (entry.key, entry.kind))
        .collect();
    known.insert(family_key(), Kind::Text);
    known
}

/// The error for a key that does not exist, with the nearest one that does.
pub fn unknown(place: String, key: &str, family: &dyn Family) -> ConfigError {
    let known = known(family);
    let (table, leaf) = key.rsplit_once('.').unwrap_or(("", key));
    let tail = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let hint = match nearest(leaf, known.keys().map(|name| (tail(name), name.clone()))) {
        Some(name) => format!("did you mean `{name}`?"),
        None => {
            let inside = |name: &&String| name.starts_with(&format!("{table}."));
            let mut names: Vec<&str> = known.keys().filter(inside).map(String::as_str).collect();
            if names.is_empty() {
                names = known.keys().map(String::as_str).collect();
            }
            format!("the keys are {}", names.join(", "))
        }
    };
    ConfigError::UnknownKey {
        place,
        key: key.to_owned(),
        of: if key.starts_with("model.") {
            format!(" of family {}", family.name())
        } else {
            String::new()
        },
        hint,
    }
}

/// Of `(name, value)` pairs, the value whose name is most like `wanted`, if one is like it at all; the first
/// of equals.
pub fn nearest<T>(wanted: &str, names: impl Iterator<Item = (String, T)>) -> Option<T> {
    names
        .map(|(name, value)| (strsim::jaro_winkler(wanted, &name), value))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, value)| value)
}
