//! Every family there is: the one list that a new one is added to.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::Table;

use crate::families::{gatedpixelcnn, nvae, pixelcnnpp, vdvae};
use crate::family::{Family, ModelError, Plan, Preset};

/// All families, in the order in which they are listed to people.
pub const FAMILIES: [&dyn Family; 4] = [
    &vdvae::VDVAE,
    &nvae::NVAE,
    &gatedpixelcnn::GATEDPIXELCNN,
    &pixelcnnpp::PIXELCNNPP,
];

/// The family of a configuration that names none, as was written when there was no other.
pub const UNNAMED: &dyn Family = FAMILIES[0];

/// The key in `[model]` that names the family.
pub const KEY: &str = "family";

/// The family called `name`.
pub fn find(name: &str) -> Option<&'static dyn Family> {
    FAMILIES.into_iter().find(|family| family.name() == name)
}

/// All presets, family by family.
pub fn presets() -> impl Iterator<Item = &'static Preset> {
    FAMILIES.into_iter().flat_map(|family| family.presets())
}

/// A family and complete values for its keys: the table `[model]` of a configuration.
#[derive(Clone)]
pub struct ModelConfig {
    family: &'static dyn Family,
    values: Table,
}

impl ModelConfig {
    /// Completes `values` (without the family's name) by the family's defaults.
    ///
    /// # Errors
    /// If a key is missing, unknown or of the wrong type.
    pub fn new(family: &'static dyn Family, values: Table) -> Result<Self, ModelError> {
        Ok(Self {
            family,
            values: family.complete(values)?,
        })
    }

    /// Whose keys these are.
    pub fn family(&self) -> &'static dyn Family {
        self.family
    }

    /// What follows from the values.
    ///
    /// # Errors
    /// If they describe no possible model: says which key, what was expected and what was found.
    pub fn plan(&self) -> Result<Box<dyn Plan>, ModelError> {
        self.family.plan(&self.values)
    }

    /// All values, without the family's name.
    pub fn values(&self) -> &Table {
        &self.values
    }

    /// A value by its key.
    pub fn get(&self, key: &str) -> Option<&toml::Value> {
        self.values.get(key)
    }

    /// The values as they are written: with the family's name, unless it needs none.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        if self.family.name() != UNNAMED.name() {
            table.insert(KEY.to_owned(), self.family.name().into());
        }
        table.extend(self.values.clone());
        table
    }
}

impl PartialEq for ModelConfig {
    fn eq(&self, other: &Self) -> bool {
        self.table() == other.table()
    }
}

impl fmt::Debug for ModelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.family.name(), self.values)
    }
}

impl Serialize for ModelConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.table().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ModelConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut values = Table::deserialize(deserializer)?;
        let family = match values.remove(KEY) {
            None => UNNAMED,
            Some(name) => {
                let name = name.as_str().unwrap_or_default();
                find(name).ok_or_else(|| D::Error::custom(unknown(name)))?
            }
        };
        Self::new(family, values).map_err(D::Error::custom)
    }
}

/// What is said of a family that does not exist.
pub fn unknown(name: &str) -> String {
    let names = FAMILIES.map(Family::name).join(", ");
    format!("model.family: expected one of {names}, found `{name}`")
}
