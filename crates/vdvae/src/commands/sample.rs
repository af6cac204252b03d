//! `vdvae sample`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use vdvae_data::{Batch, Source, counted};
use vdvae_formats::npy;

use super::data::open_some;
use super::images::load_all;
use super::inputs::{Bad, read_all};
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
use crate::models::ordered::Drawing;
use crate::pictures::Grid;
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
    let wanted = Wanted::of(arguments)?;
    let (run, mut model) = load(&arguments.trained, anything)?;
    let given = given(arguments, &model)?;
    let count = match &given {
        Some(given) => given.len() as u64,
        None => DEFAULT_COUNT,
    };
    let n = arguments.n.unwrap_or(count);
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| default_out(&run, arguments));
    let destination = Destination::of(&out)?;
    match destination {
        Destination::Picture | Destination::Array => check_output(&out)?,
        Destination::Folder => check_output(&out.join("sample.png"))?,
    }
    if matches!(destination, Destination::Picture) && n > MOST_IN_A_PICTURE as u64 {
        return Err(usage(format!(
            "-n: expected at most {MOST_IN_A_PICTURE} images in a picture, found {n}; --out FILE.npy or --out DIR/ take any number"
        )));
    }
    if arguments.from.checked_add(n).is_none() {
        return Err(usage(format!(
            "--from, -n: expected numbers of images below 2^64, found {n} more than {}",
            arguments.from
        )));
    }
    if matches!(destination, Destination::Folder) {
        check_none_there(&out, PICTURE, arguments.from..arguments.from + n)?;
    }
    let batch = batch_size(arguments.batch, &model.config)?;
    if let Some(passes) = arguments.readjust_bn {
        let (temperature, seed) = (&arguments.temperature, arguments.seed);
        // The batch counts here: it is what the statistics are of.
        let images = model.config.train.n_batch;
        model.model.readjust(passes, images, temperature, seed)?;
    }
    // Where pixels come one after the other, an image takes its time.
    let pixels = model.plan.image().size.pow(2) as u64;
    let bar = match model.plan.ordered() {
        Ok(()) => progress_bar(n.saturating_mul(pixels), "pixels"),
        Err(_) => progress_bar(n, "images"),
    };
    let sampler = Sampler {
        model: &model,
        arguments,
        wanted,
        given: given.as_ref(),
        n,
        batch,
        bar,
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
    let images_per_second = n as f64 / seconds;
    if arguments.json {
        return print_json(&Report {
            out,
            images: n,
            seconds,
            images_per_second,
        });
    }
    let temperature = match model.plan.latents() {
        Ok(_) => format!(" at temperature {}", temperatures(arguments)),
        Err(_) => String::new(),
    };
    let decimals = if images_per_second < 1.0 { 4 } else { 1 };
    writeln!(
        results(),
        "{}{temperature} in {seconds:.2} s ({images_per_second:.decimals$} images/s): {}",
        counted(n, "samples"),
        out.display()
    )?;
    Ok(())
}

/// Images, unless somebody says how many.
const DEFAULT_COUNT: u64 = 64;

/// What is asked for beside plain samples, by its names, once it is known that the model can do it.
#[derive(Clone, Copy)]
struct Wanted {
    class: Option<usize>,
    /// Rows that are given.
    rows: Option<usize>,
}

impl Wanted {
    /// Asks the run's plan alone, before anything is loaded.
    fn of(arguments: &SampleArgs) -> Result<Self> {
        let config = RunDir::new(&arguments.trained.run).load_config()?;
        let plan = config.plan()?;
        check_temperatures(&arguments.temperature, &*plan)?;
        for (name, is_given) in [
            ("--given", arguments.given.is_some()),
            ("--no-cache", arguments.no_cache),
        ] {
            if is_given {
                plan.ordered()
                    .map_err(|cannot| usage(format!("{name}: {cannot}")))?;
            }
        }
        let class = arguments.class.as_deref();
        let class = class.map(|class| config.data.classes.find(class, plan.classes()));
        let side = plan.image().size;
        let rows = arguments.rows.map(|rows| match usize::try_from(rows) {
            Ok(rows) if rows < side => Ok(rows),
            _ => Err(usage(format!(
                "--rows: expected fewer than {side}, the rows of an image of the model, found {rows}"
            ))),
        });
        Ok(Self {
            class: class.transpose()?,
            rows: rows.transpose()?,
        })
    }
}

