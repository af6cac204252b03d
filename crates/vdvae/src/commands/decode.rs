//! `vdvae decode`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{
    batch_size, check_output, check_temperatures, latents, load, make_folder, make_parent,
    print_json, progress_bar,
};
use crate::cli::latents::DecodeArgs;
use crate::console::{results, tell};
use crate::error::usage;
use crate::latents::{About, DecodeOptions, check, decode, load_z};
use crate::models::ImageShape;
use crate::pictures::{Grid, save_png_image};
use crate::trained::TrainedModel;

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
        check_output(&out)?;
    } else {
        check_output(&out.join("decode.png"))?;
    }
    let batch = batch_size(arguments.batch, &model.config)?;
    let (z, about) = load_z(&arguments.latents)?;
    let place = || arguments.latents.display().to_string();
    let layers = check(&model, &z, arguments.layers).with_context(place)?;
    let images = z.values().next().map_or(0, |array| array.shape[0]);
    if images == 0 {
        return Err(anyhow::anyhow!(
            "{}: expected latents of images, found none",
            place()
        ));
    }
    warn(arguments, &model, about.as_ref());

    let options = DecodeOptions {
        layers: Some(layers),
        temperatures: arguments.temperature.clone(),
        seed: arguments.seed,
        mode: arguments.mode,
    };
    let mut pixels = Vec::new();
    let bar = progress_bar(images as u64, "images");
    for first in (0..images).step_by(batch) {
        let items = first..images.min(first + batch);
        let items_done = items.end as u64;
        pixels.extend(decode(&model, &z, items, &options).with_context(place)?);
        bar.set_position(items_done);
    }
    bar.finish_and_clear();
    make_parent(&out)?;
    save(&model, &out, picture, &pixels)
        .with_context(|| format!("{}: cannot save the images", out.display()))?;
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
        "{images} images, {layers} layers as given{rest}: {}",
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

/// Says so if the latents are another model's, although they fit.
fn warn(arguments: &DecodeArgs, model: &TrainedModel, about: Option<&About>) {
    let other = |about: &&About| about.model_sha256 != model.fingerprint();
    if let Some(about) = about.filter(other) {
        tell(format_args!(
            "{}: latents of other weights (step {}) than these (step {}): the images will not be the encoded ones",
            arguments.latents.display(),
            about.step,
            model.step
        ));
    }
}

fn save(model: &TrainedModel, out: &Path, picture: bool, pixels: &[u8]) -> Result<()> {
    let ImageShape { size, channels } = model.plan.image();
    if picture {
        Grid::near_square(size, channels, pixels).save_png(out)?;
        return Ok(());
    }
    make_folder(out)?;
    for (number, image) in pixels.chunks_exact(size * size * channels).enumerate() {
        let path = out.join(format!("decode-{number:06}.png"));
        save_png_image(&path, image, size, channels)?;
    }
    Ok(())
}
