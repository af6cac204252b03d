//! The names of the classes that a model tells apart.

use std::collections::HashSet;
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use vdvae_data::some_of;

use super::keys::nearest;
use super::{ConfigError, Problem};

/// The name of each class of a model, in the order of its numbers; empty where it tells none apart, or nobody has
/// named them yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Classes(Vec<String>);

impl Deref for Classes {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl Classes {
    /// Those of a source of images, `names`, for a model that tells `count` apart.
    ///
    /// # Errors
    /// If it has more or less.
    pub fn of_source(names: Vec<String>, count: usize, source: &str) -> Result<Self, ConfigError> {
        if names.len() == count {
            return Ok(Self(names));
        }
        Err(invalid(Problem {
            field: "data.source".to_owned(),
            expected: format!("images of as many classes as the model tells apart, {count}"),
            found: format!("{} in {source}: {}", names.len(), some_of(&names)),
        }))
    }

    /// The number of the class that a person calls `text`: one of the names, else a number below `count`, the
    /// classes of the model.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if it is neither, or the model tells no classes apart.
    pub fn find(&self, text: &str, count: usize) -> Result<usize, ConfigError> {
        let named = self.0.iter().position(|name| name == text);
        let number = || text.parse().ok().filter(|&number| number < count);
        named.or_else(number).ok_or_else(|| {
            let names = match self.0.is_empty() {
                true => String::new(),
                false => format!("one of {}, or ", some_of(&self.0)),
            };
            let known = self.0.iter().map(|name| (name.clone(), name));
            let hint = nearest(text, known).map(|name| format!(" (did you mean `{name}`?)"));
            invalid(Problem {
                field: "--class".to_owned(),
                expected: match count {
                    0 => "none, as the model tells no classes apart".to_owned(),
                    _ => format!("{names}a number below {count}"),
                },
                found: format!("`{text}`{}", hint.unwrap_or_default()),
            })
        })
    }

    /// What is wrong with them as those of a model that tells `count` apart.
    pub(super) fn problem(&self, count: usize) -> Option<Problem> {
        let problem = |expected: String, found: String| {
            Some(Problem {
                field: "data.classes".to_owned(),
                expected,
                found,
            })
        };
        let mut seen = HashSet::new();
        if let Some(twice) = self.0.iter().find(|&name| !seen.insert(name)) {
            return problem(
                "a name for each class".to_owned(),
                format!("`{twice}` twice"),
            );
        }
        match (self.0.len(), count) {
            (0, _) => None,
            (found, 0) => problem(
                "none, as the model tells no classes apart".to_owned(),
                format!("{found} names"),
            ),
            (found, count) if found != count => problem(
                format!("{count} names, as many as the model tells classes apart"),
                found.to_string(),
            ),
            _ => None,
        }
    }
}

fn invalid(problem: Problem) -> ConfigError {
    ConfigError::Invalid(vec![problem])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn animals() -> Classes {
        Classes(["cat", "dog", "0"].map(str::to_owned).to_vec())
    }

    #[test]
    fn classes_are_found_by_name_or_number() {
        let find = |text| animals().find(text, 3);
        assert_eq!(find("dog").unwrap(), 1);
        assert_eq!(find("1").unwrap(), 1);
        assert_eq!(find("0").unwrap(), 2, "names come first");
        assert_eq!(Classes::default().find("9", 10).unwrap(), 9, "no names");
    }

    #[test]
    fn classes_that_there_are_not() {
        let said =
            |classes: Classes, text, count| classes.find(text, count).unwrap_err().to_string();
        assert_eq!(
            said(animals(), "dogs", 3),
            "--class: expected one of cat, dog, 0, or a number below 3, found `dogs` (did you mean `dog`?)"
        );
        assert_eq!(
            said(Classes::default(), "10", 10),
            "--class: expected a number below 10, found `10`"
        );
        assert_eq!(
            said(Classes::default(), "0", 0),
            "--class: expected none, as the model tells no classes apart, found `0`"
        );
    }

    #[test]
    fn a_source_with_another_number_of_classes() {
        let names = animals().0;
        assert_eq!(
            Classes::of_source(names.clone(), 3, "folder:x").unwrap(),
            animals()
        );
        assert_eq!(
            Classes::of_source(names, 10, "folder:x")
                .unwrap_err()
                .to_string(),
            "data.source: expected images of as many classes as the model tells apart, 10, found 3 in folder:x: cat, dog, 0"
        );
    }

    #[test]
    fn names_that_do_not_fit_a_model() {
        let said =
            |classes: Classes, count| classes.problem(count).map(|problem| problem.to_string());
        assert_eq!(said(animals(), 3), None);
        assert_eq!(said(Classes::default(), 3), None);
        let twice = Classes(vec!["cat".to_owned(), "cat".to_owned()]);
        for (classes, count, expected) in [
            (
                animals(),
                4,
                "data.classes: expected 4 names, as many as the model tells classes apart, found 3",
            ),
            (
                animals(),
                0,
                "data.classes: expected none, as the model tells no classes apart, found 3 names",
            ),
            (
                twice,
                2,
                "data.classes: expected a name for each class, found `cat` twice",
            ),
        ] {
            assert_eq!(said(classes, count).as_deref(), Some(expected));
        }
    }
}
