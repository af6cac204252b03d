//! Images from the latents of other images: the first layers from the posterior, the rest from the
//! prior (figures 4 and 10 of the paper).

use crate::models::vdvae::{Latents, Noise, Source};
use crate::random::{Keys, Purpose};
use crate::run_dir::TrainedModel;

/// Which latents of the image are kept.
#[derive(Clone, Copy, Debug)]
pub struct ReconstructOptions<'a> {
    /// Layers from the posterior, counted from the top.
    pub layers: usize,
    /// The posterior's means instead of draws.
    pub mean_latents: bool,
    /// Temperatures of the layers from the prior, one per layer, the last one for those after it.
    pub temperatures: &'a [f32],
    /// Of all noise.
    pub seed: u64,
    /// Images at once; changes no result.
    pub batch: usize,
}

/// Reconstructs `images` [B, S, S, C] as bytes; `items` number them. Returns the same shape.
pub fn reconstruct(
    model: &TrainedModel,
    images: &[u8],
    items: &[u64],
    options: &ReconstructOptions,
) -> Vec<u8> {
    let image = images.len() / items.len();
    let batches = images
        .chunks(options.batch * image)
        .zip(items.chunks(options.batch));
    batches
        .flat_map(|(images, items)| reconstruct_batch(model, images, items, options))
        .collect()
}

fn reconstruct_batch(
    model: &TrainedModel,
    images: &[u8],
    items: &[u64],
    options: &ReconstructOptions,
) -> Vec<u8> {
    let keys = |purpose| Keys {
        seed: options.seed,
        purpose,
        step: 0,
        items: items.to_vec(),
    };
    let prepared = model
        .preprocess
        .apply(images, &keys(Purpose::Binarization), &model.device);
    let source = if options.mean_latents {
        Source::PosteriorMean
    } else {
        Source::Posterior
    };
    let latents = Latents::first(
        vec![source; options.layers],
        options.temperatures,
        Noise::Keyed(keys(Purpose::Reconstruction)),
    );
    let parameters = model
        .model
        .decode(items.len(), Some(prepared.input), &latents);
    model
        .model
        .likelihood()
        .sample(parameters, keys(Purpose::Pixels).generators(0))
}
