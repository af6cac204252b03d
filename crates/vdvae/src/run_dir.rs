//! A run: the directory that training writes and every other command reads.
//!
//! `config.toml` (the complete configuration, with the normalisation that was computed), `images.tsv` (which
//! images it began with, and the split of each), `log.jsonl`,
//! `checkpoints/{latest,best}.safetensors`, `checkpoints/kept-*.safetensors` (what archives need), `samples/`, `curve.svg`,
//! `lock` (who is at work there), `tensorboard/` where that was asked for.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vdvae_data::ImageList;

use crate::config::Config;
use crate::error::usage;
use crate::files::{is_temporary, remove_leftovers};

/// The places in a run's directory.
#[derive(Clone, Debug)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// The directory, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The last part of its path, for titles.
    pub fn name(&self) -> String {
        let name = self.0.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The complete configuration.
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// The images that it began with, and the split of each.
    pub fn images(&self) -> PathBuf {
        self.0.join("images.tsv")
    }

    /// What [`images`](Self::images) holds, if it is there.
    ///
    /// # Errors
    /// If it cannot be read or has been changed.
    pub fn load_images(&self) -> Result<Option<ImageList>> {
        let path = self.images();
        let place = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(ImageList::from_text(&text, &place)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(place),
        }
    }

    /// One JSON object per line.
    pub fn log(&self) -> PathBuf {
        self.0.join("log.jsonl")
    }

    /// The folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// What training continues from.
    pub fn latest(&self) -> PathBuf {
        self.checkpoints().join("latest.safetensors")
    }

    /// The averaged weights with the lowest validation loss.
    pub fn best(&self) -> PathBuf {
        self.checkpoints().join("best.safetensors")
    }

    /// Averaged weights that an archive needs, by the name that [`vdvae_coding::container::ModelId`]
    /// gives them. Training leaves them alone.
    pub fn kept(&self, weights: &str) -> PathBuf {
        self.checkpoints()
            .join(format!("kept-{weights}.safetensors"))
    }

    /// Pictures made while training.
    pub fn samples(&self) -> PathBuf {
        self.0.join("samples")
    }

    /// The folder of what TensorBoard reads.
    pub fn events(&self) -> PathBuf {
        self.0.join("tensorboard")
    }

    /// The picture of the losses.
    pub fn curve(&self) -> PathBuf {
        self.0.join("curve.svg")
    }

    /// What there is of a run that a new one would mix with. Other files do not matter, nor does what a killed
    /// process left half-written.
    pub fn occupied_by(&self) -> Option<PathBuf> {
        let places = [
            self.config(),
            self.log(),
            self.checkpoints(),
            self.samples(),
            self.curve(),
            self.images(),
            self.events(),
        ];
        places
            .into_iter()
            .find(|place| match std::fs::read_dir(place) {
                Ok(mut entries) => {
                    entries.any(|entry| entry.is_ok_and(|entry| !is_temporary(&entry.path())))
                }
                Err(_) => place.exists(),
            })
    }

    /// Removes the files that a killed process left half-written.
    pub fn remove_leftovers(&self) {
        for folder in [self.path(), &self.checkpoints(), &self.samples()] {
            remove_leftovers(folder);
        }
    }

    /// The configuration of an existing run.
    ///
    /// # Errors
    /// If there is no run, or its configuration is not valid.
    pub fn load_config(&self) -> Result<Config> {
        let path = self.config();
        if !path.is_file() {
            return Err(usage(format!(
                "{}: not a run: expected a folder with config.toml in it, as `vdvae train --out {}` makes",
                self.0.display(),
                self.0.display()
            )));
        }
        let config = Config::from_file(&path)?;
        config
            .validate()
            .with_context(|| path.display().to_string())?;
        Ok(config)
    }

    /// The checkpoint to use when none is named: the best, or the latest where no validation was made.
    pub fn default_checkpoint(&self) -> PathBuf {
        let best = self.best();
        if best.exists() { best } else { self.latest() }
    }
}
