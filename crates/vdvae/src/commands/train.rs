//! `vdvae train`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use serde::Serialize;
use vdvae_data::{Batch, Dataset, OpenOptions, Source, Split, pixel_statistics};

use super::reconstruct::{picture, several_depths};
use super::{
    architecture, build, image_shape, make_folder, print_json, reading_threads, tell_skipped,
};
use crate::checkpoint::{self, Progress};
use crate::cli::{Configuration, TrainArgs};
use crate::config::{Config, TrainConfig};
use crate::console::tell;
use crate::device;
use crate::error::usage;
use crate::files::write_atomically;
use crate::memory::{available_memory, training_memory};
use crate::models::vdvae::Vdvae;
use crate::ops::Compute;
use crate::reconstruct::ReconstructOptions;
use crate::report::{Grid, log};
use crate::run_dir::{RunDir, TrainedModel, preprocess};
use crate::sample::sample;
use crate::train::{Outcome, TrainState, Training};

/// The preset where none is named.
pub(super) const DEFAULT_PRESET: &str = "photos32";
/// Images in a row of the sample picture.
const PICTURE_COLUMNS: usize = 8;
/// Exit code after Ctrl-C, as shells have it.
pub(super) const INTERRUPTED: u8 = 130;
/// What a run cannot change: the model, what it reads, and which images are held out.
const FIXED: [&str; 4] = ["model.", "data.shift", "data.scale", "train.seed"];

#[derive(Serialize)]
struct Report<'a> {
    run: &'a Path,
    step: u64,
    finished: bool,
    best_valid_bits_per_dim: Option<f64>,
    seconds: f64,
}

pub fn run(arguments: TrainArgs) -> Result<ExitCode> {
    let run = RunDir::new(out(&arguments));
    let outcome = train(&arguments, &run, stop_on_ctrl_c)?;
    report(&arguments, &run, &outcome)
}

