//! A run of training, begun or continued: for `vdvae train`, and for each run of a sweep.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use vdvae_data::{Batch, Dataset, ImageList, LossCounts};

use super::data::{tell_later_losses, tell_losses};
use super::init::Start;
use super::request::{difference, requested, with_options};
use super::run_images::{self, Images};
use super::{check_output, make_folder, reading_threads};
use crate::checkpoint::{self, Progress};
use crate::cli::TrainArgs;
use crate::config::{Config, TrainConfig, learning_rate};
use crate::console::tell;
use crate::device;
use crate::error::usage;
use crate::evenly::evenly;
use crate::files::write_atomically;
use crate::folder_lock::FolderLock;
use crate::log;
use crate::memory::{available_memory, training_memory};
use crate::models::state::TrainState;
use crate::models::{ImageShape, Model, Plan};
use crate::ops::Compute;
use crate::parameters::Specs;
use crate::pictures::Grid;
use crate::reconstruct::{ReconstructOptions, depths_picture, several_depths};
use crate::report::EventWriter;
use crate::run_dir::RunDir;
use crate::train::{self, Outcome, Training};
use crate::trained::{TrainedModel, preprocess};

/// Images in a row of the sample picture.
const PICTURE_COLUMNS: usize = 8;
/// What a run cannot change: the model, what it reads, and which images are held out.
const FIXED: [&str; 5] = [
    "model.",
    "data.shift",
    "data.scale",
    "data.classes",
    "train.seed",
];

/// Trains the run that the arguments describe, or goes on with it. `stop` is asked, once all is ready,
/// for what is set from outside to end it early. Nobody else works in its folder meanwhile.
pub fn train(
    arguments: &TrainArgs,
    run: &RunDir,
    stop: impl FnOnce() -> Arc<AtomicBool>,
) -> Result<Outcome> {
    let device = device::parse(&arguments.machine.device)?;
    let start = arguments.init.as_deref().map(Start::open).transpose()?;
    let (mut config, before) = if arguments.resume {
        let (config, before) = resumed(arguments, run)?;
        (config, Some(before))
    } else {
        let config = match &start {
            Some(start) => start.requested(arguments)?,
            None => requested(arguments)?,
        };
        check_place(&config, run)?;
        (config, None)
    };
    let what = format!("--out {}", run.path().display());
    let take = || FolderLock::take(run.path(), &what);
    // Before the images are looked at, which may take long.
    let early = run.path().is_dir().then(take).transpose()?;
    let plan: Arc<dyn Plan> = config.plan()?.into();
    let parameters = plan.parameters();
    let checkpointed = arguments.checkpoint_activations;
    let compute = Compute {
        dtype: config.train.dtype,
        checkpoint_activations: checkpointed,
        keep_laid_out: false,
    };
    plan.computes(&compute)?;
    let needed = training_memory(&*plan, config.train.n_batch, checkpointed);
    warn_about_memory(needed, &config.train);
    let opened = run_images::open(arguments, run, start.as_ref(), &mut config, &*plan);
    let Images { train, valid, list } = match arguments.data {
        Some(_) => opened?,
        None => opened.context("the configuration's images (--data SOURCE gives others)")?,
    };
    make_folder(run.path())?;
    let _lock = match early {
        Some(lock) => lock,
        None => {
            let lock = take()?;
            // Another job may have begun and ended in between.
            check_vacant(run)?;
            lock
        }
    };
    let preprocess = preprocess(&config, &*plan)?;
    let device = device.autodiff();
    let mut model = plan.build(config.train.seed, &device);
    model.set_compute(compute);
    let specs = Arc::new(Specs::new(plan.tensors()));
    if let Some(start) = &start {
        model = start.weights_in(model, &config, &specs)?;
        model.set_compute(compute);
    }
    // Weights that are given stay as they are.
    let begin = |model: &mut dyn Model| match start {
        Some(_) => Ok(()),
        None => train::start(model, &config.train, train.clone(), &preprocess, &device),
    };
    let (state, progress) = state(arguments, run, &config, model, specs, begin)?;
    if progress.step > config.train.steps {
        return Err(usage(format!(
            "--resume: the run in {} has made {} steps already; expected --steps of at least that, found {}",
            run.path().display(),
            progress.step,
            config.train.steps,
        )));
    }
    if let Some(warning) =
        before.and_then(|before| rate_warning(&before, &config.train, progress.step))
    {
        tell(format_args!("warning: {warning}"));
    }
    prepare_folder(run, &config, &list)?;
    let (folder, images, held_out) = (run.path().display(), train.len(), valid.len());
    let (step, steps) = (progress.step, config.train.steps);
    tell(format_args!(
        "{folder}: {parameters} parameters, {images} training and {held_out} validation images, step {step} of {steps}"
    ));
    let shown = shown_images(&*valid)?;
    let images = [train.clone(), valid.clone()];
    let losses = || images.iter().map(|images| images.losses()).sum();
    let before: LossCounts = losses();
    tell_losses(before);
    let folder = run.events();
    let events = arguments
        .tensorboard
        .then(|| EventWriter::create(&folder, step))
        .transpose()
        .with_context(|| format!("{}: cannot write there", folder.display()))?;
    let training = Training {
        config: config.clone(),
        run: run.clone(),
        state,
        plan: plan.clone(),
        progress,
        train,
        valid,
        preprocess: preprocess.clone(),
        device: device.clone(),
        threads: reading_threads(),
        stop: stop(),
        events,
    };
    let outcome = training.run(|average, path| {
        let model = TrainedModel {
            model: average,
            plan: plan.clone(),
            config: config.clone(),
            preprocess: preprocess.clone(),
            step: 0,
            device: device.clone().inner(),
            run: None,
        };
        sample_picture(&model, &shown)?
            .save_png(&path)
            .map_err(Into::into)
    })?;
    tell_later_losses(before, losses());
    Ok(outcome)
}

