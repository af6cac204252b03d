//! The checkpoints of the published code of each family, PyTorch's or TensorFlow's: one file with everything, where the family
//! [has one](crate::models::Family::published); else `NAME-model.th` (weights), `NAME-model-ema.th` (their
//! average), `NAME-opt.th` (the state of AdamW), `NAME-log.jsonl`; or the variables of
//! TensorFlow with their averages, under the names that [`variables`](crate::models::Plan::variables) tells.
//!
//! [`import`] makes a run's checkpoint and log of them; [`export_published`] and [`export_safetensors`] write
//! them. Tensors pass unchanged in both directions: both sides have the same names and layout.
//!
//! ```no_run
//! use vdvae::checkpoint::published::{Files, import};
//! use vdvae::config::Config;
//! use vdvae::run_dir::RunDir;
//!
//! let config = Config::preset("cifar10")?;
//! let files = Files {
//!     weights: "cifar10-seed0-iter-900000-model-ema.th".into(),
//!     ..Files::default()
//! };
//! let imported = import(&files, &config)?;
//! let run = RunDir::new("runs/published");
//! std::fs::create_dir_all(run.checkpoints())?;
//! imported.save(&run, &config)?;
//! # Ok::<(), anyhow::Error>(())
//! ```

mod export;
mod log;
mod one_file;
mod optimizer;
mod tensorflow;
mod weights;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use vdvae_formats::FormatError;
use vdvae_formats::safetensors::{LazyTensor, SafetensorsFile};
use vdvae_formats::tensorflow::Checkpoint;
use vdvae_formats::torch::{TorchError, TorchFile};

use super::native::{self, AVERAGE, FIRST, SECOND, WEIGHTS};
use crate::checkpoint::{CheckpointError, Progress};
use crate::config::Config;
use crate::error::usage;
use crate::log::LogWriter;
use crate::models;
use crate::parameters::{self, Role, Specs, TensorSpec};
use crate::run_dir::RunDir;

pub use export::{ExportError, export_published, export_safetensors};
pub use log::LogError;
use log::PublishedLog;
use one_file::{OneFile, Whole, preset_of};
use optimizer::OptimizerState;
use weights::{Model, Weights};

/// The files of a published checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The file with everything; or `NAME-model.th`, or `NAME-model-ema.th` where there is nothing else.
    pub weights: PathBuf,
    /// `NAME-model-ema.th`; without it the average is the weights.
    pub average: Option<PathBuf>,
    /// `NAME-opt.th`; without it the moments are zero.
    pub optimizer: Option<PathBuf>,
    /// `NAME-log.jsonl`; it tells the step.
    pub log: Option<PathBuf>,
}

/// Why a published checkpoint cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read, or holds something else.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// A file of safetensors cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A run's checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its tensors are those of another model.
    #[error(
        "{}: the tensors are not those of the configuration: {problems}. {remedy}",
        path.display()
    )]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Which tensors, each with the shape that was expected and the one that was found.
        problems: String,
        /// What to do.
        remedy: String,
    },
    /// A weight is no finite number.
    #[error("{}: {tensor}: expected finite numbers, found {found}; these weights compute nothing, take a file saved before", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The first such number.
        found: f32,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A published checkpoint, read and found to fit a configuration.
#[derive(Debug)]
pub struct Imported {
    shapes: Vec<TensorSpec>,
    weights: Weights,
    average: Option<Weights>,
    optimizer: Option<OptimizerState>,
    log: PublishedLog,
    /// What a file with everything says besides.
    one_file: Option<OneFile>,
}

/// Reads a published checkpoint of the model that `config` describes. Writes nothing.
///
/// # Errors
/// If a file cannot be read, is damaged, holds more than data (nothing in it is run), or is of another
/// model: see [`ImportError`].
pub fn import(files: &Files, config: &Config) -> anyhow::Result<Imported> {
    let imported = read(files, config)?;
    imported.check_finite(files)?;
    Ok(imported)
}

