//! The images of a run that begins or goes on, each in its split.

use std::sync::Arc;

use anyhow::{Context, Result};
use vdvae_data::{
    Changes, Collection, Dataset, ImageList, OpenOptions, Source, Split, pixel_statistics,
};

use super::data::{
    FirstPass, classes_of, options_of, some_of, tell_changes, tell_passed_over, tell_skipped,
    tell_unlisted,
};
use super::init::Start;
use crate::cli::{NewImages, TrainArgs};
use crate::config::Config;
use crate::console::tell;
use crate::error::usage;
use crate::models::Plan;
use crate::run_dir::RunDir;

/// The images of a run, and what is kept of them.
pub struct Images {
    pub train: Arc<dyn Dataset>,
    pub valid: Arc<dyn Dataset>,
    /// Kept beside the run.
    pub list: ImageList,
}

/// Opens training and validation images; computes the normalisation where the model wants one and none is
/// given, and names its classes after those of the images where they have no names.
///
/// # Errors
/// If there are none, or they are not those that the run began with.
pub fn open(
    arguments: &TrainArgs,
    run: &RunDir,
    start: Option<&Start>,
    config: &mut Config,
    plan: &dyn Plan,
) -> Result<Images> {
    let source: Source = config.data.source.parse().context("data.source")?;
    let first_pass = FirstPass::default();
    let progress = |done, count| first_pass.show(done, count);
    let asked = config.clone();
    let plain = OpenOptions {
        skip_bad_images: arguments.skip_bad_images,
        progress: Some(&progress),
        ..options_of(&asked, plan)
    };
    let list = if arguments.resume {
        run.load_images()?
    } else {
        None
    };
    let collection = match &list {
        Some(list) => continued(arguments, &source, list, &plain)?,
        None => match start {
            Some(start) => start.collection(&source, &plain)?,
            None => Collection::split(&source, &plain)?,
        },
    };
    if arguments.resume && list.is_none() && run.latest().exists() {
        tell_unlisted(run, &collection);
    }
    tell(collection.describe(Split::Train));
    tell_passed_over(collection.passed_over());
    config.data.classes = classes_of(&asked, plan, &collection, &source)?;
    let classes = config.data.classes.clone();
    let plain = OpenOptions {
        classes: &classes,
        ..plain
    };
    let augmented = OpenOptions {
        augment: true,
        flip: config.data.flip,
        ..plain
    };
    let train = collection.open(Split::Train, &augmented)?;
    let valid = collection.open(Split::Valid, &plain)?;
    tell_skipped(&*train);
    tell_skipped(&*valid);
    if plan.is_normalised() && config.data.shift.is_none() {
        let statistics = pixel_statistics(&*collection.open(Split::Train, &plain)?)?;
        config.data.shift = Some(statistics.shift());
        config.data.scale = Some(statistics.scale());
    }
    let mut now = collection.list(&plain)?;
    if let Some(before) = &list {
        now.keep_missing(before);
    }
    // From another working folder, the run finds the same images.
    config.data.source = source.absolute().context("--data")?.to_string();
    Ok(Images {
        train,
        valid,
        list: now,
    })
}

/// The images of a run that goes on: those that it began with in their splits, new ones as is asked for.
fn continued(
    arguments: &TrainArgs,
    source: &Source,
    list: &ImageList,
    options: &OpenOptions,
) -> Result<Collection> {
    let (mut collection, changes) = Collection::recorded(source, list, options)?;
    collection.check(list, options)?;
    match arguments.new_images {
        None if !changes.new.is_empty() => {
            return Err(usage(format!(
                "--resume: of what {source} holds, {} not there when the run began: {}. Say what becomes of them: --new-images train, or --new-images leave",
                match changes.new.len() {
                    1 => "1 image was".to_owned(),
                    more => format!("{more} images were"),
                },
                some_of(&changes.new)
            )));
        }
        Some(NewImages::Train) => collection.train_on_new(),
        _ => {}
    }
    tell_changes(&Changes {
        new: Vec::new(),
        ..changes
    });
    Ok(collection)
}
