//! LMDB, which is not read: what to do instead.
//!
//! Its readers are all bindings of the C library, which this program does without.

use std::path::Path;

/// What a person can do with a database of images.
pub(crate) const REMEDY: &str = "LMDB databases are not read. With Python's lmdb package, write each value to \
    a file (as it is if it is JPEG or PNG; bytes of pixels as PNG), then give folder:DIR, or celeba:DIR with its \
    list_eval_partition.txt";

/// Whether a database is in `folder`.
pub(crate) fn is_in(folder: &Path) -> bool {
    let databases = ["", "train.lmdb", "validation.lmdb"];
    let mut files = databases
        .iter()
        .map(|name| folder.join(name).join("data.mdb"));
    files.any(|file| file.is_file())
}
