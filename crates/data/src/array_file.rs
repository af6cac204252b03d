//! One file of images, `npy:FILE`: .npy or .npz.

use std::path::Path;
use std::sync::Arc;

use crate::array::open_npy;
use crate::dataset::{Dataset, ImageShape};
use crate::error::DataError;
use crate::npz;

/// Opens `npy:FILE`, a .npy or .npz file.
pub(crate) fn open(path: &Path, image: ImageShape) -> Result<Arc<dyn Dataset>, DataError> {
    let is_npz = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("npz"));
    Ok(Arc::new(if is_npz {
        npz::open(path, image)?
    } else {
        open_npy(path, image)?
    }))
}
