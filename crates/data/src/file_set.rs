//! Image files with the split of each.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::classes::Numbers;
use crate::counted::counted;
use crate::error::DataError;
use crate::image_file::ImageFile;
use crate::image_list::{Entry, ImageList};
use crate::listing::{PassedOver, look_through};
use crate::named_splits::{hinted_split, named_splits};
use crate::split::{Split, held_out};

/// The splits in the order of [`FileSet::origins`].
const SPLITS: [Split; 3] = [Split::Train, Split::Valid, Split::Test];
/// What they are for.
const PURPOSES: [&str; 3] = ["training", "validation", "test"];

/// All image files of a source.
pub(crate) struct FileSet {
    /// The folder.
    pub place: String,
    /// "images" or "photographs".
    items: &'static str,
    files: Vec<Listed>,
    /// Where the images for training, validation and test come from.
    origins: [Origin; 3],
    /// Whether images for validation are for test, too, where there are none for test alone.
    pub test_is_validation: bool,
    /// Whether the first part of a name is a file, whose name tells the split by a word in it: `train-000.tar`.
    pub tops_are_hints: bool,
    pub passed_over: PassedOver,
}

/// A file with what is known of it.
pub(crate) struct Listed {
    file: ImageFile,
    entry: Entry,
}

impl Listed {
    /// In no split yet. `name` is the path below the source's place.
    pub fn new(file: ImageFile, name: String, size: u64) -> Self {
        let entry = Entry {
            split: None,
            size,
            name,
        };
        Self { file, entry }
    }
}

/// Where the images of a split come from.
#[derive(Clone)]
enum Origin {
    /// A folder of this name, or such folders.
    Named(String),
    /// Held out of all images, or of those for training.
    HeldOut,
    /// What is left when others were held out.
    Rest,
    /// What was kept with the run says so.
    Recorded,
    /// There is no such split.
    Nothing,
}

/// How the images of a source differ from those that a run was begun with, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// There now, not in the list: in no split.
    pub new: Vec<String>,
    /// In the list, not there any more.
    pub missing: Vec<String>,
    /// There with another number of bytes.
    pub changed: Vec<String>,
}

impl FileSet {
    /// The image files in `folder` and below, which are `items` to a person; in no split yet.
    ///
    /// # Errors
    /// As [`look_through`].
    pub fn in_folder(folder: &Path, items: &'static str) -> Result<Self, DataError> {
        let found = look_through(folder)?;
        let listed = |path: PathBuf| {
            let below = path.strip_prefix(folder).unwrap_or(&path);
            let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
            let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            let name = parts.join("/");
            Listed::new(ImageFile::at(path), name, size)
        };
        let files = found.images.into_iter().map(listed).collect();
        let place = folder.display().to_string();
        Ok(Self::new(place, items, files, found.passed_over))
    }

    /// Files that were found, which are `items` to a person; in no split yet.
    pub fn new(
        place: String,
        items: &'static str,
        files: Vec<Listed>,
        passed_over: PassedOver,
    ) -> Self {
        Self {
            place,
            items,
            files,
            origins: [const { Origin::Nothing }; 3],
            test_is_validation: false,
            tops_are_hints: false,
            passed_over,
        }
    }

    /// Folders that are named after splits are these; what is missing is held out, of the images for training
    /// alone where there are such folders. There is no test split where there is one for validation alone.
    ///
    /// What is held out depends on the names of the files and the seed alone, not on which images are bad.
    ///
    /// # Errors
    /// As [`named_splits`]; [`DataError::TooFew`] if nothing can be held out of so few.
    pub fn split(&mut self, seed: u64) -> Result<(), DataError> {
        let names: Vec<Cow<str>> = self.files.iter().map(|file| self.telling(file)).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        if let Some(named) = named_splits(&self.place, &names)? {
            for (file, split) in self.files.iter_mut().zip(named.splits) {
                file.entry.split = Some(split);
            }
            self.origins = named
                .names
                .map(|name| name.map_or(Origin::Nothing, Origin::Named));
        } else {
            for file in &mut self.files {
                file.entry.split = Some(Split::Train);
            }
            self.origins = [Origin::Rest, Origin::Nothing, Origin::Nothing];
        }
        let held = match &self.origins {
            [Origin::Nothing, ..] | [_, Origin::Named(_), _] => return Ok(()),
            [_, _, Origin::Named(_)] => 1,
            _ => 2,
        };
        self.hold_out(held, seed)
    }

