//! `vdvae features`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use vdvae_data::counted;

use super::images::ImageStream;
use super::{batch_size, check_output_of, latents, load, make_parent, print_json, progress_bar};
use crate::cli::latents::FeaturesArgs;
use crate::console::results;
use crate::error::usage;
use crate::latents::{About, ArrayFile, ArrayWriter, features};

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    images: usize,
    /// By name.
    shapes: BTreeMap<String, Vec<usize>>,
}

pub fn run(arguments: &FeaturesArgs) -> Result<()> {
    ArrayFile::of(&arguments.out)?;
    check_output_of(&arguments.out, arguments.images.inputs())?;
    let (_, model) = load(&arguments.trained, latents)?;
    let depth = model.hierarchy()?.depth();
    if arguments.layer >= depth {
        return Err(usage(format!(
            "--layer: expected a layer of 0..{depth}, counted from 0 at the top, found {}",
            arguments.layer
        )));
    }
    let batch = batch_size(arguments.images.batch, &model.config)?;
    let images = ImageStream::open(&arguments.images, &model)?;
    let about = About::new(&model, "features", images.names());
    make_parent(&arguments.out)?;
    let mut writing: Option<ArrayWriter> = None;
    let mut shapes = BTreeMap::new();
    let mut done = 0;
    let bar = progress_bar(images.len() as u64, "images");
    for pixels in images.batches(batch) {
        let pixels = pixels?;
        let first = pixels.indices[0];
        let items = first..first + pixels.len() as u64;
        let mut seen = features(&model, &pixels.images, items, arguments.layer)?;
        let pooled = |name: &str| name.ends_with("/pooled");
        seen.arrays
            .retain(|name, _| !arguments.pooled || pooled(name));
        let file = match &mut writing {
            Some(file) => file,
            none => {
                for (name, array) in &seen.arrays {
                    let mut shape = array.shape.clone();
                    shape[0] = images.len();
                    shapes.insert(name.clone(), shape);
                }
                let arrays = shapes.clone().into_iter().collect();
                none.insert(ArrayWriter::create(&arguments.out, &about, arrays)?)
            }
        };
        for (name, array) in &seen.arrays {
            file.append(name, array)?;
        }
        done += pixels.len();
        bar.set_position(done as u64);
    }
    bar.finish_and_clear();
    if let Some(file) = writing {
        file.finish()?;
    }
    let (out, images) = (arguments.out.clone(), done);
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
    writeln!(
        results(),
        "{}: {}",
        counted(images, "images"),
        out.display()
    )?;
    Ok(())
}
