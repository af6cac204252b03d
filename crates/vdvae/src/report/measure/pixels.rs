//! Which pixels cost most, of models whose likelihood is a product over pixels.

use anyhow::Result;
use serde::Serialize;
use vdvae_data::{Batch, Dataset};

use crate::evenly::evenly;
use crate::likelihood::units::bits;
use crate::likelihood::values;
use crate::random::{Keys, Purpose};
use crate::trained::TrainedModel;

/// What each pixel costs given those before it, all its colours together: means over images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PixelBits {
    /// How many images.
    pub images: usize,
    /// Pixels of a row.
    pub side: usize,
    /// Bits of each pixel, row by row.
    pub bits: Vec<f64>,
}

/// Measures at most `count` images of `dataset`, evenly spaced, `batch` at a time.
///
/// # Errors
/// If the model does not make pixel after pixel, or an image cannot be read.
pub fn pixel_bits(
    model: &TrainedModel,
    dataset: &dyn Dataset,
    count: usize,
    batch: usize,
) -> Result<PixelBits> {
    let ordered = model.model.ordered()?;
    let side = model.plan.image().size;
    let mut sums = vec![0.0; side * side];
    let indices = evenly(dataset.len(), count);
    for indices in indices.chunks(batch) {
        let images = Batch::read(dataset, indices)?;
        let keys = Keys::new(0, Purpose::Binarization, images.indices.clone());
        let prepared = model.preprocess.apply(&images.images, &keys, &model.device);
        let parameters = ordered.parameters(prepared.input, &images.classes);
        let likelihood = ordered.likelihood();
        let nats = values(likelihood.nats_per_pixel(parameters, prepared.target));
        for image in nats.chunks_exact(side * side) {
            for (sum, &nats) in sums.iter_mut().zip(image) {
                *sum += bits(f64::from(nats));
            }
        }
    }
    let images = indices.len();
    Ok(PixelBits {
        images,
        side,
        bits: sums.into_iter().map(|sum| sum / images as f64).collect(),
    })
}
