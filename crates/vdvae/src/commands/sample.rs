//! `vdvae sample`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use vdvae_data::counted;
use vdvae_formats::npy;

use super::pictures::{MOST_IN_A_PICTURE, Pictures, check_none_there};
use super::{
    anything, batch_size, check_output, check_temperatures, load, make_parent, print_json,
    progress_bar,
};
use crate::cli::SampleArgs;
use crate::console::results;
use crate::error::usage;
use crate::files::write_atomically;
use crate::models::ImageShape;
use crate::run_dir::RunDir;
use crate::trained::TrainedModel;

/// What the names of single images begin with.
const PICTURE: &str = "sample";

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    images: u64,
    seconds: f64,
    images_per_second: f64,
}

/// How the images are kept.
enum Destination {
    Picture,
    Array,
    Folder,
}

impl Destination {
    fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("png") => Ok(Self::Picture),
            Some("npy") => Ok(Self::Array),
            None => Ok(Self::Folder),
            Some(_) if path.is_dir() => Ok(Self::Folder),
            Some(other) => Err(usage(format!(
                "--out {}: expected FILE.png, FILE.npy or a folder, found .{other}",
                path.display()
            ))),
        }
    }
}

pub fn run(arguments: &SampleArgs) -> Result<()> {
    let (run, mut model) = load(&arguments.trained, anything)?;
    check_temperatures(&arguments.temperature, &*model.plan)?;
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| default_out(&run, arguments));
    let destination = Destination::of(&out)?;
    match destination {
        Destination::Picture | Destination::Array => check_output(&out)?,
        Destination::Folder => check_output(&out.join("sample.png"))?,
    }
    if matches!(destination, Destination::Picture) && arguments.n > MOST_IN_A_PICTURE as u64 {
        return Err(usage(format!(
            "-n: expected at most {MOST_IN_A_PICTURE} images in a picture, found {}; --out FILE.npy or --out DIR/ take any number",
            arguments.n
        )));
    }
    if arguments.from.checked_add(arguments.n).is_none() {
        return Err(usage(format!(
            "--from, -n: expected numbers of images below 2^64, found {} more than {}",
            arguments.n, arguments.from
        )));
    }
    if matches!(destination, Destination::Folder) {
        check_none_there(&out, PICTURE, arguments.from..arguments.from + arguments.n)?;
    }
    let batch = batch_size(arguments.batch, &model.config)?;
    if let Some(passes) = arguments.readjust_bn {
        let (temperature, seed) = (&arguments.temperature, arguments.seed);
        // The batch counts here: it is what the statistics are of.
        let images = model.config.train.n_batch;
        model.model.readjust(passes, images, temperature, seed)?;
    }
    let mut sampler = Sampler {
        model: &model,
        arguments,
        batch,
        bar: progress_bar(arguments.n, "images"),
    };
    let started = Instant::now();
    make_parent(&out)?;
    match destination {
        Destination::Picture => sampler.pictures(&out, true),
        Destination::Folder => sampler.pictures(&out, false),
        Destination::Array => sampler.array(&out),
    }
    .with_context(|| format!("{}: cannot save the samples", out.display()))?;
    sampler.bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let images_per_second = arguments.n as f64 / seconds;
    if arguments.json {
        return print_json(&Report {
            out,
            images: arguments.n,
            seconds,
            images_per_second,
        });
    }
    writeln!(
        results(),
        "{} at temperature {} in {seconds:.2} s ({images_per_second:.1} images/s): {}",
        counted(arguments.n, "samples"),
        temperatures(arguments),
        out.display()
    )?;
    Ok(())
}

/// All of them, as far as they fit into the name of a file; else the first and the last.
fn temperatures(arguments: &SampleArgs) -> String {
    const LONGEST: usize = 60;
    let temperatures: Vec<String> = arguments.temperature.iter().map(f32::to_string).collect();
    match temperatures.join(",") {
        all if all.len() <= LONGEST => all,
        _ => format!(
            "{}..{}",
            temperatures[0],
            temperatures[temperatures.len() - 1]
        ),
    }
}

fn default_out(run: &RunDir, arguments: &SampleArgs) -> PathBuf {
    let name = format!(
        "sample-t{}-seed{}.png",
        temperatures(arguments),
        arguments.seed
    );
    run.samples().join(name)
}

/// Draws batch after batch.
struct Sampler<'a> {
    model: &'a TrainedModel,
    arguments: &'a SampleArgs,
    batch: usize,
    bar: indicatif::ProgressBar,
}

impl Sampler<'_> {
    /// Calls `each` with the first image's number and the images of each batch.
    fn for_each_batch(&mut self, mut each: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let SampleArgs {
            n,
            from,
            seed,
            temperature,
            ..
        } = self.arguments;
        let end = from + n;
        let mut first = *from;
        while first < end {
            let count = (self.batch as u64).min(end - first);
            let items: Vec<u64> = (first..first + count).collect();
            let images = self.model.model.sample(*seed, &items, temperature);
            each(first, &images)?;
            first += count;
            self.bar.set_position(first - from);
        }
        Ok(())
    }

    fn pictures(&mut self, out: &Path, is_picture: bool) -> Result<()> {
        let mut pictures = Pictures::begin(self.model, out, is_picture, PICTURE)?;
        self.for_each_batch(|first, images| Ok(pictures.add(first, images)?))?;
        Ok(pictures.finish()?)
    }

    fn array(&mut self, out: &Path) -> Result<()> {
        let ImageShape { size, channels } = self.model.plan.image();
        let header = npy::header("|u1", &[self.arguments.n as usize, size, size, channels]);
        write_atomically(out, |writer| {
            writer.write_all(&header)?;
            self.for_each_batch(|_, images| Ok(writer.write_all(images)?))
                .map_err(|error| std::io::Error::other(format!("{error:#}")))
        })?;
        Ok(())
    }
}
