//! Where images come from: what `--data` says.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use crate::collection::Collection;
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::options::OpenOptions;
use crate::split::Split;
use crate::{image_format, lmdb};

/// A data source, written `photos` or `kind:path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The photographs in the program itself, in crops.
    Photos,
    /// A folder of larger photographs, in crops.
    Crops(PathBuf),
    /// A folder of images, centre-cropped and resized.
    Folder(PathBuf),
    /// Images in tar files: one, a folder of them, or a pattern such as `train-{000..146}.tar`.
    Tar(PathBuf),
    /// Images in a column of Parquet files, given as tar files are; with the feature `parquet` alone.
    Parquet(PathBuf),
    /// A .npy or .npz file of N x S x S x C bytes.
    Npy(PathBuf),
    /// A .npz file, some of whose arrays are images, named after splits or by `[NAME]` behind the path.
    Npz(PathBuf),
    /// CIFAR-10: a folder of python or binary batches, or the .tar.gz as downloaded.
    Cifar10(PathBuf),
    /// CIFAR-100, as CIFAR-10.
    Cifar100(PathBuf),
    /// `imagenet32-train.npy` and `imagenet32-valid.npy`.
    Imagenet32(PathBuf),
    /// `imagenet64-train.npy` and `imagenet64-valid.npy`.
    Imagenet64(PathBuf),
    /// ImageNet-32 in the batches of image-net.org, resized otherwise than [`Imagenet32`](Self::Imagenet32).
    Imagenet32Batches(PathBuf),
    /// ImageNet-64 in the batches of image-net.org.
    Imagenet64Batches(PathBuf),
    /// `ffhq-256.npy`.
    Ffhq256(PathBuf),
    /// Folders `train` and `valid` of 1024 x 1024 PNG files.
    Ffhq1024(PathBuf),
    /// CelebA: a folder of aligned JPEG files with `list_eval_partition.txt`, cropped to the face.
    Celeba(PathBuf),
    /// MNIST or Fashion-MNIST: a folder of IDX files, .gz or not.
    Idx(PathBuf),
    /// MNIST with pixels of 0 and 1: a folder of `binarized_mnist_train.amat`, `_valid` and `_test`.
    Amat(PathBuf),
}

/// Name, constructor and argument of a kind of source.
type Kind = (&'static str, fn(PathBuf) -> Source, &'static str);

/// The kinds that take a path.
const KINDS: [Kind; 17] = [
    ("crops", Source::Crops, "DIR"),
    ("folder", Source::Folder, "DIR"),
    ("tar", Source::Tar, "FILES"),
    ("parquet", Source::Parquet, "FILES"),
    ("npy", Source::Npy, "FILE"),
    ("npz", Source::Npz, "FILE[NAME]"),
    ("cifar10", Source::Cifar10, "PATH"),
    ("cifar100", Source::Cifar100, "PATH"),
    ("imagenet32", Source::Imagenet32, "DIR"),
    ("imagenet64", Source::Imagenet64, "DIR"),
    ("imagenet32-batches", Source::Imagenet32Batches, "DIR"),
    ("imagenet64-batches", Source::Imagenet64Batches, "DIR"),
    ("ffhq256", Source::Ffhq256, "DIR"),
    ("ffhq1024", Source::Ffhq1024, "DIR"),
    ("celeba", Source::Celeba, "DIR"),
    ("idx", Source::Idx, "DIR"),
    ("amat", Source::Amat, "DIR"),
];

impl Source {
    /// The word before the colon.
    pub(crate) fn kind(&self) -> &'static str {
        self.parts().0
    }

    /// The file or folder, where there is one; of `npz:FILE[NAME]` without the name.
    pub fn path(&self) -> Option<&Path> {
        let path = self.parts().1?;
        let name = path.to_str().and_then(|path| path.split_once('['));
        match (self, name) {
            (Self::Npz(_), Some((file, _))) if !path.exists() => Some(Path::new(file)),
            _ => Some(path),
        }
    }

    /// The path, for messages.
    pub(crate) fn place(&self) -> String {
        let path = self.parts().1;
        path.map_or_else(|| self.kind().to_owned(), |path| path.display().to_string())
    }

    /// Whether images are decoded, which another version of the program may do to other last bits.
    pub(crate) fn is_decoded(&self) -> bool {
        matches!(self, Self::Photos | Self::Celeba(_))
    }

    /// The same source by a path that does not depend on the working folder.
    ///
    /// # Errors
    /// If the working folder cannot be told.
    pub fn absolute(&self) -> std::io::Result<Self> {
        let (kind, path) = self.parts();
        let known = KINDS.iter().find(|(name, ..)| *name == kind);
        match (known, path) {
            (Some((_, source, _)), Some(path)) => Ok(source(std::path::absolute(path)?)),
            _ => Ok(self.clone()),
        }
    }

    /// Name of the kind and path, if it has one.
    fn parts(&self) -> (&'static str, Option<&PathBuf>) {
        match self {
            Self::Photos => ("photos", None),
            Self::Crops(path) => ("crops", Some(path)),
            Self::Folder(path) => ("folder", Some(path)),
            Self::Tar(path) => ("tar", Some(path)),
            Self::Parquet(path) => ("parquet", Some(path)),
            Self::Npy(path) => ("npy", Some(path)),
            Self::Npz(path) => ("npz", Some(path)),
            Self::Cifar10(path) => ("cifar10", Some(path)),
            Self::Cifar100(path) => ("cifar100", Some(path)),
            Self::Imagenet32(path) => ("imagenet32", Some(path)),
            Self::Imagenet32Batches(path) => ("imagenet32-batches", Some(path)),
            Self::Imagenet64Batches(path) => ("imagenet64-batches", Some(path)),
            Self::Imagenet64(path) => ("imagenet64", Some(path)),
            Self::Ffhq256(path) => ("ffhq256", Some(path)),
            Self::Ffhq1024(path) => ("ffhq1024", Some(path)),
            Self::Celeba(path) => ("celeba", Some(path)),
            Self::Idx(path) => ("idx", Some(path)),
            Self::Amat(path) => ("amat", Some(path)),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (kind, Some(path)) => write!(f, "{kind}:{}", path.display()),
            (kind, None) => f.write_str(kind),
        }
    }
}

