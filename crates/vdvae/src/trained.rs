//! Models of runs, ready to be used.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use burn::tensor::Device;
use vdvae_data::Dataset;

use crate::checkpoint::{self, CheckpointError, CheckpointFile, Progress};
use crate::config::Config;
use crate::error::usage;
use crate::evaluate::{EvaluateOptions, Evaluation, evaluate, evaluate_until, go_on_unless};
use crate::models::{Hierarchy, Model, Plan};
use crate::ops::{Compute, Dtype};
use crate::parameters::{self, Specs};
use crate::preprocess::Preprocess;
use crate::run_dir::RunDir;

/// A trained model, ready to be used.
#[derive(Debug)]
pub struct TrainedModel {
    /// With the averaged weights.
    pub model: Box<dyn Model>,
    /// What is known of it without its weights.
    pub plan: Arc<dyn Plan>,
    /// The run's configuration.
    pub config: Config,
    /// How images become the model's input.
    pub preprocess: Preprocess,
    /// The step that the weights are of.
    pub step: u64,
    /// Where it computes.
    pub device: Device,
    /// The folder of the run that it is of; nothing for a model that is of none.
    pub run: Option<RunDir>,
}

impl TrainedModel {
    /// Loads the averaged weights of a run.
    ///
    /// # Errors
    /// If the run or the checkpoint is missing, damaged or of another configuration.
    pub fn load(run: &RunDir, checkpoint: Option<&Path>, device: Device) -> Result<Self> {
        let config = run.load_config()?;
        let path = checkpoint.map_or_else(|| run.default_checkpoint(), Path::to_owned);
        let fresh = Self::untrained(config, device);
        let fresh = fresh.with_context(|| run.config().display().to_string())?;
        let checkpoint = CheckpointFile::open(&path)?;
        checkpoint.check_model(&fresh.config)?;
        let model = fresh.with_average(&checkpoint)?;
        Ok(Self {
            run: Some(run.clone()),
            ..model
        })
    }

    /// The averaged weights of a checkpoint, with the configuration inside.
    ///
    /// # Errors
    /// If the configuration is not valid, or the weights are not those of its model.
    pub fn of_checkpoint(checkpoint: &CheckpointFile, device: Device) -> Result<Self> {
        Self::untrained(checkpoint.config()?, device)?.with_average(checkpoint)
    }

    fn with_average(self, checkpoint: &CheckpointFile) -> Result<Self> {
        let specs = Specs::new(self.plan.tensors());
        let (model, progress) = checkpoint.average(self.model, &specs)?;
        let trained = Self {
            model,
            step: progress.step,
            ..self
        };
        Ok(trained.rounding_to(Dtype::default()))
    }

    /// What [`save_average`](checkpoint::save_average) would write of it, as bytes for others: without the place of
    /// the images.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub fn to_checkpoint(&self) -> std::io::Result<Vec<u8>> {
        let specs = Specs::new(self.plan.tensors());
        let config = self.config.without_place();
        checkpoint::average_bytes(&config, &self.progress(), &*self.model, &specs)
    }

    /// Writes its averaged weights.
    ///
    /// # Errors
    /// As [`save_average`](checkpoint::save_average).
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let specs = Specs::new(self.plan.tensors());
        checkpoint::save_average(path, &self.config, &self.progress(), &*self.model, &specs)
    }

    fn progress(&self) -> Progress {
        Progress {
            step: self.step,
            ..Progress::default()
        }
    }

    /// The same model, the factors of whose products are rounded to `dtype`. Its weights do not change, so
    /// that they are kept as they were laid out.
    pub fn rounding_to(mut self, dtype: Dtype) -> Self {
        self.model.set_compute(Compute {
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
        let plan = config.plan()?;
        Ok(Self {
            model: plan.build(config.train.seed, &device),
            preprocess: preprocess(&config, &*plan)?,
            plan: plan.into(),
            config,
            step: 0,
            device,
            run: None,
        })
    }

    /// What the model's images cost: [`evaluate`] with what it wants.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn evaluate(
        &self,
        dataset: Arc<dyn Dataset>,
        options: &EvaluateOptions,
        progress: impl FnMut(usize),
    ) -> Result<Evaluation> {
        evaluate(
            &*self.model,
            &self.preprocess,
            self.plan.dimensions(),
            dataset,
            options,
            &self.device,
            progress,
        )
    }

    /// As [`evaluate`](Self::evaluate), but given up, between two batches, when `stop` is set.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn evaluate_until(
        &self,
        dataset: Arc<dyn Dataset>,
        options: &EvaluateOptions,
        stop: &AtomicBool,
    ) -> Result<Option<Evaluation>> {
        evaluate_until(
            &*self.model,
            &self.preprocess,
            self.plan.dimensions(),
            dataset,
            options,
            &self.device,
            |_| go_on_unless(stop),
        )
    }

    /// Equal for equal weights, see [`parameters::fingerprint`].
    pub fn fingerprint(&self) -> String {
        parameters::fingerprint(&*self.model, &Specs::new(self.plan.tensors()))
    }

    /// The model as layers of latents.
    ///
    /// # Errors
    /// If it has none.
    pub fn hierarchy(&self) -> Result<&dyn Hierarchy> {
        Ok(self.model.hierarchy()?)
    }
}

/// How a run's images become its model's input: by the normalisation that its configuration holds.
///
/// # Errors
/// If the model wants one and `data.shift` and `data.scale` were not computed yet.
pub fn preprocess(config: &Config, plan: &dyn Plan) -> Result<Preprocess> {
    let normalisation = config.data.normalisation();
    if plan.is_normalised() && normalisation.is_none() {
        return Err(usage(
            "data.shift, data.scale: expected numbers, found none; a run stores those of its training set",
        ));
    }
    Ok(plan.preprocess(normalisation))
}
