//! `vdvae encode`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use super::images::{Images, check_memory, layer_range};
use super::{batch_size, check_output, latents, load, make_parent, print_json, progress_bar};
use crate::cli::latents::EncodeArgs;
use crate::console::results;
use crate::latents::{About, ArrayFile, EncodeOptions, Layers, encode, save};
use crate::models::LatentLayer;

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    images: usize,
    /// The first, and the one after the last.
    layers: [usize; 2],
    kl_nats_per_image: f64,
}

pub fn run(arguments: &EncodeArgs) -> Result<()> {
    ArrayFile::of(&arguments.out)?;
    check_output(&arguments.out)?;
    let (_, model) = load(&arguments.trained, latents)?;
    let shapes = model.plan.latents()?;
    let range = layer_range(arguments.layers.as_ref(), shapes.len())?;
    let batch = batch_size(arguments.images.batch, &model.config)?;
    let images = Images::open(&arguments.images, &model)?;
    let values: usize = shapes[range.clone()].iter().map(LatentLayer::len).sum();
    let remedy = "Encode fewer images (-n) or fewer layers (--layers)";
    check_memory(6 * values, images.batch.len(), remedy)?;

    let options = EncodeOptions {
        layers: range.clone(),
        mean: arguments.mean,
        seed: arguments.seed,
    };
    let mut layers = Layers::new();
    let mut done = 0;
    let bar = progress_bar(images.batch.len() as u64, "images");
    for pixels in images.batch.images.chunks(batch * images.batch.image.len()) {
        let count = (pixels.len() / images.batch.image.len()) as u64;
        for (layer, seen) in encode(&model, pixels, done..done + count, &options)? {
            layers.entry(layer).or_default().append(seen);
        }
        done += count;
        bar.set_position(done);
    }
    bar.finish_and_clear();

    let about = About {
        latents: if arguments.mean { "mean" } else { "sample" }.to_owned(),
        seed: arguments.seed,
        ..About::new(&model, "latents", images.names)
    };
    make_parent(&arguments.out)?;
    let arrays = layers.iter().flat_map(|(layer, seen)| {
        let name = move |array| format!("layer_{layer:03}/{array}");
        seen.arrays().map(|(array, values)| (name(array), values))
    });
    save(&arguments.out, &about, arrays)?;
    tell(arguments, done as usize, range, &layers)
}

fn tell(
    arguments: &EncodeArgs,
    images: usize,
    range: std::ops::Range<usize>,
    layers: &Layers,
) -> Result<()> {
    let nats = layers.values().flat_map(|seen| &seen.kl_per_image.values);
    let nats = nats.map(|&nats| f64::from(nats)).sum::<f64>() / images as f64;
    let out = arguments.out.clone();
    if arguments.json {
        return print_json(&Report {
            out,
            images,
            layers: [range.start, range.end],
            kl_nats_per_image: nats,
        });
    }
    writeln!(
        results(),
        "{images} images, layers {}..{}, {nats:.1} nats per image: {}",
        range.start,
        range.end,
        out.display()
    )?;
    Ok(())
}
