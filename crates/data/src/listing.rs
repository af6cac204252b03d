//! Which image files a folder holds, and which of them a split has.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::image_file::ImageFile;
use crate::image_format::{KNOWN, is_image};
use crate::lmdb;
use crate::split::{Split, held_out};

/// The sub-folders of a folder that is split already.
pub(crate) struct SplitFolders {
    pub train: PathBuf,
    pub valid: PathBuf,
    /// The validation folder again where there is no test folder.
    pub test: PathBuf,
}

/// The folders `train`, `valid` (or `val`) and `test` (or `valid` once more) in `folder`.
///
/// `None` unless there are at least the first two.
pub(crate) fn split_folders(folder: &Path) -> Option<SplitFolders> {
    let existing = |name: &str| Some(folder.join(name)).filter(|path| path.is_dir());
    let train = existing("train")?;
    let valid = existing("valid").or_else(|| existing("val"))?;
    let test = existing("test").unwrap_or_else(|| valid.clone());
    Some(SplitFolders { train, valid, test })
}

/// The image files of `split`: by sub-folder where the folder is split already, else held out.
///
/// What is held out depends on the list of files and the seed alone, not on which images are bad.
pub(crate) fn split_files(
    folder: &Path,
    split: Split,
    seed: u64,
    items: &'static str,
) -> Result<Vec<ImageFile>, DataError> {
    if let Some(folders) = split_folders(folder) {
        return image_files(match split {
            Split::Train => &folders.train,
            Split::Valid => &folders.valid,
            Split::Test => &folders.test,
            Split::All => folder,
        });
    }
    let files = image_files(folder)?;
    let part = held_out(
        split,
        files.len(),
        seed,
        &folder.display().to_string(),
        items,
    )?;
    let mut files: Vec<_> = files.into_iter().map(Some).collect();
    Ok(part
        .into_iter()
        .filter_map(|index| files[index].take())
        .collect())
}

/// The files at [`image_paths`].
///
/// # Errors
/// As there.
fn image_files(folder: &Path) -> Result<Vec<ImageFile>, DataError> {
    let paths = image_paths(folder)?;
    Ok(paths.into_iter().map(ImageFile::at).collect())
}

/// The paths of all files of images (by their names) in `folder` and the folders in it, sorted.
/// Names that start with a dot are passed over.
///
/// # Errors
/// [`DataError::Format`] if a folder cannot be read, [`DataError::Empty`] if there are no images.
pub fn image_paths(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = Vec::new();
    collect(folder, &mut HashSet::new(), &mut paths)?;
    if paths.is_empty() {
        return Err(DataError::Empty {
            place: folder.display().to_string(),
            expected: format!("{KNOWN} images"),
            remedy: if lmdb::is_in(folder) {
                lmdb::REMEDY.to_owned()
            } else {
                "Give a folder that holds such files, in folders of classes or not".to_owned()
            },
        });
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Adds the image files under `folder` to `paths`.
fn collect(
    folder: &Path,
    visited: &mut HashSet<PathBuf>,
    paths: &mut Vec<PathBuf>,
) -> Result<(), DataError> {
    // A link to a folder is followed, but once: links may form a circle.
    let real = folder
        .canonicalize()
        .map_err(DataError::io("open folder", folder))?;
    if !visited.insert(real) {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(DataError::io("read folder", folder))? {
        let path = entry.map_err(DataError::io("read folder", folder))?.path();
        if path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
        {
            continue;
        }
        if path.is_dir() {
            collect(&path, visited, paths)?;
        } else if is_image(&path) {
            paths.push(path);
        }
    }
    Ok(())
}
