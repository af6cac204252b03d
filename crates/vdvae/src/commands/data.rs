//! The images of data sets, for commands: opened, and what was made of them said.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use vdvae_data::{
    Changes, Collection, Dataset, ImageList, LossCounts, OpenOptions, PassedOver, Source, Split,
};

use super::{image_shape, progress_bar};
use crate::config::{Classes, Config};
use crate::console::{is_verbose, tell};
use crate::models::Plan;
use crate::run_dir::RunDir;
use crate::trained::TrainedModel;

/// So many names are said without --verbose.
const NAMED: usize = 5;

/// Where there is no terminal for a bar, a line comes so often.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Opens the images for a trained model: `data` (all of it), or the run's own (its test split).
pub fn open_data(
    model: &TrainedModel,
    data: Option<&Source>,
    split: Option<Split>,
    skip_bad_images: bool,
) -> Result<(Source, Split, Arc<dyn Dataset>)> {
    open_with(model, data, split, |options| OpenOptions {
        skip_bad_images,
        ..options
    })
}

/// As [`open_data`], for those who look at the images themselves, as they may not want all of them.
pub fn open_some(
    model: &TrainedModel,
    data: Option<&Source>,
    split: Option<Split>,
    skip_bad_images: bool,
) -> Result<(Source, Split, Arc<dyn Dataset>)> {
    open_with(model, data, split, |options| OpenOptions {
        skip_bad_images,
        look_through: false,
        ..options
    })
}

fn open_with<'a>(
    model: &'a TrainedModel,
    data: Option<&Source>,
    split: Option<Split>,
    options: impl FnOnce(OpenOptions<'a>) -> OpenOptions<'a>,
) -> Result<(Source, Split, Arc<dyn Dataset>)> {
    let first_pass = FirstPass::default();
    let progress = |done, count| first_pass.show(done, count);
    let options = OpenOptions {
        progress: Some(&progress),
        ..options(options_of(&model.config, &*model.plan))
    };
    let list = model.run.as_ref().map(RunDir::load_images).transpose()?;
    let list = list.flatten();
    let (source, split, collection) = match data {
        Some(source) => {
            let split = split.unwrap_or(Split::All);
            let collection = others(source, split, list.as_ref(), &options)?;
            (source.clone(), split, collection)
        }
        None => {
            let source: Source = model.config.data.source.parse().context("data.source")?;
            let collection = own(model, &source, split, list.as_ref(), &options).context(OWN)?;
            let split = split.unwrap_or_else(|| reported_split(&collection));
            (source, split, collection)
        }
    };
    let classes = classes_of(&model.config, &*model.plan, &collection, &source)?;
    let options = OpenOptions {
        classes: &classes,
        ..options
    };
    let opened = collection.open(split, &options);
    let dataset = match data {
        Some(_) => opened?,
        None => opened.context(OWN)?,
    };
    tell_passed_over(collection.passed_over());
    tell_skipped(&*dataset);
    tell_losses(dataset.losses());
    Ok((source, split, dataset))
}

const OWN: &str = "the run's own images (--data SOURCE gives others)";

/// Images as a model wants them, held out as its run has it.
pub fn options_of<'a>(config: &'a Config, plan: &dyn Plan) -> OpenOptions<'a> {
    OpenOptions {
        seed: config.train.seed,
        classes: &config.data.classes,
        ..OpenOptions::new(image_shape(plan))
    }
}

/// The names of the classes that a model tells apart: those of its configuration, or of images where that has none.
///
/// # Errors
/// If these tell no classes, or not as many.
pub fn classes_of(
    config: &Config,
    plan: &dyn Plan,
    images: &Collection,
    source: &Source,
) -> Result<Classes> {
    let (named, count) = (&config.data.classes, plan.classes());
    if count == 0 || !named.is_empty() {
        return Ok(named.clone());
    }
    Ok(Classes::of_source(
        images.classes()?,
        count,
        &source.to_string(),
    )?)
}

/// The images of --data: for a split other than all, as the run has it where they are the run's.
fn others(
    source: &Source,
    split: Split,
    list: Option<&ImageList>,
    options: &OpenOptions,
) -> Result<Collection> {
    let recorded = list.and_then(|list| Collection::recorded(source, list, options).ok());
    let collection = match (recorded, split) {
        (Some((collection, changes)), _) => {
            tell_changes(&changes);
            collection
        }
        (None, Split::All) => Collection::whole(source, options)?,
        (None, _) => Collection::split(source, options)?,
    };
    tell(collection.describe(split));
    let trained = list.map_or(0, |list| collection.trained_on(list));
    if split == Split::All && trained > 0 {
        tell(format_args!(
            "warning: {trained} of these images are training images of the run; --split test is what it has not seen"
        ));
    }
    Ok(collection)
}

