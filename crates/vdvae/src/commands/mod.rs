//! One file per command: from arguments to results.

mod bench;
mod completions;
mod compress;
mod data;
mod decode;
mod decompress;
mod encode;
mod eval;
mod exact;
mod export;
mod features;
mod images;
mod import;
mod info;
mod init;
mod inputs;
mod interpolate;
mod pictures;
mod reconstruct;
mod report;
mod request;
mod run_images;
mod sample;
mod session;
mod sweep;
mod train;
mod verify;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Serialize;
use vdvae_data::ImageShape;

use crate::cli::{Command, Trained};
use crate::config::{Config, MAX_BATCH};
use crate::console::results;
use crate::device;
use crate::error::usage;
use crate::files::check_writable;
use crate::models::{Cannot, Plan};
use crate::ops::Compute;
use crate::run_dir::RunDir;
use crate::signals;
use crate::trained::TrainedModel;

/// More than any machine has a use for.
const MOST_THREADS: usize = 1024;

/// Runs a command; the exit code of one that ended well.
///
/// # Errors
/// With a message for a person; [`crate::error::exit_code`] tells its exit code.
pub fn run(command: Command) -> Result<ExitCode> {
    if let Some(machine) = command.machine() {
        check_threads(machine.threads)?;
        device::set_threads(machine.threads)?;
    }
    signals::watch().context("cannot watch for Ctrl-C")?;
    // From inside the pool: a caller outside would hand over every operation and wait for it.
    rayon::scope(|_| dispatch(command))
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Train(arguments) => return train::run(arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Sample(arguments) => sample::run(&arguments),
        Command::Reconstruct(arguments) => reconstruct::run(&arguments),
        Command::Encode(arguments) => encode::run(&arguments),
        Command::Decode(arguments) => decode::run(&arguments),
        Command::Interpolate(arguments) => interpolate::run(&arguments),
        Command::Features(arguments) => features::run(&arguments),
        Command::Sweep(arguments) => return sweep::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Compress(arguments) => compress::run(&arguments),
        Command::Decompress(arguments) => decompress::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Verify(arguments) => return verify::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn check_threads(threads: usize) -> Result<()> {
    if threads > MOST_THREADS {
        return Err(usage(format!(
            "--threads: expected at most {MOST_THREADS}, found {threads}"
        )));
    }
    Ok(())
}

/// Loads a run's model, if it can do what is wanted of it.
fn load(
    trained: &Trained,
    wanted: impl FnOnce(&dyn Plan) -> Result<(), Cannot>,
) -> Result<(RunDir, TrainedModel)> {
    let device = device::parse(&trained.machine.device)?;
    let run = RunDir::new(&trained.run);
    let plan = run.load_config()?.plan()?;
    wanted(&*plan)?;
    plan.computes(&Compute {
        dtype: trained.machine.dtype.unwrap_or_default(),
        ..Compute::default()
    })?;
    let model = TrainedModel::load(&run, trained.checkpoint.as_deref(), device)?;
    Ok((
        run,
        model.rounding_to(trained.machine.dtype.unwrap_or_default()),
    ))
}

/// Threads that read images ahead of their use.
fn reading_threads() -> usize {
    rayon::current_num_threads().clamp(1, 8)
}

/// For [`load`]: what any model can do.
fn anything(_: &dyn Plan) -> Result<(), Cannot> {
    Ok(())
}

/// For [`load`]: latents.
fn latents(plan: &dyn Plan) -> Result<(), Cannot> {
    plan.latents().map(drop)
}

/// What a model wants images to be.
fn image_shape(plan: &dyn Plan) -> ImageShape {
    let shape = plan.image();
    ImageShape {
        size: shape.size,
        channels: shape.channels,
    }
}

/// One temperature, or one per layer of latents, all above 0; without latents 1 and no other.
fn check_temperatures(temperatures: &[f32], plan: &dyn Plan) -> Result<()> {
    let depth = match plan.latents() {
        Ok(layers) => layers.len(),
        Err(_) if temperatures == [1.0] => return Ok(()),
        Err(cannot) => return Err(usage(format!("--temperature: {cannot}"))),
    };
    for &temperature in temperatures {
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(usage(format!(
                "--temperature: expected numbers above 0 (1 is the model itself, lower is more typical), found {temperature}"
            )));
        }
    }
    if temperatures.len() > depth {
        return Err(usage(format!(
            "--temperature: expected at most {depth} numbers, one per layer, found {}",
            temperatures.len()
        )));
    }
    Ok(())
}

/// At least one image at once.
fn batch_size(given: Option<usize>, config: &Config) -> Result<usize> {
    match given {
        Some(batch) if !(1..=MAX_BATCH).contains(&batch) => Err(usage(format!(
            "--batch: expected at least 1 and at most {MAX_BATCH}, found {batch}"
        ))),
        Some(batch) => Ok(batch),
        None => Ok(config.train.n_batch),
    }
}

/// One line of JSON on standard output.
fn print_json(result: &impl Serialize) -> Result<()> {
    writeln!(results(), "{}", serde_json::to_string(result)?)?;
    Ok(())
}

/// A picture's file must end as what it is.
fn check_extension(path: &Path, extension: &str) -> Result<()> {
    if path.extension().is_some_and(|found| found == extension) {
        return Ok(());
    }
    Err(usage(format!(
        "{}: expected the name of a .{extension} file",
        path.display()
    )))
}

/// Notices before the work that a file cannot be written, or would take the place of a run's checkpoint.
fn check_output(path: &Path) -> Result<()> {
    let folder = path
        .parent()
        .filter(|folder| folder.ends_with("checkpoints"));
    let is_a_runs = |run: &Path| RunDir::new(run).config().exists();
    if folder.and_then(Path::parent).is_some_and(is_a_runs) {
        return Err(usage(format!(
            "{}: this folder is for the checkpoints of the run; choose another place with --out",
            path.display()
        )));
    }
    check_writable(path).with_context(|| {
        format!(
            "{}: cannot be written; choose another place with --out",
            path.display()
        )
    })
}

/// [`check_output`], and that it is none of what is read: files, pictures in folders, data sets.
fn check_output_of<'a>(path: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    check_output(path)?;
    let Ok(output) = path.canonicalize() else {
        return Ok(());
    };
    let is_picture = image::ImageFormat::from_path(path).is_ok();
    let is_read = |input: PathBuf| output == input || is_picture && output.starts_with(input);
    let mut inputs = inputs.into_iter().flat_map(Path::canonicalize);
    if inputs.any(is_read) {
        return Err(usage(format!(
            "--out {}: this file is read; choose another place with --out",
            path.display()
        )));
    }
    Ok(())
}

/// Makes the folder that `path` is to be written into.
fn make_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => make_folder(parent),
        _ => Ok(()),
    }
}

fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| {
        format!(
            "{}: cannot make this folder; choose another place with --out",
            path.display()
        )
    })
}

/// A bar for work whose amount is known, on standard error; nothing where that is no terminal.
fn progress_bar(count: u64, unit: &str) -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new(count);
    let template = format!("{{bar:30}} {{pos}}/{{len}} {unit}  {{per_sec}}  {{eta}} left");
    if let Ok(style) = indicatif::ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}
