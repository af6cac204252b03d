//! `vdvae reconstruct`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;
use vdvae_data::{Batch, Source, counted};

use super::data::open_some;
use super::images::load_all;
use super::inputs::{Bad, read_all};
use super::{
    batch_size, check_extension, check_output_of, check_temperatures, latents, load, make_parent,
    print_json,
};
use crate::cli::{PosteriorKind, ReconstructArgs};
use crate::console::results;
use crate::error::usage;
use crate::evenly::evenly;
use crate::models::LatentShare;
use crate::reconstruct::{ReconstructOptions, depths_picture, several_depths};
use crate::trained::TrainedModel;

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
    let (run, model) = load(&arguments.trained, latents)?;
    let depth = model.hierarchy()?.depth();
    check_temperatures(&arguments.temperature, &*model.plan)?;
    let layers = layers(arguments, &model)?;
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| run.samples().join("reconstruct.png"));
    let data = arguments.data.as_ref().and_then(Source::path);
    let files = arguments.images.iter().map(PathBuf::as_path);
    check_output_of(&out, files.chain(data))?;
    let batch = images(arguments, &model)?;
    let options = ReconstructOptions {
        layers: depth,
        mean_latents: arguments.latents == PosteriorKind::Mean,
        temperatures: &arguments.temperature,
        seed: arguments.seed,
        batch: batch_size(arguments.batch, &model.config)?,
    };
    let grid = depths_picture(&model, &batch, &layers, &options)?;
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
        "{}, reconstructed from {layers:?} of {}: {}",
        counted(batch.len(), "images"),
        counted(depth, "layers"),
        out.display()
    )?;
    Ok(())
}

fn layers(arguments: &ReconstructArgs, model: &TrainedModel) -> Result<Vec<usize>> {
    let all = model.plan.latents()?;
    let depth = all.len();
    match (arguments.layers, arguments.resolution) {
        (Some(layers), _) if layers > depth => Err(usage(format!(
            "--layers: expected at most {depth}, the model's number of layers, found {layers}"
        ))),
        (Some(layers), _) => Ok(vec![layers]),
        (_, Some(resolution)) => {
            let shares = LatentShare::all(&all);
            let resolutions: Vec<usize> = shares.iter().map(|share| share.resolution).collect();
            if !resolutions.contains(&resolution) {
                return Err(usage(format!(
                    "--resolution: expected one of {resolutions:?}, found {resolution}"
                )));
            }
            let up_to = all.iter().filter(|layer| layer.resolution <= resolution);
            Ok(vec![up_to.count()])
        }
        (None, None) => Ok(several_depths(depth)),
    }
}

fn images(arguments: &ReconstructArgs, model: &TrainedModel) -> Result<Batch> {
    if !arguments.images.is_empty() {
        let bad = Bad::skipped_if(arguments.skip_bad_images);
        return load_all(&arguments.images, bad, model);
    }
    let (_, _, dataset) = open_some(
        model,
        arguments.data.as_ref(),
        arguments.split,
        arguments.skip_bad_images,
    )?;
    let count = dataset.len().min(usize::try_from(arguments.n)?);
    read_all(&*dataset, &evenly(dataset.len(), count))
}
