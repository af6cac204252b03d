//! One file that holds everything of a checkpoint, as the published code of a family writes it.
//!
//! A family says here where the parts are and which of its arguments decide the model; reading, comparing
//! and writing are the same for all.

use std::fmt::Debug;

use toml::Table;
use vdvae_formats::pickle::Value;
use vdvae_formats::torch::{Object, entry};

use crate::family::ModelError;
use crate::ops::Optimizer;
use crate::parameters::TensorSpec;
use crate::step::Recipe;

/// Keys and values of a dictionary.
pub type Entries<'p> = Vec<(Value<'p>, Value<'p>)>;

/// The file of a family's published code: a dictionary of parts.
pub trait Published: Debug + Sync {
    /// How the name of such a file ends.
    fn ending(&self) -> &'static str;

    /// Where the parts are; none in a file of another kind.
    fn parts<'p>(&self, root: &Entries<'p>) -> Option<Parts<'p>>;

    /// Whether files hold this tensor beside those of the plan, as a copy or a counter; `has` tells the
    /// names of the plan.
    fn is_beside(&self, name: &str, has: &dyn Fn(&str) -> bool) -> bool;

    /// The numbers, in the order of files, with which a tensor starts that the plan has and files have not.
    fn start(&self, tensor: &TensorSpec) -> Option<Vec<f32>>;

    /// The optimizer whose state it is, and the names of its moments there, first and second.
    fn optimizer(&self) -> (Optimizer, [&'static str; 2]);

    /// All arguments of the published code that decide the model of these values.
    ///
    /// # Errors
    /// If the values describe no model.
    fn arguments(&self, values: &Table) -> Result<Vec<Argument>, ModelError>;

    /// What is saved.
    fn dictionary(&self, saved: &Saved<'_>) -> Object;
}

/// What a file has.
#[derive(Debug)]
pub struct Parts<'p> {
    /// Tensors by name.
    pub weights: Value<'p>,
    /// Tensors of the plan that the published code does not keep, of a file that was exported.
    pub kept: Option<Value<'p>>,
    /// The state of the optimizer.
    pub optimizer: Option<Value<'p>>,
    /// What the training was started with: names with values.
    pub arguments: Option<Value<'p>>,
    /// Epochs made.
    pub epoch: Option<u64>,
    /// Steps made.
    pub step: Option<u64>,
    /// What else there is that means nothing here, by its keys.
    pub passed_over: Vec<&'static str>,
}

/// A checkpoint that is to be written.
#[derive(Debug)]
pub struct Saved<'a> {
    /// Every tensor of the plan; the file's tensors begin with these.
    pub tensors: &'a [TensorSpec],
    /// For each learned tensor the indices of its first and second moment among the file's tensors; none
    /// where the run has another optimizer.
    pub moments: Option<Vec<[usize; 2]>>,
    /// What the training is done with, at this step.
    pub recipe: &'a Recipe,
    /// What decides the model.
    pub arguments: &'a [Argument],
    /// Steps made.
    pub step: u64,
    /// Updates made.
    pub updates: u64,
    /// Steps of an epoch, where they are known.
    pub steps_per_epoch: Option<u64>,
}

/// An argument of the published code, and what it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// Any of these; the first is written.
    pub expected: Expected,
    /// Whether some versions of the code do not have it.
    pub is_optional: bool,
}

/// What an argument has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A whole number.
    Number(usize),
    /// A truth value.
    Truth(bool),
    /// One of these words.
    Word(Vec<String>),
}

impl Argument {
    /// One that every version has.
    pub fn new(name: &'static str, expected: Expected) -> Self {
        Self {
            name,
            expected,
            is_optional: false,
        }
    }

    /// One that some versions do not have.
    pub fn optional(name: &'static str, expected: Expected) -> Self {
        Self {
            is_optional: true,
            ..Self::new(name, expected)
        }
    }

    /// As it is written.
    pub fn object(&self) -> Object {
        match &self.expected {
            Expected::Number(number) => integer(*number as u64),
            Expected::Truth(truth) => Object::Bool(*truth),
            Expected::Word(words) => match words.first() {
                Some(word) => Object::Text(word.clone()),
                None => Object::None,
            },
        }
    }

