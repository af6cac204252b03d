//! The images of a report. None is selected: samples are the first of their seed, reconstructions those
//! of evenly spaced images.

use std::time::Instant;

use anyhow::Result;
use vdvae_data::{Batch, Dataset};

use super::{RunMeasures, Sampling};
use crate::evenly::evenly;
use crate::models::ordered::Drawing;
use crate::reconstruct::{ReconstructOptions, reconstruct};
use crate::report::drawing::Tile;
use crate::trained::TrainedModel;

/// Temperatures of the samples, as in figures 7 to 9 of the paper; the first alone where there are no latents.
const TEMPERATURES: [f32; 3] = [1.0, 0.85, 0.6];
/// How often each image is completed.
const COMPLETIONS: u64 = 3;
/// Of the latents that are not from the image: close to the prior's mean.
const COLD: f32 = 0.1;
/// Pixels of all the samples of one temperature; a page has to stay small.
const PIXELS: usize = 32 * 64 * 64;

/// Images, each [S, S, C].
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// Temperature and samples.
    pub samples: Vec<(f32, Vec<Tile>)>,
    /// The images that were reconstructed.
    pub originals: Vec<Tile>,
    /// With more and more of the latents from the image.
    pub reconstructions: Vec<Reconstructed>,
    /// The originals with their lower half drawn, each time another one; of models that make pixel after pixel.
    pub completions: Vec<Vec<Tile>>,
    /// For each of the first samples at temperature 1 the nearest training image.
    pub neighbours: Vec<(Tile, Tile)>,
}

/// Reconstructions from the layers up to a resolution.
#[derive(Clone, Debug)]
pub struct Reconstructed {
    /// The largest resolution whose latents are from the image.
    pub resolution: usize,
    /// Layers up to there.
    pub layers: usize,
    /// One for each original.
    pub images: Vec<Tile>,
}

/// Samples of a model, and reconstructions of images of `dataset` where there is one. Calls `progress`
/// with the number of images drawn since the last call.
///
/// # Errors
/// If an image cannot be read.
pub fn gather_pictures(
    model: &TrainedModel,
    measures: &mut RunMeasures,
    dataset: Option<&dyn Dataset>,
    (batch, seed): (usize, u64),
    mut progress: impl FnMut(usize),
) -> Result<Pictures> {
    let side = model.plan.image().size;
    let count = (PIXELS / (side * side)).clamp(4, 32);
    let mut pictures = Pictures::default();
    let temperatures = match measures.no_latents {
        None => &TEMPERATURES[..],
        Some(_) => &TEMPERATURES[..1],
    };
    for &temperature in temperatures {
        let started = Instant::now();
        let mut tiles = Vec::new();
        while tiles.len() < count {
            let now = batch.min(count - tiles.len());
            let first = tiles.len() as u64;
            let items: Vec<u64> = (first..first + now as u64).collect();
            let images = model.model.sample(seed, &items, &[temperature]);
            tiles.extend(cut(&images, side, now));
            progress(now);
        }
        measures.sampling.get_or_insert(Sampling {
            images: count,
            batch: batch.min(count),
            seconds: started.elapsed().as_secs_f64(),
        });
        pictures.samples.push((temperature, tiles));
    }
    let Some(dataset) = dataset else {
        return Ok(pictures);
    };
    let shown = Batch::read(dataset, &evenly(dataset.len(), count.min(8)))?;
    pictures.originals = cut(&shown.images, side, shown.len());
    if model.plan.ordered().is_ok() {
        pictures.completions = completions(model, &shown, seed)?;
        progress(pictures.completions.len() * shown.len());
    }
    for share in &measures.latents {
        let up_to = |layer: &&super::LayerMeasures| layer.resolution <= share.resolution;
        let layers = measures.layers.iter().filter(up_to).count();
        let options = ReconstructOptions {
            layers,
            mean_latents: false,
            temperatures: &[COLD],
            seed,
            batch,
        };
        let images = reconstruct(model, &shown.images, &shown.indices, &options)?;
        pictures.reconstructions.push(Reconstructed {
            resolution: share.resolution,
            layers,
            images: cut(&images, side, shown.len()),
        });
        progress(shown.len());
    }
    Ok(pictures)
}

/// Images with their lower half drawn, so many times.
fn completions(model: &TrainedModel, shown: &Batch, seed: u64) -> Result<Vec<Vec<Tile>>> {
    let side = model.plan.image().size;
    let count = shown.len() as u64;
    let ordered = model.model.ordered()?;
    let completed = (0..COMPLETIONS).map(|time| {
        let items: Vec<u64> = (time * count..(time + 1) * count).collect();
        let drawing = Drawing {
            classes: &shown.classes,
            given: Some((&shown.images, side / 2)),
            ..Drawing::new(seed, &items)
        };
        cut(&ordered.draw(&drawing, &mut |_| ()), side, shown.len())
    });
    Ok(completed.collect())
}

/// Single images of [n, side, side, C].
pub fn cut(images: &[u8], side: usize, count: usize) -> Vec<Tile> {
    let tiles = images.chunks_exact((images.len() / count.max(1)).max(1));
    let tiles = tiles.map(|pixels| Tile {
        pixels: pixels.to_vec(),
        side,
    });
    tiles.collect()
}