/// Trains the run that the arguments describe, or goes on with it. `stop` is asked, once all is ready,
/// for what is set from outside to end it early.
pub(super) fn train(
    arguments: &TrainArgs,
    run: &RunDir,
    stop: impl FnOnce() -> Result<Arc<AtomicBool>>,
) -> Result<Outcome> {
    let device = device::parse(&arguments.machine.device)?;
    let mut config = if arguments.resume {
        resumed(arguments, run)?
    } else {
        fresh(arguments, run)?
    };
    let architecture = architecture(&config)?;
    let parameters = architecture.parameters();
    warn_about_memory(
        training_memory(
            &architecture,
            config.train.n_batch,
            arguments.checkpoint_activations,
        ),
        &config.train,
    );
    let (train, valid) = open(arguments, &mut config)?;
    make_folder(run.path())?;
    let preprocess = preprocess(&config)?;
    let device = device.autodiff();
    let model = build(&config, config.train.seed, &device)?.computing(Compute {
        dtype: config.train.dtype,
        checkpoint_activations: arguments.checkpoint_activations,
        keep_laid_out: false,
    });
    let (state, progress) = state(arguments, run, &config, model)?;
    if progress.step > config.train.steps {
        return Err(usage(format!(
            "--resume: the run in {} has made {} steps already; expected --steps of at least that, found {}",
            run.path().display(),
            progress.step,
            config.train.steps,
        )));
    }
    prepare_folder(run, &config)?;
    let (folder, images, held_out) = (run.path().display(), train.len(), valid.len());
    let (step, steps) = (progress.step, config.train.steps);
    tell(format_args!(
        "{folder}: {parameters} parameters, {images} training and {held_out} validation images, step {step} of {steps}"
    ));
    let shown = shown_images(&*valid)?;
    let training = Training {
        config: config.clone(),
        run: run.clone(),
        state,
        progress,
        train,
        valid,
        preprocess,
        device: device.clone(),
        threads: reading_threads(),
        stop: stop()?,
    };
    training.run(|average: &Vdvae, path| {
        let model = TrainedModel {
            model: average.clone(),
            config: config.clone(),
            preprocess,
            step: 0,
            device: device.clone().inner(),
        };
        sample_picture(&model, &shown)
            .save_png(&path)
            .map_err(Into::into)
    })
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

/// Where training continues: at the latest checkpoint, or at the start where there is none yet.
fn state(
    arguments: &TrainArgs,
    run: &RunDir,
    config: &Config,
    model: Vdvae,
) -> Result<(TrainState<Vdvae>, Progress)> {
    if arguments.resume && run.best().exists() && !run.latest().exists() {
        return Err(usage(format!(
            "--resume: {} is missing, where the run stood; put it back, or train anew with another --out",
            run.latest().display()
        )));
    }
    let (state, progress) = if arguments.resume && run.latest().exists() {
        checkpoint::load_state(&run.latest(), config, model)?
    } else {
        (TrainState::new(model), Progress::default())
    };
    log::truncate_after(&run.log(), progress.step)?;
    Ok((state, progress))
}

fn report(arguments: &TrainArgs, run: &RunDir, outcome: &Outcome) -> Result<ExitCode> {
    if arguments.json {
        print_json(&Report {
            run: run.path(),
            step: outcome.step,
            finished: outcome.finished,
            best_valid_bits_per_dim: outcome.best_bits_per_dim,
            seconds: outcome.seconds,
        })?;
    }
    let folder = run.path().display();
    let best = outcome.best_bits_per_dim.map_or(String::new(), |best| {
        format!(", best validation {best:.3} bits/dim")
    });
    let step = outcome.step;
    if outcome.finished {
        tell(format_args!(
            "{step} steps in {:.0} s{best}",
            outcome.seconds
        ));
        tell(format_args!(
            "  vdvae eval {folder}          bits/dim on the test split"
        ));
        tell(format_args!("  vdvae sample {folder}        new images"));
        tell(format_args!("  {}    the losses", run.curve().display()));
        Ok(ExitCode::SUCCESS)
    } else {
        tell(format_args!(
            "stopped and saved at step {step}{best}; continue with: vdvae train --resume --out {folder}"
        ));
        Ok(ExitCode::from(INTERRUPTED))
    }
}

/// The run's folder: --out, or runs/ and the name of what is trained.
fn out(arguments: &TrainArgs) -> PathBuf {
    let configuration = &arguments.configuration;
    arguments.out.clone().unwrap_or_else(|| {
        let stem = configuration
            .config
            .as_deref()
            .and_then(Path::file_stem)
            .map(PathBuf::from);
        let preset = configuration.preset.as_deref().unwrap_or(DEFAULT_PRESET);
        Path::new("runs").join(stem.unwrap_or_else(|| preset.into()))
    })
}

/// The configuration that the arguments describe.
pub(super) fn described(configuration: &Configuration) -> Result<Config> {
    match (&configuration.config, &configuration.preset) {
        (Some(path), _) => Ok(Config::from_file(path)?),
        (None, preset) => Ok(Config::preset(preset.as_deref().unwrap_or(DEFAULT_PRESET))?),
    }
}

/// Applies --set and the shorter ways of saying the same.
fn overridden(arguments: &TrainArgs, mut config: Config) -> Result<Config> {
    config.apply_overrides(&arguments.configuration.set)?;
    if let Some(source) = &arguments.data {
        let source = source.to_string();
        if config.data.source != source {
            // Another data set has other statistics, unless they were asked for.
            let asked = |key: &str| {
                arguments
                    .configuration
                    .set
                    .iter()
                    .any(|set| set.trim_start().starts_with(key))
            };
            if !asked("data.shift") && !asked("data.scale") && !arguments.resume {
                (config.data.shift, config.data.scale) = (None, None);
            }
            config.data.source = source;
        }
    }
    config.train.steps = arguments.steps.unwrap_or(config.train.steps);
    config.train.n_batch = arguments.batch.unwrap_or(config.train.n_batch);
    config.train.seed = arguments.seed.unwrap_or(config.train.seed);
    config.train.dtype = arguments.machine.dtype.unwrap_or(config.train.dtype);
    config.validate()?;
    Ok(config)
}

fn fresh(arguments: &TrainArgs, run: &RunDir) -> Result<Config> {
    let config = asked(arguments)?;
    let folder = run.path().display();
    if run.config().exists() {
        let existing = run.load_config()?;
        let difference = asked_difference(&config, &existing);
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
    if !run.is_vacant() {
        return Err(usage(format!(
            "--out {folder}: this folder is not empty and holds no run (no config.toml); choose another --out"
        )));
    }
    Ok(config)
}

fn resumed(arguments: &TrainArgs, run: &RunDir) -> Result<Config> {
    let existing = run.load_config()?;
    let configuration = &arguments.configuration;
    if configuration.config.is_some() || configuration.preset.is_some() {
        let difference = asked_difference(&asked(arguments)?, &existing);
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
    let config = overridden(arguments, existing.clone())?;
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
    Ok(config)
}

/// The configuration that a new run of these arguments would have.
pub(super) fn asked(arguments: &TrainArgs) -> Result<Config> {
    overridden(arguments, described(&arguments.configuration)?)
}

/// Where `asked` differs from what a run holds, the normalisation that was computed for it aside.
pub(super) fn asked_difference(asked: &Config, existing: &Config) -> Vec<String> {
    let mut asked = asked.clone();
    if asked.data.shift.is_none() {
        (asked.data.shift, asked.data.scale) = (existing.data.shift, existing.data.scale);
    }
    asked.difference(existing)
}

/// Opens training and validation images; computes the normalisation where none is given.
fn open(
    arguments: &TrainArgs,
    config: &mut Config,
) -> Result<(Arc<dyn Dataset>, Arc<dyn Dataset>)> {
    let source: Source = config.data.source.parse().context("data.source")?;
    let plain = OpenOptions {
        seed: config.train.seed,
        skip_bad_images: arguments.skip_bad_images,
        ..OpenOptions::new(image_shape(config))
    };
    let augmented = OpenOptions {
        augment: true,
        flip: config.data.flip,
        ..plain
    };
    let open = |split, options| {
        let opened = vdvae_data::open(&source, split, options);
        match arguments.data {
            Some(_) => opened.map_err(Into::into),
            None => opened.context("the configuration's images (--data SOURCE gives others)"),
        }
    };
    let train = open(Split::Train, &augmented)?;
    let valid = open(Split::Valid, &plain)?;
    tell_skipped(&*train);
    tell_skipped(&*valid);
    if config.data.shift.is_none() {
        let statistics = pixel_statistics(&*open(Split::Train, &plain)?)?;
        config.data.shift = Some(statistics.shift());
        config.data.scale = Some(statistics.scale());
    }
    Ok((train, valid))
}

/// The configuration comes first: a folder that holds anything of a run is known for one.
fn prepare_folder(run: &RunDir, config: &Config) -> Result<()> {
    let text = config.to_toml();
    write_atomically(&run.config(), |writer| writer.write_all(text.as_bytes()))
        .with_context(|| format!("{}: cannot save the configuration", run.config().display()))?;
    make_folder(&run.checkpoints())?;
    make_folder(&run.samples())?;
    run.remove_leftovers();
    Ok(())
}

pub(super) fn stop_on_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        tell("saving after this step; once more to stop at once");
    })
    .context("cannot watch for Ctrl-C")?;
    Ok(stop)
}

/// Evenly spaced validation images for the sample picture.
fn shown_images(valid: &dyn Dataset) -> Result<Batch> {
    let count = valid.len().min(PICTURE_COLUMNS);
    let indices: Vec<usize> = (0..count).map(|i| i * valid.len() / count).collect();
    Ok(Batch::read(valid, &indices)?)
}

/// Originals, reconstructions from several depths with the rest at t = 0.1, samples at four
/// temperatures.
fn sample_picture(model: &TrainedModel, shown: &Batch) -> Grid {
    let depth = model.model.decoder().depth();
    let options = ReconstructOptions {
        layers: depth,
        mean_latents: false,
        temperatures: &[0.1],
        seed: 0,
        batch: model.config.train.n_batch,
    };
    let grid = picture(model, shown, &several_depths(depth), &options);
    [1.0, 0.9, 0.8, 0.7]
        .into_iter()
        .fold(grid, |grid, temperature| {
            let images = sample(model, 0, 0, shown.len(), &[temperature]);
            grid.row(format!("samples, t = {temperature:.1}"), &images)
        })
}
