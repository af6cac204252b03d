//! `vdvae interpolate`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use vdvae_data::counted;

use super::images::{layer_range, load_all};
use super::inputs::Bad;
use super::{batch_size, check_output_of, latents, load, make_parent, print_json};
use crate::cli::latents::InterpolateArgs;
use crate::console::results;
use crate::error::usage;
use crate::latents::{InterpolateOptions, interpolate};
use crate::pictures::{Animation, Format, Grid};

/// Images side by side in a strip; more go into the next row.
const COLUMNS: usize = 12;

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    steps: usize,
    /// The first that changes, and the one after the last.
    layers: [usize; 2],
}

pub fn run(arguments: &InterpolateArgs) -> Result<()> {
    let animation = animation(arguments.out.as_deref())?;
    let (run, model) = load(&arguments.trained, latents)?;
    let default = || run.samples().join("interpolate.png");
    let out = arguments.out.clone().unwrap_or_else(default);
    check_output_of(&out, [&*arguments.first, &*arguments.second])?;
    let layers = layer_range(arguments.layers.as_ref(), model.hierarchy()?.depth())?;
    let ends = [arguments.first.clone(), arguments.second.clone()];
    let images = load_all(&ends, Bad::Refused, &model)?;
    if images.len() != 2 {
        return Err(usage("A, B: expected two image files, found a folder"));
    }
    let options = InterpolateOptions {
        steps: usize::try_from(arguments.steps)?,
        layers: layers.clone(),
        mean: arguments.mean,
        seed: arguments.seed,
        batch: batch_size(arguments.batch, &model.config)?,
    };
    let frames = interpolate(&model, &images.images, &options)?;
    make_parent(&out)?;
    let (size, channels) = (images.image.size, images.image.channels);
    match animation {
        Some(format) => Animation::there_and_back(size, channels, &frames).save(&out, format),
        None => strip(size, channels, &images.images, &frames).save_png(&out),
    }
    .with_context(|| format!("{}: cannot save the picture", out.display()))?;
    if arguments.json {
        return print_json(&Report {
            out,
            steps: options.steps,
            layers: [layers.start, layers.end],
        });
    }
    writeln!(
        results(),
        "{}, layers {}..{}: {}",
        counted(options.steps, "steps"),
        layers.start,
        layers.end,
        out.display()
    )?;
    Ok(())
}

/// What the file's name says: an animation, or (`None`) a strip.
fn animation(out: Option<&Path>) -> Result<Option<Format>> {
    let Some(out) = out else {
        return Ok(None);
    };
    match out.extension().and_then(|extension| extension.to_str()) {
        Some("png") => Ok(None),
        Some("gif") => Ok(Some(Format::Gif)),
        Some("webp") => Ok(Some(Format::Webp)),
        _ => Err(usage(format!(
            "--out {}: expected FILE.png, FILE.gif or FILE.webp",
            out.display()
        ))),
    }
}

/// The two images above the steps, each above its own end.
fn strip(size: usize, channels: usize, images: &[u8], frames: &[u8]) -> Grid {
    let image = size * size * channels;
    let across = (frames.len() / image).min(COLUMNS);
    let (first, second) = images.split_at(image);
    let mut ends = vec![Grid::BACKGROUND; across * image];
    ends[..image].copy_from_slice(first);
    ends[(across - 1) * image..].copy_from_slice(second);
    let grid = Grid::new(size, channels).row("A, B", &ends);
    let rows = frames.chunks(across * image).enumerate();
    rows.fold(grid, |grid, (row, frames)| {
        grid.row(if row == 0 { "A to B" } else { "" }, frames)
    })
}
