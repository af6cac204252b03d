//! Checkpoints as TensorFlow writes them, and as it does not.

mod bad_entries;
mod bad_files;
mod craft;
mod damage;
mod reading;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vdvae_formats::tensorflow::Checkpoint;

/// A checkpoint that TensorFlow wrote.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/tensorflow")
        .join(name)
}

/// A copy of one, to be changed.
fn copy(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(fixture(name)).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

/// Changes a file.
fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// The bytes of a number, 0.5.
const HALF: [u8; 4] = 0.5_f32.to_le_bytes();

/// Opening, or else reading a tensor, fails with all of this in the message.
#[track_caller]
fn refused(path: &Path, tensor: &str, expected: &[&str]) {
    let error = match Checkpoint::open(path) {
        Ok(checkpoint) => checkpoint.read(tensor).unwrap_err(),
        Err(error) => error,
    };
    let error = error.to_string();
    for part in expected {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}
