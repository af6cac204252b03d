//! Images in tar files, as WebDataset has them: `tar:FILES`.
//!
//! Files stay where they are: an image is read from its place in its tar file. Labels beside the images (`.cls`,
//! `.json`, ...) are passed over.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vdvae_formats::regular;

use crate::error::DataError;
use crate::file_set::{FileSet, Listed};
use crate::image_file::ImageFile;
use crate::image_format::is_image;
use crate::listing::PassedOver;
use crate::patterns;

/// The images in all tar files that `pattern` means: one file, a folder of them, or a pattern such as
/// `train-{000..146}.tar` or `train-*.tar`. Files whose names tell a split are that split.
///
/// # Errors
/// [`DataError::Empty`] if there are no such files or no images in them, [`DataError::Format`] if one is damaged.
pub(crate) fn files(pattern: &Path) -> Result<FileSet, DataError> {
    let place = pattern.display().to_string();
    let mut listed = Vec::new();
    let mut passed_over = Vec::new();
    for shard in patterns::files(pattern, "tar")? {
        read_index(&shard, &mut listed, &mut passed_over)?;
    }
    if listed.is_empty() {
        return Err(DataError::Empty {
            place,
            expected: "images in tar files".to_owned(),
            remedy: "Give files in which there are images: tar:FILES".to_owned(),
        });
    }
    let mut set = FileSet::new(place, "images", listed, PassedOver::of(passed_over));
    set.tops_are_hints = true;
    Ok(set)
}

/// Adds the files in a tar file, without reading them.
fn read_index(
    shard: &Path,
    listed: &mut Vec<Listed>,
    passed_over: &mut Vec<PathBuf>,
) -> Result<(), DataError> {
    let place = shard.display().to_string();
    let damaged = |found: String| {
        let remedy = "Copy or download it again; if it is compressed, unpack it (gunzip) first";
        DataError::mismatch(&place, "archive", "a whole .tar file", found, remedy)
    };
    let mut file = regular::open(shard).map_err(DataError::io("open", shard))?;
    let length = file.metadata().map_err(DataError::io("open", shard))?.len();
    let mut magic = [0; 2];
    if file.read_exact(&mut magic).is_ok() && magic == [0x1F, 0x8B] {
        return Err(damaged("one compressed with gzip".to_owned()));
    }
    let file = File::open(shard).map_err(DataError::io("open", shard))?;
    let top = shard.file_name().unwrap_or_default().to_string_lossy();
    let path: Arc<Path> = shard.into();
    let mut places = BTreeMap::new();
    let mut archive = tar::Archive::new(file);
    let entries = archive.entries_with_seek();
    for entry in entries.map_err(|error| damaged(error.to_string()))? {
        let entry = entry.map_err(|error| damaged(error.to_string()))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let inside = entry.path().map_err(|error| damaged(error.to_string()))?;
        let hidden = inside
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        }
        if !is_image(&inside) {
            passed_over.push(shard.join(&inside));
            continue;
        }
        let (start, size) = (entry.raw_file_position(), entry.size());
        if start.checked_add(size).is_none_or(|end| end > length) {
            return Err(damaged(format!("one that ends in {}", inside.display())));
        }
        let below = inside.to_string_lossy();
        let below = below.trim_start_matches("./").trim_start_matches('/');
        let name = shard.join(below).display().to_string();
        let file = ImageFile::inside(name, path.clone(), start, size);
        // Of a name that is there twice the last counts, as where it is unpacked.
        let found = Listed::new(file, format!("{top}/{below}"), size);
        match places.entry(below.to_owned()) {
            Entry::Occupied(place) => listed[*place.get()] = found,
            Entry::Vacant(place) => {
                place.insert(listed.len());
                listed.push(found);
            }
        }
    }
    Ok(())
}