/// Says beforehand what would otherwise end without a word.
fn warn_about_memory(needed: u64, train: &TrainConfig) {
    let Some(available) = available_memory().filter(|&available| needed > available) else {
        return;
    };
    let gibibytes = |bytes: u64| bytes as f64 / 2.0_f64.powi(30);
    tell(format_args!(
        "warning: a training step takes about {:.1} GiB of memory, and {:.1} GiB are free. Fewer images at once take less and, accumulated, train the same: --set train.n_batch={} --set train.accumulate={}",
        gibibytes(needed),
        gibibytes(available),
        (train.n_batch / 2).max(1),
        2 * train.accumulate,
    ));
}

/// Where training continues: at the latest checkpoint, or at the start where there is none yet, which a new model
/// is shown by `begin`.
fn state(
    arguments: &TrainArgs,
    run: &RunDir,
    config: &Config,
    mut model: Box<dyn Model>,
    specs: Arc<Specs>,
    begin: impl FnOnce(&mut dyn Model) -> Result<()>,
) -> Result<(TrainState, Progress)> {
    if arguments.resume && run.best().exists() && !run.latest().exists() {
        return Err(usage(format!(
            "--resume: {} is missing, where the run stood; put it back, or train anew with another --out",
            run.latest().display()
        )));
    }
    let (state, progress) = if arguments.resume && run.latest().exists() {
        checkpoint::load_state(&run.latest(), config, model, specs)?
    } else {
        begin(&mut *model)?;
        (TrainState::new(model, specs), Progress::default())
    };
    log::truncate_after(&run.log(), progress.step)?;
    Ok((state, progress))
}

/// A new run of this configuration must not take another's place.
fn check_place(config: &Config, run: &RunDir) -> Result<()> {
    let folder = run.path().display();
    if run.config().exists() {
        let existing = run.load_config()?;
        let difference = difference(config, &existing);
        return Err(usage(if difference.is_empty() {
            format!(
                "--out {folder}: this run exists; continue it with --resume, or choose another --out"
            )
        } else {
            format!(
                "--out {folder}: another run is kept there, with {} (asked for, other: there). Choose another --out, continue that one with --resume (longer: --resume --steps N), or delete the folder",
                difference.join(", ")
            )
        }));
    }
    check_vacant(run)?;
    check_output(&run.config())
}

/// A new run would mix with what is left of another.
pub fn check_vacant(run: &RunDir) -> Result<()> {
    let Some(found) = run.occupied_by() else {
        return Ok(());
    };
    Err(usage(format!(
        "--out {}: {} is there, of another run; choose another --out, or delete it",
        run.path().display(),
        found.display()
    )))
}

