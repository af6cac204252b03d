//! Which array of a .npz file is the images.

use std::path::Path;

use vdvae_formats::npz::Npz;

use crate::array::{ArrayImages, Bytes, from_npy, map_file};
use crate::dataset::ImageShape;
use crate::error::DataError;

/// The array that is taken if there are several, in this order of preference.
const PREFERRED: [&str; 4] = ["x", "images", "data", "arr_0"];

/// Opens the array of images in a .npz file. One that is stored without compression stays in the file.
pub(crate) fn open(path: &Path, image: ImageShape) -> Result<ArrayImages, DataError> {
    let place = path.display().to_string();
    let archive = Npz::open(map_file(path)?, &place)?;
    let names: Vec<&str> = archive.names().collect();
    let index = choose(&names, &place)?;
    let name = archive.place(index);
    match archive.stored(index)? {
        Some(npy) => from_npy(Bytes::Mapped(archive.into_bytes()), npy, image, name),
        None => {
            let npy = archive.read(index)?;
            let all = 0..npy.len();
            from_npy(Bytes::Owned(npy), all, image, name)
        }
    }
}

/// The only array, or the one with the preferred name.
fn choose(names: &[&str], place: &str) -> Result<usize, DataError> {
    let preferred = || {
        let mut wanted = PREFERRED.iter();
        wanted.find_map(|wanted| names.iter().position(|name| name == wanted))
    };
    let chosen = if names.len() == 1 {
        Some(0)
    } else {
        preferred()
    };
    chosen.ok_or_else(|| {
        let found = if names.is_empty() {
            "no array".to_owned()
        } else {
            names.join(", ")
        };
        let expected = "one array, or one called x, images, data or arr_0";
        let remedy = "Save the images alone: numpy.savez(file, x=images)";
        DataError::mismatch(place, "arrays", expected, found, remedy)
    })
}
