//! How much each latent channel tells about an image.

use anyhow::Result;
use vdvae_data::Dataset;

use crate::evenly::evenly;
use crate::likelihood::values;
use crate::models::hierarchy::{Latents, Noise, Recorder};
use crate::random::{Keys, Purpose};
use crate::trained::TrainedModel;
use vdvae_data::Batch;

/// KL divergence of the posterior from the prior of every channel of every layer, top to bottom, in
/// nats per image: summed over positions, a mean over at most `images` images of `dataset`, evenly
/// spaced.
///
/// # Errors
/// If an image cannot be read.
pub fn channel_kl(
    model: &TrainedModel,
    dataset: &dyn Dataset,
    images: usize,
    batch: usize,
    seed: u64,
) -> Result<Vec<Vec<f64>>> {
    let indices = evenly(dataset.len(), images);
    let mut sums: Vec<Vec<f64>> = Vec::new();
    for indices in indices.chunks(batch) {
        let batch = Batch::read(dataset, indices)?;
        let layers = batch_kl(model, &batch, seed)?;
        sums.resize_with(layers.len(), Vec::new);
        for (sums, (zdim, elements)) in sums.iter_mut().zip(layers) {
            sums.resize(zdim, 0.0);
            for position in elements.chunks_exact(zdim) {
                for (sum, &kl) in sums.iter_mut().zip(position) {
                    *sum += f64::from(kl);
                }
            }
        }
    }
    for sum in sums.iter_mut().flatten() {
        *sum /= indices.len() as f64;
    }
    Ok(sums)
}

/// Latent channels Z and KL of each element, [B, R, R, Z], of every layer.
fn batch_kl(model: &TrainedModel, batch: &Batch, seed: u64) -> Result<Vec<(usize, Vec<f32>)>> {
    let hierarchy = model.hierarchy()?;
    let keys = |purpose| Keys::new(seed, purpose, batch.indices.clone());
    let prepared =
        model
            .preprocess
            .apply(&batch.images, &keys(Purpose::Binarization), &model.device);
    let latents = Latents::posterior(Noise::Keyed(keys(Purpose::Evaluation)));
    let mut recorder = Recorder::new(&latents);
    let activations = hierarchy.encode(prepared.input);
    hierarchy.top_down(batch.len(), Some(&activations), &mut recorder);
    let kl = recorder
        .layers
        .iter()
        .filter_map(|layer| layer.kl_per_element());
    Ok(kl.map(|kl| (kl.dims()[3], values(kl))).collect())
}
