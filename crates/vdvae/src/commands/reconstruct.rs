//! `vdvae reconstruct`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;
use vdvae_data::{Batch, load_images};

use super::{
    batch_size, check_extension, check_temperatures, image_shape, load, make_parent, open_data,
    print_json,
};
use crate::architecture::Architecture;
use crate::cli::{PosteriorKind, ReconstructArgs};
use crate::console::results;
use crate::error::usage;
use crate::reconstruct::{ReconstructOptions, reconstruct};
use crate::report::Grid;
use crate::run_dir::TrainedModel;

/// Depths of a picture that shows several.
const DEPTHS: usize = 6;

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    images: usize,
    layers: Vec<usize>,
    depth: usize,
}

pub fn run(arguments: &ReconstructArgs) -> Result<()> {
    if let Some(path) = &arguments.out {
        check_extension(path, "png")?;
    }
    let (run, model) = load(&arguments.trained)?;
    let depth = model.model.decoder().depth();
    check_temperatures(&arguments.temperature, depth)?;
    let layers = layers(arguments, &model)?;
    let batch = images(arguments, &model)?;
    let options = ReconstructOptions {
        layers: depth,
        mean_latents: arguments.latents == PosteriorKind::Mean,
        temperatures: &arguments.temperature,
        seed: arguments.seed,
        batch: batch_size(arguments.batch, &model.config)?,
    };
    let grid = picture(&model, &batch, &layers, &options);
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| run.samples().join("reconstruct.png"));
    make_parent(&out)?;
    grid.save_png(&out)
        .with_context(|| format!("{}: cannot save the picture", out.display()))?;
    if arguments.json {
        return print_json(&Report {
            out,
            images: batch.len(),
            layers,
            depth,
        });
    }
    writeln!(
        results(),
        "{} images, reconstructed from {layers:?} of {depth} layers: {}",
        batch.len(),
        out.display()
    )?;
    Ok(())
}

/// Originals above reconstructions from each number of layers.
pub fn picture(
    model: &TrainedModel,
    batch: &Batch,
    layers: &[usize],
    options: &ReconstructOptions,
) -> Grid {
    let config = &model.config.model;
    let depth = model.model.decoder().depth();
    let grid = Grid::new(config.image_size, config.image_channels).row("original", &batch.images);
    layers.iter().fold(grid, |grid, &layers| {
        let options = ReconstructOptions { layers, ..*options };
        let images = reconstruct(model, &batch.images, &batch.indices, &options);
        grid.row(format!("{layers} of {depth} layers"), &images)
    })
}

/// Evenly spaced numbers of layers, all of them last.
pub fn several_depths(depth: usize) -> Vec<usize> {
    let mut layers: Vec<usize> = (1..=DEPTHS).map(|i| (depth * i).div_ceil(DEPTHS)).collect();
    layers.dedup();
    layers
}

fn layers(arguments: &ReconstructArgs, model: &TrainedModel) -> Result<Vec<usize>> {
    let architecture = Architecture::try_from(&model.config.model)?;
    let depth = architecture.dec_blocks.len();
    match (arguments.layers, arguments.resolution) {
        (Some(layers), _) if layers > depth => Err(usage(format!(
            "--layers: expected at most {depth}, the model's number of layers, found {layers}"
        ))),
        (Some(layers), _) => Ok(vec![layers]),
        (_, Some(resolution)) => {
            let resolutions = architecture.dec_resolutions();
            if !resolutions.contains(&resolution) {
                return Err(usage(format!(
                    "--resolution: expected one of {resolutions:?}, found {resolution}"
                )));
            }
            let blocks = architecture.dec_blocks.iter();
            Ok(vec![
                blocks
                    .filter(|block| block.resolution <= resolution)
                    .count(),
            ])
        }
        (None, None) => Ok(several_depths(depth)),
    }
}

fn images(arguments: &ReconstructArgs, model: &TrainedModel) -> Result<Batch> {
    if !arguments.images.is_empty() {
        return Ok(load_images(&arguments.images, image_shape(&model.config))?);
    }
    let (_, _, dataset) = open_data(
        &model.config,
        arguments.data.as_ref(),
        arguments.split,
        arguments.skip_bad_images,
    )?;
    let count = dataset.len().min(usize::try_from(arguments.n)?);
    // Evenly spaced: neighbours in a data set are often alike.
    let indices: Vec<usize> = (0..count).map(|i| i * dataset.len() / count).collect();
    Ok(Batch::read(&*dataset, &indices)?)
}
