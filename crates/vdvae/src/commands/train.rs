//! `vdvae train`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use vdvae_data::counted;

use super::print_json;
use super::request::DEFAULT_PRESET;
use super::session::train;
use crate::cli::TrainArgs;
use crate::console::tell;
use crate::error::usage;
use crate::run_dir::RunDir;
use crate::signals::{INTERRUPTED, stop_at_first};
use crate::train::Outcome;

#[derive(Serialize)]
struct Report<'a> {
    run: &'a Path,
    step: u64,
    finished: bool,
    best_valid_bits_per_dim: Option<f64>,
    seconds: f64,
}

pub fn run(arguments: TrainArgs) -> Result<ExitCode> {
    let run = RunDir::new(out(&arguments)?);
    let outcome = train(&arguments, &run, stop_at_first)?;
    report(&arguments, &run, &outcome)
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
            "{} in {:.0} s{best}",
            counted(step, "steps"),
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
fn out(arguments: &TrainArgs) -> Result<PathBuf> {
    if let Some(out) = &arguments.out {
        return Ok(out.clone());
    }
    let configuration = &arguments.configuration;
    let preset = configuration.preset.as_deref();
    let name = match configuration.config.as_deref().and_then(Path::file_stem) {
        Some(stem) => PathBuf::from(stem),
        None if preset.is_none() && arguments.init.is_some() => {
            return Err(usage("--init: expected --out DIR, the new run's folder"));
        }
        None => preset.unwrap_or(DEFAULT_PRESET).into(),
    };
    Ok(Path::new("runs").join(name))
}
