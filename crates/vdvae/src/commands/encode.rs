//! `vdvae encode`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use vdvae_data::{Batch, counted};

use super::images::{ImageStream, layer_range};
use super::{batch_size, check_output_of, latents, load, make_parent, print_json, progress_bar};
use crate::cli::latents::EncodeArgs;
use crate::console::results;
use crate::latents::{ARRAYS, About, ArrayFile, ArrayWriter, EncodeOptions, EncodedLayer, encode};

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
    check_output_of(&arguments.out, arguments.images.inputs())?;
    let (_, model) = load(&arguments.trained, latents)?;
    let shapes = model.plan.latents()?;
    let range = layer_range(arguments.layers.as_ref(), shapes.len())?;
    let batch = batch_size(arguments.images.batch, &model.config)?;
    let images = ImageStream::open(&arguments.images, &model)?;
    let options = EncodeOptions {
        layers: range.clone(),
        mean: arguments.mean,
        seed: arguments.seed,
    };
    let about = About {
        latents: if arguments.mean { "mean" } else { "sample" }.to_owned(),
        seed: arguments.seed,
        ..About::new(&model, "latents", images.names())
    };
    make_parent(&arguments.out)?;
    let kept =
        |array: &&str| arguments.keep.is_empty() || arguments.keep.iter().any(|kept| kept == array);
    let arrays = range.clone().flat_map(|layer| {
        let kept = ARRAYS.iter().copied().filter(kept);
        kept.map(move |array| (name(layer, array), layer, array))
    });
    let arrays = arrays.map(|(name, layer, array)| {
        (
            name,
            EncodedLayer::shape(array, images.len(), shapes[layer]),
        )
    });
    let mut file = ArrayWriter::create(&arguments.out, &about, arrays.collect())?;
    let (mut done, mut nats) = (0, 0.0);
    let bar = progress_bar(images.len() as u64, "images");
    for pixels in images.batches(batch) {
        let Batch {
            images, indices, ..
        } = pixels?;
        let items = indices[0]..indices[0] + indices.len() as u64;
        for (layer, seen) in encode(&model, &images, items, &options)? {
            let arrays = seen.arrays().into_iter();
            for (array, values) in arrays.filter(|(array, _)| kept(array)) {
                file.append(&name(layer, array), values)?;
            }
            nats += seen
                .kl_per_image
                .values
                .iter()
                .copied()
                .map(f64::from)
                .sum::<f64>();
        }
        done += indices.len();
        bar.set_position(done as u64);
    }
    bar.finish_and_clear();
    file.finish()?;
    tell(arguments, done, range, nats / done as f64)
}

/// Of an array of a layer, in the file.
fn name(layer: usize, array: &str) -> String {
    format!("layer_{layer:03}/{array}")
}

fn tell(
    arguments: &EncodeArgs,
    images: usize,
    range: std::ops::Range<usize>,
    nats: f64,
) -> Result<()> {
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
        "{}, layers {}..{}, {nats:.1} nats per image: {}",
        counted(images, "images"),
        range.start,
        range.end,
        out.display()
    )?;
    Ok(())
}
