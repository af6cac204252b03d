//! The weights that an archive needs, where training leaves them alone.

use std::path::{Path, PathBuf};

use anyhow::Result;
use burn::tensor::Device;
use vdvae_coding::container::ModelId;

use super::model_hash;
use crate::checkpoint::CheckpointError;
use crate::run_dir::RunDir;
use crate::trained::TrainedModel;

/// Keeps the averaged weights of `model`, which `id` names, in its run; returns the file that archives
/// need from now on. A run goes on and replaces its checkpoints, but never this file.
///
/// # Errors
/// If it is not there and cannot be written.
pub fn keep(run: &RunDir, model: &TrainedModel, id: &ModelId) -> Result<PathBuf, CheckpointError> {
    let path = run.kept(&id.weights());
    if !path.is_file() {
        model.save(&path)?;
    }
    Ok(path)
}

/// The model that `id` names, if a run has its weights: those that were kept, or a checkpoint of training.
pub fn find(run: &RunDir, id: &ModelId, device: &Device) -> Option<TrainedModel> {
    let is_it = |model: &TrainedModel| model_hash(model) == id.hash;
    let load = |checkpoint: &Path| TrainedModel::load(run, Some(checkpoint), device.clone()).ok();
    [run.kept(&id.weights()), run.best(), run.latest()]
        .iter()
        .filter(|checkpoint| checkpoint.is_file())
        .find_map(|checkpoint| load(checkpoint).filter(is_it))
}