fn read(files: &Files, config: &Config) -> anyhow::Result<Imported> {
    let shapes = config.plan()?.tensors();
    let family = config.model.family();
    let model = Model {
        shapes: &shapes,
        form: family.published(),
    };
    if Checkpoint::is_one(&files.weights) {
        let (weights, average) = tensorflow::open(&files.weights, config)?;
        let imported = separate_files(files, config, weights, shapes)?;
        return Ok(Imported {
            average: imported.average.or(average),
            ..imported
        });
    }
    if SafetensorsFile::is_one(&files.weights) {
        let weights = Weights::open(&files.weights, &model)?;
        return separate_files(files, config, weights, shapes);
    }
    let file = Arc::new(TorchFile::open(&files.weights).map_err(ImportError::from)?);
    let pickle = file.pickle().map_err(ImportError::from)?;
    let Some(Whole { of, form, parts }) = one_file::find(pickle.root()) else {
        let weights = Weights::read(&file, &[pickle.root()], &model, None)?;
        return separate_files(files, config, weights, shapes);
    };
    let tensors: Vec<_> = [Some(parts.weights), parts.kept]
        .into_iter()
        .flatten()
        .collect();
    if of.name() != family.name() {
        // Tensors of another model, which are told by their names.
        Weights::read(&file, &tensors, &model, Some(of))?;
    }
    if let Some(option) = files.beside() {
        return Err(usage(format!(
            "{option}: {} holds everything that there is of its checkpoint; leave out {option}",
            files.weights.display()
        )));
    }
    let one_file = OneFile::read(&file, form, &parts, config)?;
    let weights = Weights::read(&file, &tensors, &model, Some(of))?;
    let learned = learned(&shapes);
    let optimizer = one_file.optimizer(&file, form, &parts, &learned)?;
    Ok(Imported {
        weights,
        average: None,
        optimizer,
        log: PublishedLog::default(),
        one_file: Some(one_file),
        shapes,
    })
}

fn separate_files(
    files: &Files,
    config: &Config,
    weights: Weights,
    shapes: Vec<TensorSpec>,
) -> anyhow::Result<Imported> {
    let model = Model {
        shapes: &shapes,
        form: config.model.family().published(),
    };
    let learned = learned(&shapes);
    let average = |path: &PathBuf| Weights::open(path, &model);
    let optimizer = |path: &PathBuf| OptimizerState::open(path, &learned);
    Ok(Imported {
        weights,
        average: files.average.as_ref().map(average).transpose()?,
        optimizer: files.optimizer.as_ref().map(optimizer).transpose()?,
        log: match &files.log {
            Some(path) => PublishedLog::open(path, config).map_err(ImportError::from)?,
            None => PublishedLog::default(),
        },
        one_file: None,
        shapes,
    })
}

/// The configuration that a file tells of itself: the whole one of safetensors that [`export_safetensors`] or a run
/// wrote, or the preset that the arguments in another's file describe.
///
/// # Errors
/// If it cannot be read, or does not describe one.
pub fn config_in(path: &Path) -> anyhow::Result<Option<Config>> {
    if Checkpoint::is_one(path) {
        return tensorflow::preset_of(path);
    }
    if !SafetensorsFile::is_one(path) {
        return preset_of(path);
    }
    let file = SafetensorsFile::open(path)?;
    let Some(text) = file.metadata("config") else {
        return Ok(None);
    };
    let origin = format!("{}: the configuration inside", path.display());
    Ok(Some(Config::from_toml(text, &origin)?))
}

/// The tensors that have moments.
fn learned(shapes: &[TensorSpec]) -> Vec<TensorSpec> {
    let learned = shapes.iter().filter(|spec| spec.role == Role::Weight);
    learned.cloned().collect()
}

impl Files {
    /// The option of a file that was given beside the weights.
    fn beside(&self) -> Option<&'static str> {
        let given = [
            ("--ema", &self.average),
            ("--optimizer", &self.optimizer),
            ("--log", &self.log),
        ];
        let given = given.into_iter().find(|(_, file)| file.is_some());
        given.map(|(option, _)| option)
    }
}

impl Imported {
    /// Where the checkpoint stands: steps by the log or the file with everything, or as many as updates were
    /// made; updates by the optimizer's state. What was validated before counts for nothing here, as it was
    /// measured on other images.
    pub fn progress(&self) -> Progress {
        let updates = self.optimizer.as_ref().map_or(0, |state| state.updates);
        let told = self.one_file.as_ref().and_then(|file| file.step);
        Progress {
            step: self
                .log
                .step
                .or(told)
                .or(self.weights.step)
                .unwrap_or(updates),
            updates,
            seconds: self.log.seconds,
            best_bits_per_dim: None,
            owes_validation: false,
        }
    }

