//! Images from the latents of other images: the first layers from the posterior, the rest from the
//! prior (figures 4 and 10 of the paper).

use anyhow::Result;
use vdvae_data::Batch;
use vdvae_models::ImageShape;
use vdvae_models::hierarchy::{Latents, LayerLatents, Noise};

use crate::pictures::Grid;
use crate::random::{Keys, Purpose};
use crate::trained::TrainedModel;

/// Depths of a picture that shows several.
const DEPTHS: usize = 6;

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
///
/// # Errors
/// If the model has no latents.
pub fn reconstruct(
    model: &TrainedModel,
    images: &[u8],
    items: &[u64],
    options: &ReconstructOptions,
) -> Result<Vec<u8>> {
    let image = images.len() / items.len();
    let batches = images
        .chunks(options.batch * image)
        .zip(items.chunks(options.batch));
    let mut all = Vec::with_capacity(images.len());
    for (images, items) in batches {
        all.extend(reconstruct_batch(model, images, items, options)?);
    }
    Ok(all)
}

fn reconstruct_batch(
    model: &TrainedModel,
    images: &[u8],
    items: &[u64],
    options: &ReconstructOptions,
) -> Result<Vec<u8>> {
    let hierarchy = model.hierarchy()?;
    let keys = |purpose| Keys::new(options.seed, purpose, items.to_vec());
    let prepared = model
        .preprocess
        .apply(images, &keys(Purpose::Binarization), &model.device);
    let source = if options.mean_latents {
        LayerLatents::PosteriorMean
    } else {
        LayerLatents::Posterior
    };
    let latents = Latents::first(
        vec![source; options.layers],
        options.temperatures,
        Noise::Keyed(keys(Purpose::Reconstruction)),
    );
    let parameters = hierarchy.decode(items.len(), Some(prepared.input), &mut &latents);
    let generators = keys(Purpose::Pixels).generators(0);
    Ok(hierarchy.likelihood().sample(parameters, generators))
}

/// Originals above reconstructions from each number of layers.
///
/// # Errors
/// If the model has no latents.
pub fn depths_picture(
    model: &TrainedModel,
    batch: &Batch,
    layers: &[usize],
    options: &ReconstructOptions,
) -> Result<Grid> {
    let ImageShape { size, channels } = model.plan.image();
    let depth = model.hierarchy()?.depth();
    let mut grid = Grid::new(size, channels).row("original", &batch.images);
    for &layers in layers {
        let options = ReconstructOptions { layers, ..*options };
        let images = reconstruct(model, &batch.images, &batch.indices, &options)?;
        grid = grid.row(format!("{layers} of {depth} layers"), &images);
    }
    Ok(grid)
}

/// Evenly spaced numbers of layers, all of them last.
pub fn several_depths(depth: usize) -> Vec<usize> {
    let mut layers: Vec<usize> = (1..=DEPTHS).map(|i| (depth * i).div_ceil(DEPTHS)).collect();
    layers.dedup();
    layers
}
