//! `vdvae verify`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Serialize;

use super::print_json;
use super::request::config_of;
use crate::cli::VerifyArgs;
use crate::console::results;
use crate::device;
use crate::error::usage;
use crate::models::verify::{Compared, Measure, Recording, Setting};
use crate::ops::Dtype;

#[derive(Serialize)]
struct Report {
    family: &'static str,
    device: String,
    met: bool,
    quantities: Vec<Compared>,
}

pub fn run(arguments: &VerifyArgs) -> Result<ExitCode> {
    let device = device::parse(&arguments.machine.device)?;
    if arguments
        .machine
        .dtype
        .is_some_and(|dtype| dtype != Dtype::Fp32)
    {
        return Err(usage(
            "--dtype: numbers are compared in fp32, found bf16. Leave --dtype out",
        ));
    }
    let configuration = &arguments.configuration;
    if configuration.config.is_none() && configuration.preset.is_none() {
        return Err(usage(
            "expected --config FILE or --preset NAME, the model that the numbers are of",
        ));
    }
    let mut config = config_of(configuration)?;
    config.apply_overrides(&configuration.set)?;
    let plan = config.plan()?;
    let normalisation = config.data.normalisation();
    if plan.is_normalised() && normalisation.is_none() {
        return Err(usage(
            "data.shift, data.scale: expected numbers, found none; give those that the recorded images were normalised with",
        ));
    }
    let place = || arguments.recording.display().to_string();
    let bytes = std::fs::read(&arguments.recording)
        .with_context(|| format!("{}: cannot read this file", place()))?;
    let recording = Recording::new(&bytes).with_context(place)?;
    let setting = Setting {
        normalisation,
        recipe: &|step| config.train.recipe(step),
        device,
    };
    let quantities = plan.verify(&recording, &setting).with_context(place)?;
    let report = Report {
        family: config.model.family().name(),
        device: arguments.machine.device.clone(),
        met: quantities.iter().all(Compared::is_met),
        quantities,
    };
    if arguments.json {
        print_json(&report)?;
    } else {
        print_report(&report)?;
    }
    Ok(if report.met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print_report(report: &Report) -> Result<()> {
    let mut out = results();
    writeln!(
        out,
        "{:<32} {:>7}  {:>8}  {:>9}  {:<8}  worst",
        "quantity", "tensors", "error", "tolerance", "measure"
    )?;
    for compared in &report.quantities {
        writeln!(
            out,
            "{:<32} {:>7}  {:>8.1e}  {:>9.0e}  {:<8}  {}{}",
            compared.quantity,
            compared.tensors,
            compared.error,
            compared.tolerance,
            match compared.measure {
                Measure::Absolute => "absolute",
                Measure::Scaled => "scaled",
                Measure::Relative => "relative",
            },
            compared.worst,
            if compared.is_met() { "" } else { "  EXCEEDED" },
        )?;
    }
    let exceeded = report
        .quantities
        .iter()
        .filter(|compared| !compared.is_met());
    match exceeded.count() {
        0 => writeln!(out, "\nall {} quantities agree", report.quantities.len())?,
        count => writeln!(
            out,
            "\n{count} of {} quantities are off",
            report.quantities.len()
        )?,
    }
    Ok(())
}
