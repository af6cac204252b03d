//! Classes of images, which some sources and some models tell apart.

use std::collections::HashMap;

use crate::counted::some_of;
use crate::error::DataError;

/// The number of each of a source's own classes: its place among those that are wanted.
pub(crate) struct Numbers<'a> {
    wanted: &'a [String],
    places: HashMap<&'a str, usize>,
}

impl<'a> Numbers<'a> {
    pub fn new(wanted: &'a [String]) -> Self {
        let names = wanted.iter().map(String::as_str);
        Self {
            wanted,
            places: names.zip(0..).collect(),
        }
    }

    /// The number of a class of the source at `place`.
    ///
    /// # Errors
    /// [`DataError::OtherClasses`] if it is none of those that are wanted.
    pub fn of(&self, class: &str, place: &str) -> Result<usize, DataError> {
        let number = self.places.get(class).copied();
        number.ok_or_else(|| DataError::OtherClasses {
            place: place.to_owned(),
            expected: some_of(self.wanted),
            found: class.to_owned(),
        })
    }
}
