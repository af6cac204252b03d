//! What must be the same when an archive is read as it was when it was written.

use anyhow::Result;
use sha2::{Digest, Sha256};
use vdvae_coding::container::ModelId;
use vdvae_kernels::detect;

use crate::config::ModelConfig;
use crate::error::usage;
use crate::parameters::fingerprint;
use crate::run_dir::TrainedModel;

/// Identifies the model and the arithmetic of this process: a hash of everything that the parameters of
/// the distributions are a function of (weights, architecture, normalisation), the kernel path and its
/// revision.
///
/// # Errors
/// If the model has a size that archives do not know.
pub fn model_id(model: &TrainedModel, latent_bits: u32) -> Result<ModelId> {
    let config = &model.config.model;
    let number = |what: &str, value: usize| {
        u32::try_from(value)
            .map_err(|_| usage(format!("{what}: {value} is too large for archives")))
    };
    Ok(ModelId {
        hash: model_hash(model),
        kernel_path: arithmetic(),
        side: number("model.image_size", config.image_size)?,
        colours: config.image_channels as u8,
        bits: config.bits as u8,
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
    // By name, so that a new field has to be thought of here.
    let ModelConfig {
        image_size,
        image_channels,
        width,
        zdim,
        bottleneck_multiple,
        enc_blocks,
        dec_blocks,
        custom_width_str,
        no_bias_above,
        num_mixtures,
        bits,
        likelihood,
        topdown_residual,
        upsample,
    } = &model.config.model;
    let mut hash = Sha256::new();
    hash.update(fingerprint(&model.model));
    let numbers = [
        image_size,
        image_channels,
        width,
        zdim,
        no_bias_above,
        num_mixtures,
    ];
    hash.update(format!("\n{numbers:?} {bits} {likelihood:?}\n"));
    hash.update(format!("{topdown_residual} {upsample:?}\n"));
    hash.update(format!("{enc_blocks}\n{dec_blocks}\n{custom_width_str}\n"));
    let preprocess = &model.preprocess;
    for number in [*bottleneck_multiple, preprocess.shift, preprocess.scale] {
        hash.update(number.to_bits().to_le_bytes());
    }
    hash.finalize().into()
}
