//! One file of images, `npy:FILE`: .npy or .npz.

use std::path::Path;
use std::sync::Arc;

use crate::array::open_npy;
use crate::dataset::{Dataset, Subset};
use crate::error::DataError;
use crate::npz;
use crate::options::OpenOptions;
use crate::split::{Split, held_out};

/// Opens `npy:FILE`, a .npy or .npz file.
pub(crate) fn open(
    path: &Path,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    let is_npz = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("npz"));
    let inner: Arc<dyn Dataset> = Arc::new(if is_npz {
        npz::open(path, options.image)?
    } else {
        open_npy(path, options.image)?
    });
    let place = path.display().to_string();
    let indices = held_out(split, inner.len(), options.seed, &place, "images")?;
    Ok(Arc::new(Subset { inner, indices }))
}