/// The images of the run itself, each in the split that it had when the run began.
fn own(
    model: &TrainedModel,
    source: &Source,
    split: Option<Split>,
    list: Option<&ImageList>,
    options: &OpenOptions,
) -> Result<Collection> {
    if let Some(list) = list {
        let (collection, changes) = Collection::recorded(source, list, options)?;
        tell_changes(&changes);
        return Ok(collection);
    }
    if split == Some(Split::All) {
        return Ok(Collection::whole(source, options)?);
    }
    let collection = Collection::split(source, options)?;
    if let Some(run) = &model.run {
        tell_unlisted(run, &collection);
    }
    Ok(collection)
}

/// What is measured if nothing is said: the test images, where there are any.
fn reported_split(collection: &Collection) -> Split {
    if collection.has(Split::Test) {
        return Split::Test;
    }
    tell(
        "warning: the data set has no test images; these are the validation images, by which the best weights were chosen",
    );
    Split::Valid
}

/// Says that a run does not know its images, where these could have been others when it began.
pub fn tell_unlisted(run: &RunDir, collection: &Collection) {
    if collection.has_files() {
        tell(format_args!(
            "warning: {} is missing, as in imported runs and those of earlier versions: what is held out is drawn anew, and the same only if the files are",
            run.images().display()
        ));
    }
}

/// Says what came, went and changed since a run began.
pub fn tell_changes(changes: &Changes) {
    for (names, one, more) in [
        (
            &changes.new,
            "is new since the run began, and in no split",
            "are new since the run began, and in no split",
        ),
        (
            &changes.missing,
            "is not there any more",
            "are not there any more",
        ),
        (
            &changes.changed,
            "is of another size than when the run began, and stays in its split",
            "are of another size than when the run began, and stay in their split",
        ),
    ] {
        if !names.is_empty() {
            let count = names.len();
            let (images, what) = if count == 1 {
                ("image", one)
            } else {
                ("images", more)
            };
            tell(format_args!(
                "{count} {images} of the run {what}: {}",
                some_of(names)
            ));
        }
    }
}

/// The first names, or with --verbose all.
pub fn some_of(names: &[String]) -> String {
    let shown = if is_verbose() { names.len() } else { NAMED };
    let more = names.len().saturating_sub(shown);
    let mut text = names[..names.len() - more].join(", ");
    if more > 0 {
        text += &format!(" and {more} more (--verbose names them)");
    }
    text
}

/// Counts the files that are no images, and with --verbose names them.
pub fn tell_passed_over(files: Option<&PassedOver>) {
    let Some(files) = files.filter(|files| !files.is_empty()) else {
        return;
    };
    if is_verbose() {
        for path in files.paths() {
            tell(format_args!("passed over {}", path.display()));
        }
    }
    let hint = if is_verbose() {
        ""
    } else {
        " (--verbose names them)"
    };
    tell(format_args!("passed over {files}{hint}"));
}

/// Names the images that were left out because they cannot be read.
pub fn tell_skipped(dataset: &dyn Dataset) {
    for image in dataset.skipped() {
        tell(format_args!("skipped {image}"));
    }
}

/// Counts the images that hold more than 8-bit gray or RGB values.
pub fn tell_losses(losses: LossCounts) {
    for sentence in losses.sentences() {
        tell(sentence);
    }
}

/// Counts them once more where further ones have shown since `before`.
pub fn tell_later_losses(before: LossCounts, now: LossCounts) {
    if now != before {
        tell_losses(now);
    }
}

/// Shows how far the first look at many files is: a bar, or where there is no terminal a line from time to time.
#[derive(Default)]
pub struct FirstPass(Mutex<Option<Shown>>);

struct Shown {
    bar: indicatif::ProgressBar,
    last_line: Instant,
}

impl FirstPass {
    /// So many of `count` are done. Threads that come while another one shows something go on.
    pub fn show(&self, done: usize, count: usize) {
        let Ok(mut shown) = self.0.try_lock() else {
            return;
        };
        let Shown { bar, last_line } = shown.get_or_insert_with(|| Shown {
            bar: progress_bar(count as u64, "images looked at"),
            last_line: Instant::now(),
        });
        bar.set_position(done as u64);
        if bar.is_hidden() && last_line.elapsed() >= BETWEEN_LINES {
            tell(format_args!("{done} of {count} images looked at"));
            *last_line = Instant::now();
        }
        if done == count {
            bar.finish_and_clear();
            *shown = None;
        }
    }
}
