//! Published checkpoints into runs and runs into published checkpoints, by the command.
//!
//! `files/` holds small ones that PyTorch wrote, made by `files/fixtures.py`.

mod bad;
mod forms;
mod log;
mod one_file;
mod recorded;
mod round_trip;
mod safetensors;
mod tensorflow;

use std::path::PathBuf;

use crate::support::{Finished, Lab};

/// The numbers that the tiny model's input is shifted and scaled with.
const NORMALISED: &str = "--set data.shift=-120 --set data.scale=0.015";

/// A file that PyTorch wrote.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/exchange/files")
        .join(name)
}

impl Lab {
    /// With PyTorch's files beside the tiny model's configuration.
    fn with_files(names: &[&str]) -> Self {
        let lab = Self::new();
        for name in names {
            lab.write(name, std::fs::read(file(name)).expect("a file"));
        }
        lab
    }

    /// Imports weights of the tiny model.
    fn import(&self, arguments: &str) -> Finished {
        self.run(&format!(
            "import --config tiny.toml {NORMALISED} {arguments}"
        ))
    }
}