    /// What a person must know about what was given, and what was not.
    pub fn notes(&self) -> Vec<String> {
        let files = [Some(&self.weights), self.average.as_ref()];
        let mut notes: Vec<_> = files
            .into_iter()
            .flatten()
            .filter_map(Weights::note)
            .collect();
        let Progress { step, updates, .. } = self.progress();
        if let Some(file) = &self.one_file {
            notes.extend(file.notes.iter().cloned());
            notes.extend(self.optimizer.as_ref().and_then(OptimizerState::note));
            if file.step.is_none() {
                notes.push(if updates > 0 {
                    format!("no steps in it: {step}, the optimizer's updates")
                } else {
                    "no steps in it: training starts at step 0".to_owned()
                });
            }
            return notes;
        }
        if self.average.is_none() {
            notes.push("no --ema: the averaged weights are the weights".to_owned());
        }
        match &self.optimizer {
            None => notes.push(
                "no --optimizer: its moments start at zero, as at the start of training".to_owned(),
            ),
            Some(state) => notes.extend(state.note()),
        }
        if self.log.step.or(self.weights.step).is_none() {
            notes.push(if updates > 0 {
                format!(
                    "no step in a --log: {step}, the optimizer's updates; skipped ones are not counted"
                )
            } else {
                "no step, neither in a --log nor in an --optimizer: training starts at step 0, with the warm-up of the learning rate"
                    .to_owned()
            });
        }
        notes
    }

    /// Whether all weights are finite numbers.
    fn check_finite(&self, files: &Files) -> Result<(), ImportError> {
        // What has no file of its own is in that of the weights.
        let of_average = files.average.as_ref().unwrap_or(&files.weights);
        let average = self.average.iter().map(|average| (average, of_average));
        let all = std::iter::once((&self.weights, &files.weights)).chain(average);
        for (weights, path) in all {
            for spec in &self.shapes {
                let values = weights.values(spec);
                if let Some(&found) = values.iter().find(|value| !value.is_finite()) {
                    return Err(ImportError::NotFinite {
                        path: path.clone(),
                        tensor: spec.name.clone(),
                        found,
                    });
                }
            }
        }
        Ok(())
    }

    /// The averaged weights, in a model that the configuration describes.
    pub fn average_in(
        &self,
        model: Box<dyn models::Model>,
        specs: &Specs,
    ) -> Box<dyn models::Model> {
        let average = self.average.as_ref().unwrap_or(&self.weights);
        let values = |spec: &TensorSpec| Ok::<_, Infallible>(average.values(spec));
        let Ok(model) = parameters::import(model, specs, values);
        model
    }

    /// Writes the run's `latest.safetensors`, from which training continues, and its log. The folders
    /// must be there.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn save(&self, run: &RunDir, config: &Config) -> anyhow::Result<()> {
        native::save(&run.latest(), config, &self.progress(), self.tensors())?;
        if self.log.entries.is_empty() {
            return Ok(());
        }
        let cannot_write = || format!("{}: cannot write the log", run.log().display());
        let mut log = LogWriter::open(&run.log()).with_context(cannot_write)?;
        for entry in &self.log.entries {
            log.append(entry).with_context(cannot_write)?;
        }
        Ok(())
    }

    /// The tensors of a checkpoint.
    fn tensors(&self) -> Vec<LazyTensor<'_>> {
        let average = self.average.as_ref().unwrap_or(&self.weights);
        let mut tensors = Vec::new();
        let mut learned = 0;
        for spec in &self.shapes {
            let mut add = |prefix, values| {
                tensors.push(LazyTensor {
                    name: format!("{prefix}{}", spec.name),
                    shape: spec.shape.clone(),
                    values,
                });
            };
            add(WEIGHTS, Box::new(move || self.weights.values(spec)));
            add(AVERAGE, Box::new(move || average.values(spec)));
            if spec.role != Role::Weight {
                continue;
            }
            let index = learned;
            learned += 1;
            let moment = move |which: usize| {
                let moments = self.optimizer.as_ref();
                let values = moments.and_then(|state| state.moment(index, which));
                values.unwrap_or_else(|| vec![0.0; spec.shape.iter().product()])
            };
            add(FIRST, Box::new(move || moment(0)));
            add(SECOND, Box::new(move || moment(1)));
        }
        tensors
    }
}