impl FromStr for Source {
    type Err = DataError;

    fn from_str(given: &str) -> Result<Self, DataError> {
        let (kind, path) = match given.split_once(':') {
            Some((kind, path)) => (kind, Some(path).filter(|path| !path.is_empty())),
            None => (given, None),
        };
        let syntax_error = |expected: String| DataError::SourceSyntax {
            given: given.to_owned(),
            expected,
        };
        if kind == "photos" {
            return if given == kind {
                Ok(Self::Photos)
            } else {
                Err(syntax_error("photos".to_owned()))
            };
        }
        match (KINDS.iter().find(|(name, ..)| *name == kind), path) {
            (Some((_, source, _)), Some(path)) => Ok(source(path.into())),
            (Some((name, _, argument)), None) => Err(syntax_error(format!("{name}:{argument}"))),
            (None, _) => Err(unknown(given, kind)),
        }
    }
}

/// The error for a kind that does not exist, with what was probably meant.
fn unknown(given: &str, kind: &str) -> DataError {
    let forms: Vec<String> = std::iter::once("photos".to_owned())
        .chain(
            KINDS
                .iter()
                .map(|(name, _, argument)| format!("{name}:{argument}")),
        )
        .collect();
    let name = |form: &str| form.split(':').next().unwrap_or_default().to_owned();
    let nearest = forms
        .iter()
        .min_by_key(|form| edit_distance(kind, &name(form)));
    let hint = match nearest {
        _ if kind == "lmdb" => format!("{}. ", lmdb::REMEDY),
        _ if PathBuf::from(given).is_dir() => format!("Did you mean `folder:{given}`? "),
        _ if PathBuf::from(given).is_file() => hint_for_file(given),
        Some(form) if edit_distance(kind, &name(form)) <= 3 => format!("Did you mean `{form}`? "),
        _ => String::new(),
    };
    DataError::UnknownSource {
        given: given.to_owned(),
        hint,
        known: forms.join(", "),
    }
}

/// What a bare path of a file was probably meant for.
fn hint_for_file(given: &str) -> String {
    let path = Path::new(given);
    if image_format::is_image(path) {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.display().to_string(),
            _ => ".".to_owned(),
        };
        return format!(
            "That is one image; a folder of images is given as `folder:{folder}`, and commands that take files take \
             them without --data. "
        );
    }
    let endings = ["npz", "tar", "parquet", "npy"].into_iter();
    let kind = endings
        .rev()
        .find(|kind| path.extension().is_some_and(|found| found == *kind));
    format!("Did you mean `{}:{given}`? ", kind.unwrap_or("npy"))
}

/// Insertions, deletions and replacements that turn `from` into `to` (Levenshtein).
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, wanted) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &found) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(wanted != found);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

/// Opens a split of a data source. What it returns has at least one item.
///
/// # Errors
/// If there is nothing there, or it is not what the source's files have to be; see [`DataError`].
pub fn open(
    source: &Source,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    let collection = match split {
        Split::All => Collection::whole(source, options),
        _ => Collection::split(source, options),
    }?;
    collection.open(split, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_written_as_they_are_read() {
        assert_eq!("photos".parse::<Source>().unwrap(), Source::Photos);
        for (name, source, _) in KINDS {
            let written = format!("{name}:some/where:else");
            let parsed: Source = written.parse().unwrap();
            assert_eq!(parsed, source("some/where:else".into()));
            assert_eq!(parsed.to_string(), written);
        }
    }

    #[test]
    fn an_unknown_kind_lists_the_known_and_suggests_the_nearest() {
        let error = "foldr:pictures".parse::<Source>().unwrap_err().to_string();
        assert!(error.contains("Did you mean `folder:DIR`?"), "{error}");
        for known in [
            "photos",
            "crops:DIR",
            "npy:FILE",
            "cifar10:PATH",
            "ffhq1024:DIR",
            "idx:DIR",
        ] {
            assert!(error.contains(known), "{error}");
        }
        let error = "something-else-entirely"
            .parse::<Source>()
            .unwrap_err()
            .to_string();
        assert!(!error.contains("Did you mean"), "{error}");
    }

    #[test]
    fn a_bare_folder_is_met_with_the_way_to_write_it() {
        let folder = tempfile::tempdir().unwrap();
        let given = folder.path().display().to_string();
        let error = given.parse::<Source>().unwrap_err().to_string();
        assert!(
            error.contains(&format!("Did you mean `folder:{given}`?")),
            "{error}"
        );
    }

    #[test]
    fn a_missing_or_needless_path_is_an_error() {
        for (given, expected) in [
            ("cifar10", "cifar10:PATH"),
            ("npy:", "npy:FILE"),
            ("photos:x", "`photos`"),
        ] {
            let error = given.parse::<Source>().unwrap_err().to_string();
            assert!(error.contains(given) && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn edit_distances() {
        for (from, to, distance) in [
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("idx", "idx", 0),
            ("cifar", "cifar10", 2),
        ] {
            assert_eq!(edit_distance(from, to), distance, "{from} {to}");
            assert_eq!(edit_distance(to, from), distance, "{to} {from}");
        }
    }
}
