//! CelebA: the folder of aligned JPEG files with its split, `celeba:DIR`.
//!
//! Crop and filter are those of the published results with Pillow, to one level of 255. What the JPEG decoder makes of
//! a file differs between programs by up to two levels at 64 x 64 (`findings/jpeg_decoders.sh`).

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vdvae_formats::regular;

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::folder::Folder;
use crate::image_file::{ImageFile, Window};
use crate::image_store::Prepare;
use crate::lmdb;
use crate::options::OpenOptions;
use crate::split::Split;

/// The part of a 178 x 218 image that is kept: the face, 148 x 148, as in the published results at 64 x 64.
const FACE: Window = Window {
    picture: [178, 218],
    corner: [15, 40],
    size: [148, 148],
};

const IMAGES: &str = "img_align_celeba";
const PARTITION: &str = "list_eval_partition.txt";

/// Opens `celeba:DIR`: the file list of the data set says which images are for training (0), validation (1) and
/// test (2).
///
/// Published results at 64 x 64 are of the validation images (NVAE) or of the test images: say which.
pub(crate) fn open(
    folder: &Path,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    fs::metadata(folder).map_err(DataError::io("open", folder))?;
    let partition = find_partition(folder)?;
    let place = partition.display().to_string();
    let text = regular::read(&partition).map_err(DataError::io("read", &partition))?;
    let text = String::from_utf8_lossy(&text);
    let names = names(&text, split, &place)?;
    let images = images_folder(folder);
    if !options.skip_bad_images {
        check_present(&images, &names, &place)?;
    }
    let file = |name: &str| ImageFile::at(images.join(name));
    let files = names.into_iter().map(file).collect();
    let prepare = Prepare::Window(FACE, options.image);
    Ok(Arc::new(Folder::prepare(
        &images.display().to_string(),
        files,
        prepare,
        options,
    )?))
}

/// The images' folder: in `folder`, in `Img` as the data set is published, or `folder` itself.
fn images_folder(folder: &Path) -> PathBuf {
    let inside = [folder.join(IMAGES), folder.join("Img").join(IMAGES)];
    let found = inside.into_iter().find(|path| path.is_dir());
    found.unwrap_or_else(|| folder.to_owned())
}

/// The split file, beside the images or in `Eval` as the data set is published.
fn find_partition(folder: &Path) -> Result<PathBuf, DataError> {
    let places = [
        folder.to_owned(),
        folder.join("Eval"),
        folder.join(".."),
        folder.join("../Eval"),
    ];
    let mut files = places.iter().map(|place| place.join(PARTITION));
    files
        .find(|path| path.is_file())
        .ok_or_else(|| DataError::Empty {
            place: folder.display().to_string(),
            expected: format!("{PARTITION} in it, in the folder above, or in Eval there"),
            remedy: if lmdb::is_in(folder) {
                lmdb::REMEDY.to_owned()
            } else {
                "It comes with CelebA; without it, take the images as folder:DIR".to_owned()
            },
        })
}

/// The names of the images of `split`, in the order of the file: lines of a name and 0, 1 or 2.
fn names<'a>(text: &'a str, split: Split, place: &str) -> Result<Vec<&'a str>, DataError> {
    let mut names = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else {
            continue;
        };
        let part = match (words.next(), words.next()) {
            (Some("0"), None) => Split::Train,
            (Some("1"), None) => Split::Valid,
            (Some("2"), None) => Split::Test,
            _ => return Err(bad_line(place, number, line)),
        };
        // A name of a file and nothing else, so that no other folder is read.
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(bad_line(place, number, line));
        }
        if split == Split::All || split == part {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Err(DataError::Empty {
            place: place.to_owned(),
            expected: format!("images of the split {split}"),
            remedy: "Download the file again".to_owned(),
        });
    }
    Ok(names)
}

fn bad_line(place: &str, number: usize, line: &str) -> DataError {
    let expected = "a file's name and 0, 1 or 2, such as `000001.jpg 0`";
    DataError::mismatch(
        &format!("{place} line {number}"),
        "split",
        expected,
        format!("`{line}`"),
        "Download the file again",
    )
}

/// Checks that all files are there, before anything is decoded.
fn check_present(images: &Path, names: &[&str], place: &str) -> Result<(), DataError> {
    let mut present: HashSet<OsString> = HashSet::new();
    for entry in fs::read_dir(images).map_err(DataError::io("read folder", images))? {
        let entry = entry.map_err(DataError::io("read folder", images))?;
        present.insert(entry.file_name());
    }
    let mut absent = names
        .iter()
        .filter(|name| !present.contains::<OsStr>(name.as_ref()));
    let Some(first) = absent.next() else {
        return Ok(());
    };
    let expected = format!("all {} files that {place} lists", names.len());
    let found = match absent.count() {
        0 => format!("no {first}"),
        more => format!("no {first} and {more} more missing"),
    };
    let remedy =
        format!("Unpack {IMAGES}.zip again, or go on without what is missing: --skip-bad-images");
    Err(DataError::mismatch(
        &images.display().to_string(),
        "images",
        expected,
        found,
        remedy,
    ))
}
