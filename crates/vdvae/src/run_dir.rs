//! A run: the directory that training writes and every other command reads.
//!
//! `config.toml` (the complete configuration, with the normalisation that was computed), `log.jsonl`,
//! `checkpoints/{latest,best}.safetensors`, `samples/`, `curve.svg`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::tensor::Device;

use crate::architecture::Architecture;
use crate::checkpoint;
use crate::config::{Config, Dtype};
use crate::error::usage;
use crate::likelihood::Likelihood;
use crate::models::vdvae::Vdvae;
use crate::ops::Compute;
use crate::preprocess::Preprocess;

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

    /// Pictures made while training.
    pub fn samples(&self) -> PathBuf {
        self.0.join("samples")
    }

    /// The picture of the losses.
    pub fn curve(&self) -> PathBuf {
        self.0.join("curve.svg")
    }

    /// Whether there is nothing that a new run would mix with: no folder, or one that holds at most
    /// what a killed process left.
    pub fn is_vacant(&self) -> bool {
        let mut entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        entries.all(|entry| is_leftover(&entry.path()))
    }

    /// Removes the files that a killed process left half-written.
    pub fn remove_leftovers(&self) {
        let folders = [self.0.clone(), self.checkpoints(), self.samples()];
        let entries = folders
            .iter()
            .flat_map(std::fs::read_dir)
            .flatten()
            .flatten();
        for path in entries
            .map(|entry| entry.path())
            .filter(|path| is_leftover(path))
        {
            // They take room and do no other harm.
            let _ = std::fs::remove_file(path);
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

/// Whether a file has the name under which [`crate::files::write_atomically`] begins it.
fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".") && name.ends_with(b".tmp")
}

/// A trained model, ready to be used.
#[derive(Debug)]
pub struct TrainedModel {
    /// With the averaged weights.
    pub model: Vdvae,
    /// The run's configuration.
    pub config: Config,
    /// How images become the model's input.
    pub preprocess: Preprocess,
    /// The step that the weights are of.
    pub step: u64,
    /// Where it computes.
    pub device: Device,
}

impl TrainedModel {
    /// Loads the averaged weights of a run.
    ///
    /// # Errors
    /// If the run or the checkpoint is missing, damaged or of another configuration.
    pub fn load(run: &RunDir, checkpoint: Option<&Path>, device: Device) -> Result<Self> {
        let config = run.load_config()?;
        let path = checkpoint.map_or_else(|| run.default_checkpoint(), Path::to_owned);
        let model = build(&config, config.train.seed, &device)?;
        let (model, progress) = checkpoint::load_average(&path, &config, model)?;
        let preprocess = preprocess(&config).with_context(|| run.config().display().to_string())?;
        Ok(Self {
            model,
            config,
            preprocess,
            step: progress.step,
            device,
        }
        .rounding_to(Dtype::default()))
    }

    /// The same model, the factors of whose products are rounded to `dtype`. Its weights do not change, so
    /// that they are kept as they were laid out.
    pub fn rounding_to(mut self, dtype: Dtype) -> Self {
        self.model = self.model.computing(Compute {
            dtype,
            keep_laid_out: true,
            ..Compute::default()
        });
        self
    }

    /// A model with fresh weights, a function of the configuration's seed: to try things out with.
    ///
    /// # Errors
    /// If the configuration is not valid, or lacks `data.shift` or `data.scale`.
    pub fn untrained(config: Config, device: Device) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            model: build(&config, config.train.seed, &device)?,
            preprocess: preprocess(&config)?,
            config,
            step: 0,
            device,
        })
    }
}

/// A model with fresh weights.
///
/// # Errors
/// If the configuration describes no possible architecture.
pub fn build(config: &Config, seed: u64, device: &Device) -> Result<Vdvae> {
    let architecture = Architecture::try_from(&config.model)?;
    Ok(Vdvae::new(
        &architecture,
        Likelihood::new(&config.model),
        seed,
        device,
    ))
}

/// The normalisation that a run's configuration holds.
///
/// # Errors
/// If `data.shift` and `data.scale` were not computed yet.
pub fn preprocess(config: &Config) -> Result<Preprocess> {
    let (Some(shift), Some(scale)) = (config.data.shift, config.data.scale) else {
        return Err(usage(
            "data.shift, data.scale: expected numbers, found none; a run stores those of its training set",
        ));
    };
    Ok(Preprocess {
        shift,
        scale,
        bits: config.model.bits,
        likelihood: config.model.likelihood,
        image_size: config.model.image_size,
        image_channels: config.model.image_channels,
    })
}
