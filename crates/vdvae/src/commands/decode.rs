//! `vdvae decode`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use vdvae_data::counted;

use super::pictures::{MOST_IN_A_PICTURE, Pictures, check_none_there};
use super::{
    batch_size, check_output, check_output_of, check_temperatures, latents, load, make_parent,
    print_json, progress_bar,
};
use crate::cli::latents::DecodeArgs;
use crate::console::{results, tell};
use crate::error::usage;
use crate::latents::{About, DecodeOptions, LatentsFile, check, check_shapes, decode};
use crate::trained::TrainedModel;

/// What the names of single images begin with.
const PICTURE: &str = "decode";

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    images: usize,
    /// As given; the rest is from the prior.
    layers: usize,
    depth: usize,
}

pub fn run(arguments: &DecodeArgs) -> Result<()> {
    let (run, model) = load(&arguments.trained, latents)?;
    let depth = model.hierarchy()?.depth();
    check_temperatures(&arguments.temperature, &*model.plan)?;
    if let Some(layers) = arguments.layers.filter(|&layers| layers > depth) {
        return Err(usage(format!(
            "--layers: expected at most {depth}, the model's number of layers, found {layers}"
        )));
    }
    let default = || run.samples().join("decode.png");
    let out = arguments.out.clone().unwrap_or_else(default);
    let picture = is_picture(&out)?;
    if picture {
        check_output_of(&out, [&*arguments.latents])?;
    } else {
        check_output(&out.join("decode.png"))?;
    }
    let batch = batch_size(arguments.batch, &model.config)?;
    let file = LatentsFile::open(&arguments.latents)?;
    let place = || arguments.latents.display().to_string();
    let layers = check_shapes(&model, &file.shapes(), arguments.layers).with_context(place)?;
    let count = file.shapes().values().next().map_or(0, |shape| shape[0]);
    if count == 0 {
        return Err(anyhow::anyhow!(
            "{}: expected latents of images, found none",
            place()
        ));
    }
    let items = arguments.part.of(count)?;
    if picture && items.len() > MOST_IN_A_PICTURE {
        return Err(usage(format!(
            "--out {}: expected at most {MOST_IN_A_PICTURE} images in a picture, found {}; --out DIR/ takes any number, and -n some of them",
            out.display(),
            items.len()
        )));
    }
    if !picture {
        check_none_there(&out, PICTURE, items.start as u64..items.end as u64)?;
    }
    let options = |first| DecodeOptions {
        layers: Some(layers),
        temperatures: arguments.temperature.clone(),
        seed: arguments.seed,
        first,
        mode: arguments.mode,
    };
    let batches = || {
        items
            .clone()
            .step_by(batch)
            .map(|first| first..items.end.min(first + batch))
    };
    // Before the work: the last image may be the one that is wrong.
    for batch in batches() {
        let options = options(batch.start);
        check(&model, &file.read(batch, layers)?, &options).with_context(place)?;
    }
    warn(arguments, &model, &file);

    make_parent(&out)?;
    let unsaved = || format!("{}: cannot save the images", out.display());
    let mut pictures = Pictures::begin(&model, &out, picture, PICTURE).with_context(unsaved)?;
    let bar = progress_bar(items.len() as u64, "images");
    for batch in batches() {
        let options = options(batch.start);
        let first = batch.start as u64;
        let z = file.read(batch.clone(), layers)?;
        let pixels = decode(&model, &z, 0..batch.len(), &options);
        let pixels = pixels.with_context(place)?;
        pictures.add(first, &pixels).with_context(unsaved)?;
        bar.set_position((batch.end - items.start) as u64);
    }
    bar.finish_and_clear();
    pictures.finish().with_context(unsaved)?;
    let images = items.len();
    if arguments.json {
        return print_json(&Report {
            out,
            images,
            layers,
            depth,
        });
    }
    let rest = match depth - layers {
        0 => String::new(),
        rest => format!(", {rest} from the prior"),
    };
    writeln!(
        results(),
        "{}, {} as given{rest}: {}",
        counted(images, "images"),
        counted(layers, "layers"),
        out.display()
    )?;
    Ok(())
}

/// Whether all images go into one picture, else into a folder.
fn is_picture(out: &Path) -> Result<bool> {
    match out.extension().and_then(|extension| extension.to_str()) {
        Some("png") => Ok(true),
        None => Ok(false),
        Some(_) if out.is_dir() => Ok(false),
        Some(other) => Err(usage(format!(
            "--out {}: expected FILE.png or a folder, found .{other}",
            out.display()
        ))),
    }
}

/// Says so if the latents are another model's, although they fit, or lie in another order.
fn warn(arguments: &DecodeArgs, model: &TrainedModel, file: &LatentsFile) {
    let place = arguments.latents.display();
    let other = |about: &&About| about.model_sha256 != model.fingerprint();
    if let Some(about) = file.about.as_ref().filter(other) {
        tell(format_args!(
            "{place}: latents of other weights (step {}) than these (step {}): the images will not be the encoded ones",
            about.step, model.step
        ));
    }
    let layers = model.plan.latents().unwrap_or_default();
    let is_last = |(layer, shape): (usize, &[usize])| {
        let layer = layers.get(layer)?;
        Some(shape[1..] == [layer.resolution, layer.resolution, layer.channels])
    };
    if file
        .shapes()
        .into_iter()
        .filter_map(is_last)
        .any(|last| !last)
    {
        tell(format_args!(
            "{place}: channels first, [N, Z, R, R], in some layers, read as such; `vdvae encode` writes channels last, [N, R, R, Z]"
        ));
    }
}
