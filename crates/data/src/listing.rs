//! Which image files a folder holds.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::counted::counted;
use crate::error::DataError;
use crate::image_format::{KNOWN, is_image, is_unread_picture};
use crate::lmdb;

/// The files of a folder and the folders in it, each kind sorted.
#[derive(Debug, Default)]
pub struct FolderImages {
    /// Those whose names end as a format that is read.
    pub images: Vec<PathBuf>,
    /// All others.
    pub passed_over: PassedOver,
}

/// Files that are no images by their names, or of no format that is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedOver(Vec<PathBuf>);

impl PassedOver {
    pub(crate) fn of(mut files: Vec<PathBuf>) -> Self {
        files.sort_unstable();
        Self(files)
    }

    /// The files, sorted.
    pub fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    /// Those that are pictures all the same, by their names: .avif, .heic and others.
    pub fn pictures(&self) -> Self {
        let pictures = self.0.iter().filter(|path| is_unread_picture(path));
        Self(pictures.cloned().collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for PassedOver {
    /// "53 files: 50 .avif, 3 .txt", the most frequent endings first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut endings: BTreeMap<String, usize> = BTreeMap::new();
        for path in &self.0 {
            let ending = match path.extension().and_then(OsStr::to_str) {
                Some(extension) => format!(".{}", extension.to_ascii_lowercase()),
                None => "without an ending".to_owned(),
            };
            *endings.entry(ending).or_default() += 1;
        }
        let mut endings: Vec<_> = endings.into_iter().collect();
        endings.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        write!(f, "{}: ", counted(self.0.len(), "files"))?;
        for (place, (ending, count)) in endings.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{count} {ending}")?;
        }
        Ok(())
    }
}

/// All files in `folder` and the folders in it. Names that start with a dot do not count.
///
/// # Errors
/// [`DataError::Format`] if a folder cannot be read, [`DataError::Empty`] if there are no images.
pub fn look_through(folder: &Path) -> Result<FolderImages, DataError> {
    let mut found = FolderImages::default();
    collect(folder, &mut HashSet::new(), &mut found)?;
    if found.images.is_empty() {
        return Err(DataError::Empty {
            place: folder.display().to_string(),
            expected: format!("{KNOWN} images"),
            remedy: if lmdb::is_in(folder) {
                lmdb::REMEDY.to_owned()
            } else if found.passed_over.is_empty() {
                "Give a folder that holds such files, in folders of classes or not".to_owned()
            } else {
                format!(
                    "It holds {}. Give a folder of images, or convert these",
                    found.passed_over
                )
            },
        });
    }
    found.images.sort_unstable();
    found.passed_over.0.sort_unstable();
    Ok(found)
}

/// Adds the files under `folder` to `found`.
fn collect(
    folder: &Path,
    visited: &mut HashSet<PathBuf>,
    found: &mut FolderImages,
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
            collect(&path, visited, found)?;
        } else if is_image(&path) {
            found.images.push(path);
        } else {
            found.passed_over.0.push(path);
        }
    }
    Ok(())
}