    /// What was expected, and found instead; nothing if `found` is right.
    fn difference(&self, found: Value<'_>) -> Option<(String, String)> {
        // Python counts its truth values among the numbers.
        let number = found.as_int();
        let described = found.describe();
        let (expected, shown, is_right) = match &self.expected {
            Expected::Number(expected) => (
                expected.to_string(),
                number.map(|number| number.to_string()),
                number == Some(*expected as i128),
            ),
            Expected::Truth(expected) => (
                expected.to_string(),
                number.map(|number| (number != 0).to_string()),
                number.map(|number| number != 0) == Some(*expected),
            ),
            Expected::Word(words) => {
                let word = found.as_str();
                let is_right = word.is_some_and(|word| words.iter().any(|known| known == word));
                (words.join(" or "), word.map(str::to_owned), is_right)
            }
        };
        (!is_right).then(|| (expected, shown.unwrap_or(described)))
    }
}

/// What the arguments of a file say of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Those that say the same.
    pub same: Vec<&'static str>,
    /// Those that are not there, though every version of the code has them.
    pub missing: Vec<&'static str>,
    /// Those that say something else, each as `NAME: expected X, found Y`.
    pub different: Vec<String>,
}

impl Comparison {
    /// Of the arguments of a model with those of a file. Others in the file decide nothing about it.
    pub fn new(arguments: &[Argument], file: &Entries<'_>) -> Self {
        let mut comparison = Self::default();
        for argument in arguments {
            let name = argument.name;
            let Some(found) = entry(file, name) else {
                if !argument.is_optional {
                    comparison.missing.push(name);
                }
                continue;
            };
            match argument.difference(found) {
                None => comparison.same.push(name),
                Some((expected, found)) => comparison
                    .different
                    .push(format!("{name}: expected {expected}, found {found}")),
            }
        }
        comparison
    }

    /// Whether the arguments describe the whole model, and it is this one.
    pub fn is_whole(&self) -> bool {
        self.different.is_empty() && self.missing.is_empty()
    }
}

/// Indices and counts are far below the limit.
pub fn integer(number: u64) -> Object {
    Object::Int(i32::try_from(number).unwrap_or(i32::MAX))
}

/// A whole number that is not negative.
pub fn count(value: Value<'_>) -> Option<u64> {
    u64::try_from(value.as_int()?).ok()
}

#[cfg(test)]
mod tests {
    use vdvae_formats::pickle::Pickle;
    use vdvae_formats::torch::entries;

    use super::*;

    fn arguments() -> [Argument; 4] {
        [
            Argument::new("channels", Expected::Number(32)),
            Argument::new("residual", Expected::Truth(true)),
            Argument::new("set", Expected::Word(vec!["a".into(), "b".into()])),
            Argument::optional("bits", Expected::Number(8)),
        ]
    }

    /// Of arguments that a script wrote as a dictionary.
    fn compared(pickle: &str) -> Comparison {
        let pickle = Pickle::parse(pickle.as_bytes(), &[]).unwrap();
        Comparison::new(&arguments(), &entries(pickle.root()).unwrap())
    }

    #[test]
    fn arguments_that_say_the_same() {
        let whole =
            compared("(dS'channels'\nI32\nsS'residual'\nI01\nsS'set'\nS'b'\nsS'lr'\nI9\ns.");
        assert_eq!(whole.same, ["channels", "residual", "set"]);
        assert!(whole.is_whole());
        // Python counts truth values as numbers.
        let some = compared("(dS'residual'\nI1\nsS'bits'\nI8\ns.");
        assert_eq!(some.same, ["residual", "bits"]);
        assert_eq!(some.missing, ["channels", "set"]);
        assert!(some.different.is_empty() && !some.is_whole());
    }

    #[test]
    fn arguments_that_contradict_are_named() {
        for (pickle, expected) in [
            ("(dS'channels'\nI64\ns.", "channels: expected 32, found 64"),
            (
                "(dS'channels'\nVx\ns.",
                "channels: expected 32, found a string",
            ),
            (
                "(dS'residual'\nI00\ns.",
                "residual: expected true, found false",
            ),
            ("(dS'set'\nS'c'\ns.", "set: expected a or b, found c"),
            ("(dS'bits'\nI5\ns.", "bits: expected 8, found 5"),
        ] {
            assert_eq!(compared(pickle).different, [expected]);
        }
    }
}
