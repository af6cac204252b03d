//! Which arrays of a .npz file are images, and what each is for.

use std::path::Path;
use std::sync::Arc;

use vdvae_formats::npy::Header;
use vdvae_formats::npz::Npz;

use crate::array::{ArrayImages, Bytes, Fit, from_npy, map_file};
use crate::array_set::ArraySet;
use crate::dataset::{Dataset, ImageShape};
use crate::error::DataError;
use crate::layout::is_image_array;
use crate::named_splits::split_of;
use crate::split::Split;

/// So much of an array's file is read to know its header.
const HEADER: usize = 1 << 10;

/// Opens the images in a .npz file: the array of this name; or the only one that can be images; or those that are
/// named after splits, such as `train_images`, or `x_train` and `x_test`.
///
/// # Errors
/// [`DataError::Format`] if that leaves a choice, or an array is not images.
pub(crate) fn open(
    path: &Path,
    name: Option<&str>,
    image: ImageShape,
) -> Result<ArraySet, DataError> {
    let place = path.display().to_string();
    let archive = Npz::open(map_file(path)?, &place)?;
    let names: Vec<&str> = archive.names().collect();
    if let Some(name) = name {
        let Some(index) = names.iter().position(|found| *found == name) else {
            let remedy = "Give one of these names: npz:FILE[NAME]";
            return Err(no_choice(&place, name, &names, remedy));
        };
        let array = read(path, index, Fit::Exact, image)?;
        return Ok(ArraySet::unsplit(Arc::new(array)));
    }
    let mut candidates = Vec::new();
    for (index, name) in names.iter().enumerate() {
        if names.len() == 1 || header(&archive, index).is_ok_and(|header| is_image_array(&header)) {
            candidates.push((index, *name));
        }
    }
    let splits: Vec<Option<Split>> = candidates
        .iter()
        .map(|(_, name)| split_of_array(name))
        .collect();
    match candidates[..] {
        [(index, _)] if splits[0].is_none() => {
            let array = read(path, index, Fit::Exact, image)?;
            Ok(ArraySet::unsplit(Arc::new(array)))
        }
        [_, ..] if splits.iter().all(Option::is_some) => {
            let open = |split| -> Result<Option<Arc<dyn Dataset>>, DataError> {
                let mut of_split = candidates
                    .iter()
                    .zip(&splits)
                    .filter(|&(_, found)| *found == Some(split));
                let Some(((index, _), _)) = of_split.next() else {
                    return Ok(None);
                };
                if of_split.next().is_some() {
                    let remedy = "Name one array for each split";
                    return Err(no_choice(
                        &place,
                        "one array for each split",
                        &names,
                        remedy,
                    ));
                }
                Ok(Some(Arc::new(read(path, *index, Fit::Padded, image)?)))
            };
            ArraySet::split(
                [open(Split::Train)?, open(Split::Valid)?, open(Split::Test)?],
                &place,
            )
        }
        _ => {
            let remedy =
                "Say which: npz:FILE[NAME], or save the images alone: numpy.savez(file, x=images)";
            let expected = "one array of images, or some named after splits (train_images, x_test)";
            Err(no_choice(&place, expected, &names, remedy))
        }
    }
}

fn no_choice(place: &str, expected: &str, names: &[&str], remedy: &str) -> DataError {
    let found = if names.is_empty() {
        "no array".to_owned()
    } else {
        names.join(", ")
    };
    DataError::mismatch(place, "arrays", expected, found, remedy)
}

/// The split that a word of an array's name is for.
fn split_of_array(name: &str) -> Option<Split> {
    name.split('_').find_map(split_of)
}

/// The header of array `index`.
fn header(archive: &Npz<memmap2::Mmap>, index: usize) -> Result<Header, DataError> {
    let start = archive.start_of(index, HEADER)?;
    Ok(Header::parse(&start, &archive.place(index))?)
}

/// Array `index` of the file. One that is stored without compression stays in the file.
fn read(path: &Path, index: usize, fit: Fit, image: ImageShape) -> Result<ArrayImages, DataError> {
    let archive = Npz::open(map_file(path)?, &path.display().to_string())?;
    let name = archive.place(index);
    match archive.stored(index)? {
        Some(npy) => from_npy(Bytes::Mapped(archive.into_bytes()), npy, fit, image, name),
        None => {
            let npy = archive.read(index)?;
            let all = 0..npy.len();
            from_npy(Bytes::Owned(npy), all, fit, image, name)
        }
    }
}
