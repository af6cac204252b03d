//! What a step and the start of a run are given: images, and the randomness that goes with them.

use std::sync::Arc;

use anyhow::Result;
use burn::tensor::Device;
use vdvae_data::{Batch, Batches, Dataset};

use crate::config::TrainConfig;
use crate::models::Model;
use crate::preprocess::{Prepared, Preprocess};
use crate::random::{Keys, Noise, Purpose};

/// Lets a new model choose what depends on data (see [`Model::start`]): by the first `n_batch` images that it will
/// learn from.
///
/// # Errors
/// If these cannot be read.
pub fn start(
    model: &mut dyn Model,
    config: &TrainConfig,
    train: Arc<dyn Dataset>,
    preprocess: &Preprocess,
    device: &Device,
) -> Result<()> {
    let mut batches = Batches::training(train, config.n_batch, config.seed, 0, 1)?;
    if let Some(batch) = batches.next().transpose()? {
        let (seed, purpose) = (config.seed, Purpose::Start);
        let (prepared, noise) = prepared(&batch, seed, 0, purpose, preprocess, device);
        model.start(prepared, &noise);
    }
    Ok(())
}

/// A batch of training images at a step, with noise for a purpose.
pub(super) fn prepared(
    batch: &Batch,
    seed: u64,
    step: u64,
    purpose: Purpose,
    preprocess: &Preprocess,
    device: &Device,
) -> (Prepared, Noise) {
    let positions = batch.first_position..batch.first_position + batch.len() as u64;
    let keys = |purpose| Keys {
        seed,
        purpose,
        step,
        items: positions.clone().collect(),
    };
    let prepared = preprocess.apply(&batch.images, &keys(Purpose::Binarization), device);
    let prepared = prepared.of_classes(batch.classes.clone());
    (prepared, Noise::Keyed(keys(purpose)))
}
