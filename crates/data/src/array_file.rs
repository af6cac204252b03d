//! One file of images, `npy:FILE` or `npz:FILE`.

use std::path::Path;
use std::sync::Arc;

use crate::array::open_npy;
use crate::array_set::ArraySet;
use crate::dataset::ImageShape;
use crate::error::DataError;
use crate::npz;

/// Opens `npy:FILE`, a .npy or .npz file.
pub(crate) fn open(path: &Path, image: ImageShape) -> Result<ArraySet, DataError> {
    let is_npz = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("npz"));
    if is_npz {
        return npz::open(path, None, image);
    }
    Ok(ArraySet::unsplit(Arc::new(open_npy(path, image)?)))
}

/// Opens `npz:FILE` or, for one of its arrays, `npz:FILE[NAME]`.
pub(crate) fn open_npz(path: &Path, image: ImageShape) -> Result<ArraySet, DataError> {
    let text = path.to_string_lossy();
    let named = text
        .strip_suffix(']')
        .and_then(|text| text.rsplit_once('['));
    match named.filter(|_| !path.is_file()) {
        Some((file, name)) => npz::open(Path::new(file), Some(name), image),
        None => npz::open(path, None, image),
    }
}