/// The images that are to be completed.
fn given(arguments: &SampleArgs, model: &TrainedModel) -> Result<Option<Batch>> {
    let Some(path) = &arguments.given else {
        return Ok(None);
    };
    if path.extension().is_none_or(|extension| extension != "npy") {
        return load_all(std::slice::from_ref(path), Bad::Refused, model).map(Some);
    }
    let source: Source = format!("npy:{}", path.display()).parse()?;
    let (_, _, dataset) = open_some(model, Some(&source), None, false)?;
    let wanted = arguments.n.and_then(|n| usize::try_from(n).ok());
    let count = wanted.unwrap_or(usize::MAX).min(dataset.len());
    let all: Vec<usize> = (0..count).collect();
    read_all(&*dataset, &all).map(Some)
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
    let kind = match (arguments.rows, &arguments.class) {
        (Some(rows), _) => format!("completed-rows{rows}"),
        (None, Some(class)) => format!("sample-class-{}", class.replace(['/', '\\'], "_")),
        (None, None) => format!("sample-t{}", temperatures(arguments)),
    };
    run.samples()
        .join(format!("{kind}-seed{}.png", arguments.seed))
}

/// Draws batch after batch.
struct Sampler<'a> {
    model: &'a TrainedModel,
    arguments: &'a SampleArgs,
    wanted: Wanted,
    given: Option<&'a Batch>,
    n: u64,
    batch: usize,
    bar: indicatif::ProgressBar,
}

impl Sampler<'_> {
    /// Calls `each` with the first image's number and the images of each batch.
    fn for_each_batch(&self, mut each: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let from = self.arguments.from;
        let end = from + self.n;
        let mut first = from;
        while first < end {
            let count = (self.batch as u64).min(end - first);
            let items: Vec<u64> = (first..first + count).collect();
            each(first, &self.draw(&items)?)?;
            first += count;
        }
        Ok(())
    }

    /// An image for each item.
    fn draw(&self, items: &[u64]) -> Result<Vec<u8>> {
        let SampleArgs {
            seed, temperature, ..
        } = self.arguments;
        let count = items.len() as u64;
        if self.model.plan.ordered().is_err() {
            let images = self.model.model.sample(*seed, items, temperature);
            self.bar.inc(count);
            return Ok(images);
        }
        let given = self.given.map(|given| given_for(given, items));
        let class = self.wanted.class.into_iter();
        let classes: Vec<usize> = class.flat_map(|class| vec![class; items.len()]).collect();
        let drawing = Drawing {
            classes: &classes,
            given: given.as_deref().zip(self.wanted.rows),
            plain: self.arguments.no_cache,
            ..Drawing::new(*seed, items)
        };
        let ordered = self.model.model.ordered()?;
        Ok(ordered.draw(&drawing, &mut |_| self.bar.inc(count)))
    }

    fn pictures(&self, out: &Path, is_picture: bool) -> Result<()> {
        if let (true, Some(given), Some(rows)) = (is_picture, self.given, self.wanted.rows) {
            return self.side_by_side(out, given, rows);
        }
        let mut pictures = Pictures::begin(self.model, out, is_picture, PICTURE)?;
        self.for_each_batch(|first, images| Ok(pictures.add(first, images)?))?;
        Ok(pictures.finish()?)
    }

    /// A picture of what is given and what became of it, below each other.
    fn side_by_side(&self, out: &Path, given: &Batch, rows: usize) -> Result<()> {
        const COLUMNS: usize = 8;
        let ImageShape { size, channels } = self.model.plan.image();
        let mut images = Vec::new();
        self.for_each_batch(|_, batch| {
            images.extend_from_slice(batch);
            Ok(())
        })?;
        let all: Vec<u64> = (self.arguments.from..self.arguments.from + self.n).collect();
        let given = given_for(given, &all);
        let line = COLUMNS * self.model.plan.image().len();
        let lines = given.chunks(line).zip(images.chunks(line));
        let grid = Grid::new(size, channels);
        let grid = lines.fold(grid, |grid, (given, completed)| {
            grid.row("given", given)
                .row(format!("drawn from row {rows}"), completed)
        });
        Ok(grid.save_png(out)?)
    }

    fn array(&self, out: &Path) -> Result<()> {
        let ImageShape { size, channels } = self.model.plan.image();
        let header = npy::header("|u1", &[self.n as usize, size, size, channels]);
        write_atomically(out, |writer| {
            writer.write_all(&header)?;
            self.for_each_batch(|_, images| Ok(writer.write_all(images)?))
                .map_err(|error| std::io::Error::other(format!("{error:#}")))
        })?;
        Ok(())
    }
}

/// The given image of each item, [n, S, S, C]: of few, over and over.
fn given_for(given: &Batch, items: &[u64]) -> Vec<u8> {
    let each = given.images.len() / given.len();
    let image = |item: &u64| {
        let number = (item % given.len() as u64) as usize;
        &given.images[number * each..][..each]
    };
    items.iter().flat_map(image).copied().collect()
}
