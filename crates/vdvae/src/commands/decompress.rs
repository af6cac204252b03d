//! `vdvae decompress`.

mod model;
mod outputs;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use vdvae_data::counted;

use super::exact::exact_device;
use super::{check_output, print_json, progress_bar};
use crate::cli::compress::DecompressArgs;
use crate::compress::{Archive, Codec, Cost, ImageEntry};
use crate::console::{results, tell};
use crate::error::usage;
use model::{find_model, kernel_path};
use outputs::Outputs;

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    images: usize,
    /// Images that had to be decoded, wholly or in part.
    decoded_images: usize,
    decoded_tiles: u64,
    seconds: f64,
    images_per_s: f64,
}

pub fn run(arguments: &DecompressArgs) -> Result<()> {
    let place = || arguments.archive.display().to_string();
    let bytes = std::fs::read(&arguments.archive)
        .with_context(|| format!("{}: cannot read this file", place()))?;
    let archive = Archive::read(&bytes).with_context(place)?;
    drop(bytes);
    if arguments.list {
        return list(&archive, arguments.json);
    }
    let only = arguments
        .only
        .as_deref()
        .map(|name| find(&archive, name).with_context(place))
        .transpose()?;
    let folder = match &arguments.out {
        Some(folder) => folder.clone(),
        None => default_folder(&arguments.archive)?,
    };
    let names = wanted(&archive, only).map(|image| image.name.as_str());
    Outputs::check(&folder, names)?;
    check_output(&folder.join("image.png"))?;
    let path = kernel_path(arguments, &archive)?;
    let device = exact_device(&arguments.machine, Some(path))?;
    let model = find_model(arguments, &archive, device)?;
    let codec = Codec::new(&model, archive.model.latent_bits.into())?;
    archive.check_model(codec.id()).with_context(place)?;

    let cost = Codec::cost(&archive, only)?;
    if let Some(name) = &arguments.only {
        tell(format_args!(
            "{name}: to be decoded: {} of {} ({}), a stream's last image comes first",
            cost.images,
            counted(archive.images.len(), "images"),
            counted(cost.tiles, "tiles")
        ));
    }
    let start = Instant::now();
    let mut outputs = Outputs::begin(&folder)?;
    let bar = progress_bar(cost.tiles, "tiles");
    codec
        .decompress(
            &archive,
            only,
            |done| bar.set_position(done),
            |image, pixels| outputs.add(&archive.images[image as usize], &pixels),
        )
        .with_context(place)?;
    bar.finish_and_clear();
    let images = outputs.finish()?;
    report(
        arguments.json,
        folder,
        images,
        cost,
        start.elapsed().as_secs_f64(),
    )
}

fn report(json: bool, out: PathBuf, images: usize, cost: Cost, seconds: f64) -> Result<()> {
    let images_per_s = cost.images as f64 / seconds;
    if json {
        return print_json(&Report {
            out,
            images,
            decoded_images: cost.images,
            decoded_tiles: cost.tiles,
            seconds,
            images_per_s,
        });
    }
    writeln!(
        results(),
        "{}, {seconds:.2} s, {images_per_s:.2} images/s: {}",
        counted(images, "images"),
        out.display()
    )?;
    Ok(())
}

/// The entries of the images that are to be written.
fn wanted(archive: &Archive, only: Option<u32>) -> impl Iterator<Item = &ImageEntry> {
    let numbered = (0..).zip(&archive.images);
    let is_wanted = move |image: u32| only.is_none_or(|only| only == image);
    numbered.filter_map(move |(image, entry)| is_wanted(image).then_some(entry))
}

fn list(archive: &Archive, json: bool) -> Result<()> {
    #[derive(Serialize)]
    struct Listed<'a> {
        name: &'a str,
        width: u32,
        height: u32,
        channels: u8,
    }
    let listed = archive.images.iter().map(|entry| Listed {
        name: &entry.name,
        width: entry.width,
        height: entry.height,
        channels: entry.channels,
    });
    if json {
        return print_json(&listed.collect::<Vec<_>>());
    }
    let mut out = results();
    for image in listed {
        let kind = if image.channels == 1 { "gray" } else { "RGB" };
        let (name, width, height) = (image.name, image.width, image.height);
        writeln!(out, "{name}  {width} x {height} {kind}")?;
    }
    Ok(())
}

fn find(archive: &Archive, name: &str) -> Result<u32> {
    let place = archive.images.iter().position(|image| image.name == name);
    match place.and_then(|place| u32::try_from(place).ok()) {
        Some(image) => Ok(image),
        None => Err(usage(format!(
            "--only {name}: expected the name of one of {} images, found none such. --list prints them",
            archive.images.len()
        ))),
    }
}

fn default_folder(archive: &Path) -> Result<PathBuf> {
    let folder = archive.with_extension("");
    if folder == archive || folder.file_name().is_none() {
        return Err(usage(format!(
            "{}: cannot name a folder after this file; give one: --out DIR",
            archive.display()
        )));
    }
    Ok(folder)
}
