//! What must be the same when an archive is read as it was when it was written.

use anyhow::Result;
use sha2::{Digest, Sha256};
use vdvae_coding::container::ModelId;
use vdvae_kernels::detect;

use crate::error::usage;
use crate::preprocess::Normalisation;
use crate::trained::TrainedModel;

/// Identifies the model and the arithmetic of this process: a hash of everything that the parameters of
/// the distributions are a function of (weights, architecture, normalisation), the kernel path and its
/// revision.
///
/// # Errors
/// If the model has a size that archives do not know.
pub fn model_id(model: &TrainedModel, latent_bits: u32) -> Result<ModelId> {
    let image = model.plan.image();
    let number = |what: &str, value: usize| {
        u32::try_from(value)
            .map_err(|_| usage(format!("{what}: {value} is too large for archives")))
    };
    Ok(ModelId {
        hash: model_hash(model),
        kernel_path: arithmetic(),
        side: number("model.image_size", image.size)?,
        colours: image.channels as u8,
        bits: model.plan.likelihood().bits() as u8,
        latent_bits: latent_bits as u8,
    })
}

/// The fp32 arithmetic in use: the kernel path, where those that differ in bf16 alone share a name, and
/// its revision.
fn arithmetic() -> String {
    let path = detect::name().trim_end_matches("_bf16");
    format!("{path}@{}", vdvae_kernels::REVISION)
}

/// SHA-256 of the weights, the architecture and the normalisation.
pub fn model_hash(model: &TrainedModel) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(model.fingerprint());
    hash.update(model.plan.identity());
    if let Some(Normalisation { shift, scale }) = model.config.data.normalisation() {
        for number in [shift, scale] {
            hash.update(number.to_bits().to_le_bytes());
        }
    }
    hash.finalize().into()
}
