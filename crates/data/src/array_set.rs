//! Images of one or several arrays, with what they are for.

use std::collections::HashSet;
use std::sync::Arc;

use crate::counted::counted;
use crate::dataset::{Dataset, Joined, Subset};
use crate::error::DataError;
use crate::split::{Split, held_out, part_of};

/// Arrays as one data set.
pub(crate) struct ArraySet {
    all: Arc<dyn Dataset>,
    /// How many of them are for training, validation and test, in this order; nothing if arrays do not say.
    named: Option<[usize; 3]>,
}

impl ArraySet {
    /// One array, of which parts are held out.
    pub fn unsplit(all: Arc<dyn Dataset>) -> Self {
        Self { all, named: None }
    }

    /// Arrays for training, validation and test, of which at least one is there.
    ///
    /// # Errors
    /// [`DataError::Empty`] at `place` if there is none.
    pub fn split(parts: [Option<Arc<dyn Dataset>>; 3], place: &str) -> Result<Self, DataError> {
        let named = [0, 1, 2].map(|part| parts[part].as_ref().map_or(0, |part| part.len()));
        let join = |first: Arc<dyn Dataset>, second| {
            Arc::new(Joined { first, second }) as Arc<dyn Dataset>
        };
        let all = parts.into_iter().flatten().reduce(join);
        match all {
            Some(all) => Ok(Self {
                all,
                named: Some(named),
            }),
            None => Err(DataError::Empty {
                place: place.to_owned(),
                expected: "arrays of images".to_owned(),
                remedy: "Give another file".to_owned(),
            }),
        }
    }

    /// All images.
    pub fn all(&self) -> &dyn Dataset {
        &*self.all
    }

    /// Whether there are images of a split.
    pub fn has(&self, split: Split) -> bool {
        match (self.named, split) {
            (Some([_, valid, test]), Split::Test) => valid == 0 || test > 0,
            (Some([train, ..]), Split::Train) => train > 0,
            _ => true,
        }
    }

    /// The images of a split.
    ///
    /// # Errors
    /// [`DataError::NoSplit`] at `place` if there are none, [`DataError::TooFew`] if none can be held out.
    pub fn part(
        &self,
        split: Split,
        seed: u64,
        place: &str,
    ) -> Result<Arc<dyn Dataset>, DataError> {
        let indices = match self.named {
            None => part_of(split, self.all.len(), seed, place)?,
            Some(_) if split == Split::All => (0..self.all.len()).collect(),
            Some(named) => self.named_part(named, split, seed, place)?,
        };
        if indices.is_empty() {
            return Err(DataError::NoSplit {
                place: place.to_owned(),
                split,
                layout: self.describe(Split::Train),
            });
        }
        let inner = self.all.clone();
        Ok(Arc::new(Subset { inner, indices }))
    }

    fn named_part(
        &self,
        [train, valid, test]: [usize; 3],
        split: Split,
        seed: u64,
        place: &str,
    ) -> Result<Vec<usize>, DataError> {
        let held = match (train, valid, test) {
            (0, ..) => Vec::new(),
            (_, 0, 0) => held_out(seed, train, 2, place, "images")?,
            (_, 0, _) => held_out(seed, train, 1, place, "images")?,
            _ => Vec::new(),
        };
        let part = |part: usize| held.get(part).cloned().unwrap_or_default();
        Ok(match split {
            Split::Valid if valid == 0 => part(0),
            Split::Valid => (train..train + valid).collect(),
            Split::Test if test == 0 => part(1),
            Split::Test => (train + valid..train + valid + test).collect(),
            Split::Train | Split::All => {
                let held: HashSet<usize> = held.concat().into_iter().collect();
                (0..train).filter(|index| !held.contains(index)).collect()
            }
        })
    }

    /// What the images were taken for.
    pub fn describe(&self, split: Split) -> String {
        match self.named {
            _ if split == Split::All => format!("all {}", counted(self.all.len(), "images")),
            None => format!(
                "{}, of which 5 % each are held out for validation and test",
                counted(self.all.len(), "images")
            ),
            Some([train, valid, test]) => {
                let held = match (valid, test) {
                    (0, 0) => ", of which 5 % each are held out for validation and test",
                    (0, _) => ", of which 5 % are held out for validation",
                    _ => "",
                };
                format!(
                    "arrays of {} for training{held}, {valid} for validation, {test} for test",
                    counted(train, "images")
                )
            }
        }
    }
}