    /// The name of a file by which splits are told.
    fn telling<'f>(&self, file: &'f Listed) -> Cow<'f, str> {
        let name = &*file.entry.name;
        let hinted = name.split_once('/').filter(|_| self.tops_are_hints);
        match hinted.and_then(|(top, below)| Some((hinted_split(top)?, below))) {
            Some((split, below)) => Cow::Owned(format!("{split}/{below}")),
            None => Cow::Borrowed(name),
        }
    }

    /// Takes images out of those for training: for validation, and where two parts are wanted for test.
    fn hold_out(&mut self, parts: usize, seed: u64) -> Result<(), DataError> {
        let train = self.indices(Split::Train);
        let held = held_out(seed, train.len(), parts, &self.place, self.items)?;
        for ((part, split), origin) in held.iter().zip(&SPLITS[1..]).zip(&mut self.origins[1..]) {
            *origin = Origin::HeldOut;
            for &index in part {
                self.files[train[index]].entry.split = Some(*split);
            }
        }
        Ok(())
    }

    /// Gives each image the split that it has in `list`, and none to those that are not in it.
    ///
    /// # Errors
    /// [`DataError::OtherImages`] if fewer than half of the listed images are there as they were.
    pub fn adopt(&mut self, list: &ImageList) -> Result<Changes, DataError> {
        let mut listed = list.by_name();
        let mut changes = Changes::default();
        for file in &mut self.files {
            let name = file.entry.name.clone();
            let known = listed.remove(&*name);
            file.entry.split = known.and_then(|known| known.split);
            match known {
                None => changes.new.push(name),
                Some(known) if known.size != file.entry.size => changes.changed.push(name),
                Some(_) => {}
            }
        }
        let mut missing: Vec<String> = listed.into_keys().map(str::to_owned).collect();
        missing.sort_unstable();
        changes.missing = missing;
        let all = list.entries.len();
        let same = all - changes.missing.len() - changes.changed.len();
        if 2 * same < all {
            return Err(DataError::OtherImages {
                place: self.place.clone(),
                found: format!(
                    "of its {all} there are {same}, with {} others",
                    self.files.len() - same
                ),
            });
        }
        self.origins = SPLITS.map(|split| match self.count(split) {
            0 => Origin::Nothing,
            _ => Origin::Recorded,
        });
        Ok(changes)
    }

    /// Images that [`adopt`](Self::adopt) left in no split are for training from now on.
    pub fn train_on_new(&mut self) {
        for file in &mut self.files {
            file.entry.split.get_or_insert(Split::Train);
        }
    }

    /// How many of the files are for training by `list`, with the same name and size.
    pub fn trained_on(&self, list: &ImageList) -> usize {
        let listed = list.by_name();
        let files = self.files.iter().map(|file| &file.entry);
        files
            .filter(|entry| {
                let known = listed.get(&*entry.name);
                known.is_some_and(|known| {
                    known.split == Some(Split::Train) && known.size == entry.size
                })
            })
            .count()
    }

    /// Whether there are images of this split.
    pub fn has(&self, split: Split) -> bool {
        self.count(split) > 0
    }

    fn count(&self, split: Split) -> usize {
        self.indices(split).len()
    }

    fn indices(&self, split: Split) -> Vec<usize> {
        let files = self.files.iter().enumerate();
        let of_split: Vec<usize> = files
            .filter(|(_, file)| split == Split::All || file.entry.split == Some(split))
            .map(|(index, _)| index)
            .collect();
        if of_split.is_empty() && split == Split::Test && self.test_is_validation {
            return self.indices(Split::Valid);
        }
        of_split
    }

    /// The names of the folders that are classes, sorted.
    ///
    /// # Errors
    /// As [`file_classes`](Self::file_classes).
    pub fn classes(&self) -> Result<Vec<String>, DataError> {
        let all: Vec<usize> = (0..self.files.len()).collect();
        let classes: BTreeSet<String> = self.file_classes(&all)?.into_iter().collect();
        Ok(classes.into_iter().collect())
    }

    /// The classes of some files: the folders that they are in, the highest below the place or below the folders
    /// that are named after splits.
    ///
    /// # Errors
    /// [`DataError::NoClasses`] if one is in no such folder; as [`named_splits`].
    fn file_classes(&self, indices: &[usize]) -> Result<Vec<String>, DataError> {
        let names: Vec<Cow<str>> = self.files.iter().map(|file| self.telling(file)).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let level = match named_splits(&self.place, &names)? {
            Some(named) => named.level + 1,
            None => usize::from(self.tops_are_hints),
        };
        let class = |name: &str| {
            let (folders, _) = name.rsplit_once('/')?;
            folders.split('/').nth(level).map(str::to_owned)
        };
        let classes: Vec<Option<String>> =
            indices.iter().map(|&index| class(names[index])).collect();
        let mut outside = indices
            .iter()
            .zip(&classes)
            .filter(|(_, class)| class.is_none());
        if let Some((&first, _)) = outside.next() {
            let count = counted(1 + outside.count(), self.items);
            return Err(DataError::NoClasses {
                place: self.place.clone(),
                found: format!(
                    "{count} in no folder of a class, such as {}",
                    self.files[first].entry.name
                ),
            });
        }
        Ok(classes.into_iter().flatten().collect())
    }

    /// The files of a split, in the order of their names, each with the number of its class among `classes`, if
    /// there are any.
    ///
    /// # Errors
    /// [`DataError::NoSplit`] if there are none; [`DataError::NoClasses`] or [`DataError::OtherClasses`] if one has
    /// none of `classes`.
    pub fn files(&self, split: Split, classes: &[String]) -> Result<Vec<ImageFile>, DataError> {
        let indices = self.indices(split);
        if indices.is_empty() {
            return Err(DataError::NoSplit {
                place: self.place.clone(),
                split,
                layout: self.describe(Split::Train),
            });
        }
        let file = |&index: &usize| self.files[index].file.clone();
        let mut files: Vec<ImageFile> = indices.iter().map(file).collect();
        if !classes.is_empty() {
            let numbers = Numbers::new(classes);
            for (file, class) in files.iter_mut().zip(self.file_classes(&indices)?) {
                file.class = Some(numbers.of(&class, &self.place)?);
            }
        }
        Ok(files)
    }

    /// What is kept with a run.
    pub fn list(&self, kind: &str) -> ImageList {
        ImageList {
            kind: kind.to_owned(),
            entries: self.files.iter().map(|file| file.entry.clone()).collect(),
        }
    }

    /// What the files were taken for, in one line.
    pub fn describe(&self, split: Split) -> String {
        if split == Split::All {
            return format!("all {}", counted(self.files.len(), self.items));
        }
        let mut parts = Vec::new();
        for ((split, purpose), origin) in SPLITS.into_iter().zip(PURPOSES).zip(&self.origins) {
            let count = self.count(split);
            let count = match parts.is_empty() {
                true => counted(count, self.items),
                false => count.to_string(),
            };
            parts.push(format!("{count} for {purpose}{origin}"));
        }
        let nowhere = self.files.iter().filter(|file| file.entry.split.is_none());
        match nowhere.count() {
            0 => parts.join(", "),
            more => format!("{}, {more} for nothing", parts.join(", ")),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, " ({name})"),
            Self::HeldOut => f.write_str(" (held out)"),
            Self::Recorded => f.write_str(" (as the run has it)"),
            Self::Rest | Self::Nothing => Ok(()),
        }
    }
}
