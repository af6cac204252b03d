//! `vdvae features`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use super::images::{Images, check_memory};
use super::{batch_size, check_output, latents, load, make_parent, print_json, progress_bar};
use crate::cli::latents::FeaturesArgs;
use crate::console::results;
use crate::error::usage;
use crate::latents::{About, ArrayFile, Features, features, save};

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    images: usize,
    /// By name.
    shapes: BTreeMap<String, Vec<usize>>,
}

pub fn run(arguments: &FeaturesArgs) -> Result<()> {
    ArrayFile::of(&arguments.out)?;
    check_output(&arguments.out)?;
    let (_, model) = load(&arguments.trained, latents)?;
    let depth = model.hierarchy()?.depth();
    if arguments.layer >= depth {
        return Err(usage(format!(
            "--layer: expected a layer of 0..{depth}, counted from 0 at the top, found {}",
            arguments.layer
        )));
    }
    let batch = batch_size(arguments.images.batch, &model.config)?;
    let images = Images::open(&arguments.images, &model)?;
    let mut all = Features::default();
    let mut done = 0;
    let bar = progress_bar(images.batch.len() as u64, "images");
    for pixels in images.batch.images.chunks(batch * images.batch.image.len()) {
        let count = (pixels.len() / images.batch.image.len()) as u64;
        let mut seen = features(&model, pixels, done..done + count, arguments.layer)?;
        let pooled = |name: &str| name.ends_with("/pooled");
        seen.arrays
            .retain(|name, _| !arguments.pooled || pooled(name));
        if done == 0 {
            let values = seen
                .arrays
                .values()
                .map(|array| array.values.len())
                .sum::<usize>();
            let remedy = "Take fewer images (-n) or only their means (--pooled)";
            check_memory(values / count as usize, images.batch.len(), remedy)?;
        }
        all.append(seen);
        done += count;
        bar.set_position(done);
    }
    bar.finish_and_clear();
    let about = About::new(&model, "features", images.names);
    make_parent(&arguments.out)?;
    let arrays = all.arrays.iter().map(|(name, array)| (name.clone(), array));
    save(&arguments.out, &about, arrays)?;
    let shapes = all.arrays.into_iter();
    let shapes: BTreeMap<_, _> = shapes.map(|(name, array)| (name, array.shape)).collect();
    let (out, images) = (arguments.out.clone(), done as usize);
    if arguments.json {
        return print_json(&Report {
            out,
            images,
            shapes,
        });
    }
    for (name, shape) in &shapes {
        writeln!(results(), "{name:24} {shape:?}")?;
    }
    writeln!(results(), "{images} images: {}", out.display())?;
    Ok(())
}
