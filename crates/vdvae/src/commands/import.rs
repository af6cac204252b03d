//! `vdvae import`.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::request::check_normalised;
use super::session::check_vacant;
use super::{check_output, make_folder, print_json};
use crate::checkpoint::published::{Files, Imported, config_in, import};
use crate::cli::ImportArgs;
use crate::config::Config;
use crate::console::tell;
use crate::error::usage;
use crate::files::write_atomically;
use crate::folder_lock::FolderLock;
use crate::run_dir::RunDir;

#[derive(Serialize)]
struct Report<'a> {
    run: &'a Path,
    parameters: u64,
    step: u64,
    updates: u64,
    notes: &'a [String],
}

pub fn run(arguments: &ImportArgs) -> Result<()> {
    let config = config(arguments)?;
    let plan = config.plan()?;
    let run = RunDir::new(&arguments.out);
    let folder = run.path().display();
    check_vacant(&run)?;
    check_output(&run.config())?;
    let files = Files {
        weights: arguments.weights.clone(),
        average: arguments.ema.clone(),
        optimizer: arguments.optimizer.clone(),
        log: arguments.log.clone(),
    };
    let imported = import(&files, &config)?;
    make_folder(run.path())?;
    let _lock = FolderLock::take(run.path(), &format!("--out {folder}"))?;
    check_vacant(&run)?;
    save(&imported, &run, &config)?;
    let notes = imported.notes();
    for note in &notes {
        tell(note);
    }
    let (parameters, progress) = (plan.parameters(), imported.progress());
    let (step, updates) = (progress.step, progress.updates);
    tell(format_args!(
        "{folder}: {parameters} parameters, step {step}"
    ));
    tell(format_args!("  vdvae sample {folder}"));
    tell(format_args!("  vdvae eval {folder} --data SOURCE"));
    tell(format_args!(
        "  vdvae train --resume --out {folder} --data SOURCE"
    ));
    if arguments.json {
        print_json(&Report {
            run: run.path(),
            parameters,
            step,
            updates,
            notes: &notes,
        })?;
    }
    Ok(())
}

/// The configuration, with the normalisation that the weights were trained with.
fn config(arguments: &ImportArgs) -> Result<Config> {
    let configuration = &arguments.configuration;
    let mut config = match (&configuration.config, &configuration.preset) {
        (Some(path), _) => Config::from_file(path)?,
        (None, Some(preset)) => Config::preset(preset)?,
        (None, None) => config_in(&arguments.weights)?.ok_or_else(|| {
            usage(
                "expected --preset NAME or --config FILE, the model that the weights are of; `vdvae info` lists the presets",
            )
        })?,
    };
    config.apply_overrides(&configuration.set)?;
    check_normalised(&config)?;
    Ok(config)
}

/// The configuration comes first: a folder that holds anything of a run is known for one.
fn save(imported: &Imported, run: &RunDir, config: &Config) -> Result<()> {
    make_folder(&run.checkpoints())?;
    make_folder(&run.samples())?;
    let text = config.to_toml();
    write_atomically(&run.config(), |writer| writer.write_all(text.as_bytes()))
        .with_context(|| format!("{}: cannot save the configuration", run.config().display()))?;
    imported.save(run, config)
}
