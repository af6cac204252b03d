//! What can be wrong with a data set, said so that a person can put it right.

use std::path::Path;

use vdvae_formats::FormatError;

use crate::counted::counted;
use crate::loss::Losses;
use crate::split::Split;

/// Everything that opening or reading images can fail with.
///
/// Every message names the file and, where there is one, the field, what was expected, what was
/// found and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// `--data` names no kind of data source that exists.
    #[error("unknown data source `{given}`. {hint}Known are: {known}")]
    UnknownSource {
        /// What was given.
        given: String,
        /// "Did you mean ...? ", or nothing.
        hint: String,
        /// Every kind, with the shape of its argument.
        known: String,
    },

    /// `--data` names a kind that needs a path, without one, or the other way round.
    #[error("data source `{given}`: expected `{expected}`")]
    SourceSyntax {
        /// What was given.
        given: String,
        /// How it is written.
        expected: String,
    },

    /// `--split` names no split.
    #[error("unknown split `{given}`: expected train, valid, test or all{hint}")]
    UnknownSplit {
        /// What was given.
        given: String,
        /// ". Did you mean ...?", or nothing.
        hint: String,
    },

    /// An argument of this library that cannot work, such as a batch size of zero.
    #[error("{field}: expected {expected}, found {found}")]
    Argument {
        /// Name of the argument.
        field: &'static str,
        /// What would be right.
        expected: &'static str,
        /// What was given.
        found: String,
    },

    /// An image of a data set, or several, cannot be used.
    #[error(
        "{name}: {reason}{}. Repair or remove it, or go on without it: --skip-bad-images",
        others(more)
    )]
    BadImage {
        /// File of the image.
        name: String,
        /// What is wrong with it.
        reason: String,
        /// The further images that are known to be bad, each with what is wrong with it.
        more: Vec<String>,
    },

    /// An image that was asked for by name cannot be used.
    #[error("{name}: {reason}")]
    Image {
        /// File of the image.
        name: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A picture holds more than 8-bit gray or RGB values, all of which were wanted.
    #[error(
        "{name}: holds {losses}, which 8-bit gray or RGB values do not give back. Convert it first \
         if that is exact enough"
    )]
    Lossy {
        /// File of the image.
        name: String,
        /// What would be lost.
        losses: Losses,
    },

    /// There is nothing to read.
    #[error("{place}: expected {expected}, found none. {remedy}")]
    Empty {
        /// The file or folder.
        place: String,
        /// What was looked for.
        expected: String,
        /// What to do.
        remedy: String,
    },

    /// Folders do not tell for certain which images are for what.
    #[error(
        "{place}: {problem}:{layout}\nName the folders train, valid and test, move the others elsewhere, or give one \
         of the folders. Commands that have --split take everything together by --split all"
    )]
    Layout {
        /// The folder.
        place: String,
        /// What is ambiguous.
        problem: &'static str,
        /// The folders with their numbers of images, a line each.
        layout: String,
    },

    /// A split that the data set does not come with, and that is not held out of another.
    #[error(
        "{place}: the split {split}: expected images, found {layout}. Give images for it, or all in one \
         folder, to be split. Commands that have --split take another, or everything by --split all"
    )]
    NoSplit {
        /// The file or folder.
        place: String,
        /// What was wanted.
        split: Split,
        /// What there is.
        layout: String,
    },

    /// The images are not those that a run was begun with.
    #[error(
        "{place}: expected the images that the run was begun with, found others: {found}. Put those back, or say \
         where they are: --data SOURCE. Others are learnt by a run of their own (--out), and evaluated whole by \
         `vdvae eval --data`"
    )]
    OtherImages {
        /// The file or folder.
        place: String,
        /// How they differ.
        found: String,
    },

    /// A model tells classes apart, and the source does not tell which an image is of.
    #[error(
        "{place}: expected images of known classes, which the model tells apart, found {found}. Give a folder with a \
         folder for each class, below train, valid and test or without these (folder:DIR), cifar10:PATH or \
         cifar100:PATH; or take a model without classes"
    )]
    NoClasses {
        /// The file or folder.
        place: String,
        /// What there is.
        found: String,
    },

    /// An image is of a class that the model does not know.
    #[error(
        "{place}: expected images of the classes that the model knows ({expected}), found class `{found}`. Name it as \
         the model does, or leave its images out"
    )]
    OtherClasses {
        /// The file or folder.
        place: String,
        /// The classes of the model.
        expected: String,
        /// That of an image.
        found: String,
    },

    /// Too few items to set some aside for validation and test.
    #[error(
        "{place}: expected at least {needed} {items} to hold some out for validation and test, \
         found {found}. Add more. Commands that have --split take the few whole by --split all"
    )]
    TooFew {
        /// The file or folder.
        place: String,
        /// "images" or "photographs".
        items: &'static str,
        /// The smallest number that works.
        needed: usize,
        /// The number there is.
        found: usize,
    },

    /// A file cannot be read, or is not what it has to be.
    #[error(transparent)]
    Format(#[from] FormatError),
}

fn others(more: &[String]) -> String {
    if more.is_empty() {
        return String::new();
    }
    let lines: String = more.iter().map(|image| format!("\n  {image}")).collect();
    let images = counted(more.len(), "more images");
    format!(" (and {images} cannot be used:{lines})")
}

impl DataError {
    /// The file system said no; for use with `map_err`.
    pub(crate) fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |source| FormatError::io(action, path)(source).into()
    }

    /// A field of the file at `place` is not what it has to be.
    pub(crate) fn mismatch(
        place: &str,
        field: &'static str,
        expected: impl ToString,
        found: impl ToString,
        remedy: impl ToString,
    ) -> Self {
        FormatError::mismatch(place, field, expected, found, remedy).into()
    }
}