/// What is said where more steps stretch a decay, so that the learning rate is another than without them.
fn rate_warning(before: &TrainConfig, now: &TrainConfig, step: u64) -> Option<String> {
    let unchanged = TrainConfig {
        steps: before.steps,
        ..now.clone()
    };
    let rate = learning_rate(now, step);
    if rate == learning_rate(&unchanged, step) {
        return None;
    }
    let last = learning_rate(before, step.saturating_sub(1));
    Some(format!(
        "the learning rate was {last:.1e} and goes on at {rate:.1e}: its decay, which ended at step {}, is stretched to the new train.steps, {}. To stay at the rate that it had: --set train.lr_decay=none --set train.lr={last:.3e}",
        before.steps, now.steps
    ))
}

/// The configuration to go on with, and how the run was trained so far.
fn resumed(arguments: &TrainArgs, run: &RunDir) -> Result<(Config, TrainConfig)> {
    let existing = run.load_config()?;
    let configuration = &arguments.configuration;
    if configuration.config.is_some() || configuration.preset.is_some() {
        let difference = difference(&requested(arguments)?, &existing);
        let difference: Vec<_> = difference
            .into_iter()
            .filter(|field| !field.starts_with("train.steps"))
            .collect();
        if !difference.is_empty() {
            return Err(usage(format!(
                "--resume: the run in {} has {} (asked for, other: there). Leave out --preset and --config to continue it as it is",
                run.path().display(),
                difference.join(", ")
            )));
        }
    }
    let config = with_options(arguments, existing.clone())?;
    let fixed: Vec<_> = existing
        .difference(&config)
        .into_iter()
        .filter(|field| FIXED.iter().any(|fixed| field.starts_with(fixed)))
        .collect();
    if !fixed.is_empty() {
        return Err(usage(format!(
            "--resume: {} cannot change in the middle of a run; train anew with another --out",
            fixed.join(", ")
        )));
    }
    let images = |config: &Config| config.train.n_batch * config.train.accumulate;
    if images(&config) != images(&existing) {
        return Err(usage(format!(
            "--resume: train.n_batch x train.accumulate: expected {} images an update, as the run has, found {}; how they are cut may change",
            images(&existing),
            images(&config),
        )));
    }
    Ok((config, existing.train))
}

/// The configuration comes first: a folder that holds anything of a run is known for one.
fn prepare_folder(run: &RunDir, config: &Config, images: &ImageList) -> Result<()> {
    let text = config.to_toml();
    write_atomically(&run.config(), |writer| writer.write_all(text.as_bytes()))
        .with_context(|| format!("{}: cannot save the configuration", run.config().display()))?;
    let text = images.to_text();
    write_atomically(&run.images(), |writer| writer.write_all(text.as_bytes()))
        .with_context(|| format!("{}: cannot save the list of images", run.images().display()))?;
    make_folder(&run.checkpoints())?;
    make_folder(&run.samples())?;
    run.remove_leftovers();
    Ok(())
}

/// Evenly spaced validation images for the sample picture.
fn shown_images(valid: &dyn Dataset) -> Result<Batch> {
    let count = valid.len().min(PICTURE_COLUMNS);
    Ok(Batch::read(valid, &evenly(valid.len(), count))?)
}

/// Originals, reconstructions from several depths with the rest at t = 0.1, samples at four
/// temperatures; of a model without latents samples alone.
fn sample_picture(model: &TrainedModel, shown: &Batch) -> Result<Grid> {
    let depth = model.plan.latents().map_or(0, |layers| layers.len());
    let options = ReconstructOptions {
        layers: depth,
        mean_latents: false,
        temperatures: &[0.1],
        seed: 0,
        batch: model.config.train.n_batch,
    };
    let grid = if depth > 0 {
        depths_picture(model, shown, &several_depths(depth), &options)?
    } else {
        let ImageShape { size, channels } = model.plan.image();
        Grid::new(size, channels)
    };
    let items: Vec<u64> = (0..shown.len() as u64).collect();
    if depth == 0 {
        return Ok(grid.row("samples", &model.model.sample(0, &items, &[1.0])));
    }
    let temperatures = [1.0, 0.9, 0.8, 0.7].into_iter();
    Ok(temperatures.fold(grid, |grid, temperature| {
        let images = model.model.sample(0, &items, &[temperature]);
        grid.row(format!("samples, t = {temperature:.1}"), &images)
    }))
}

#[cfg(test)]
mod tests;
