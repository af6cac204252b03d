//! `vdvae bench`.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;
use vdvae_kernels::{detect, peak};

use super::request::{DEFAULT_PRESET, config_of};
use super::{batch_size, print_json};
use crate::bench::profile::{Limits, Row, rows};
use crate::bench::{Bench, Task};
use crate::cli::BenchArgs;
use crate::console::results;
use crate::device;
use crate::error::usage;
use crate::memory::peak_memory;
use crate::ops::profile;
use crate::ops::{Compute, Dtype};

#[derive(Serialize)]
struct Report {
    what: Task,
    /// With `what` sample: whether the pixels were drawn too.
    pixels: bool,
    /// Or the configuration's file.
    preset: String,
    batch: usize,
    dtype: Dtype,
    checkpoint_activations: bool,
    device: String,
    /// The instruction set of the CPU kernels.
    kernels: &'static str,
    threads: usize,
    steps: u64,
    warmup: u64,
    min_s: f64,
    median_s: f64,
    max_s: f64,
    /// From here on, rates are those of the median step.
    images_per_s: f64,
    /// Useful operations of a step: those of direct convolutions.
    gflop: f64,
    gflops: f64,
    /// Multiply-adds in `dtype` of all threads, the better of before and after.
    peak_gflops: f64,
    /// `gflops` / `peak_gflops`.
    share_of_peak: f64,
    /// Bytes read and written per second by all threads that copy.
    copy_gb_s: f64,
    /// The most memory that the process held until the last step; none where the system does not tell.
    peak_rss_mb: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Vec<Row>>,
}

pub fn run(arguments: &BenchArgs) -> Result<()> {
    let device = device::parse(&arguments.machine.device)?;
    if arguments.pixels && arguments.what != Task::Sample {
        return Err(usage(
            "--pixels: expected with --what sample only, which draws them",
        ));
    }
    let mut config = config_of(&arguments.configuration)?;
    config.apply_overrides(&arguments.configuration.set)?;
    let plan = config.plan()?;
    let bench = Bench {
        task: arguments.what,
        plan: &*plan,
        config: &config,
        batch: batch_size(arguments.batch, &config)?,
        pixels: arguments.pixels,
        compute: Compute {
            dtype: arguments.machine.dtype.unwrap_or(config.train.dtype),
            checkpoint_activations: arguments.checkpoint_activations,
            keep_laid_out: arguments.what != Task::Train,
        },
        device: &device,
    };
    plan.computes(&bench.compute)?;
    let gflop = arguments.what.operations(&plan.operations()) * bench.batch as f64 * 1e-9;
    let report = measure(arguments, &bench, gflop)?;
    if arguments.json {
        return print_json(&report);
    }
    print_report(&report)
}

fn measure(arguments: &BenchArgs, bench: &Bench, gflop: f64) -> Result<Report> {
    let (warmup, steps) = (arguments.warmup, arguments.steps);
    let precision = bench.compute.dtype.into();
    let before = peak::multiply_add_gflops(precision);
    let mut seconds = bench.run(warmup, steps, || {
        if arguments.profile {
            profile::start();
        }
    })?;
    let totals = arguments.profile.then(profile::stop);
    // What the measurement of the memory takes itself is none of the model's.
    let peak_rss_mb = peak_memory().map(|bytes| bytes as f64 / f64::from(1 << 20));
    let limits = Limits {
        gflops: before.max(peak::multiply_add_gflops(precision)),
        gigabytes: peak::copy_gigabytes_per_second(),
    };
    let total = seconds.iter().sum();
    seconds.sort_by(f64::total_cmp);
    let median_s = median(&seconds);
    Ok(Report {
        what: bench.task,
        pixels: bench.pixels,
        preset: subject(arguments),
        batch: bench.batch,
        dtype: bench.compute.dtype,
        checkpoint_activations: bench.compute.checkpoint_activations,
        device: arguments.machine.device.clone(),
        kernels: detect::name(),
        threads: rayon::current_num_threads(),
        steps,
        warmup,
        min_s: seconds[0],
        median_s,
        max_s: seconds[seconds.len() - 1],
        images_per_s: bench.batch as f64 / median_s,
        gflop,
        gflops: gflop / median_s,
        peak_gflops: limits.gflops,
        share_of_peak: gflop / median_s / limits.gflops,
        copy_gb_s: limits.gigabytes,
        peak_rss_mb,
        profile: totals.map(|totals| rows(&totals, total, steps, limits)),
    })
}

/// The name of what is measured.
fn subject(arguments: &BenchArgs) -> String {
    let configuration = &arguments.configuration;
    match (&configuration.config, &configuration.preset) {
        (Some(path), _) => path.display().to_string(),
        (None, preset) => preset.as_deref().unwrap_or(DEFAULT_PRESET).to_owned(),
    }
}

/// Of sorted numbers, at least one.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    } else {
        sorted[middle]
    }
}

fn print_report(report: &Report) -> Result<()> {
    let mut out = results();
    let what = match (report.what, report.pixels) {
        (Task::Train, _) => "training step",
        (Task::Eval, _) => "evaluation",
        (Task::Sample, false) => "sampling, up to the parameters of the pixels",
        (Task::Sample, true) => "sampling, with the pixels drawn",
    };
    let Report {
        preset,
        batch,
        dtype,
        device,
        kernels,
        threads,
        steps,
        warmup,
        ..
    } = report;
    writeln!(out, "{what}: {preset}, batch {batch}, {dtype}")?;
    writeln!(
        out,
        "{device}, {kernels}, threads: {threads}; {steps} steps after {warmup} for warming up\n"
    )?;
    writeln!(
        out,
        "seconds        {:.4}  (min {:.4}, max {:.4})",
        report.median_s, report.min_s, report.max_s
    )?;
    writeln!(out, "images/s       {:.2}", report.images_per_s)?;
    writeln!(
        out,
        "GFLOP/s        {:.1}  ({:.2} GFLOP a step, direct convolutions)",
        report.gflops, report.gflop
    )?;
    writeln!(
        out,
        "share of peak  {:.1} %  ({dtype} multiply-adds: {:.1} GFLOP/s)",
        100.0 * report.share_of_peak,
        report.peak_gflops
    )?;
    writeln!(out, "memory copy    {:.1} GB/s", report.copy_gb_s)?;
    if let Some(megabytes) = report.peak_rss_mb {
        writeln!(
            out,
            "peak memory    {megabytes:.0} MiB  (of the process, up to the last step)"
        )?;
    }
    match &report.profile {
        Some(rows) => print_profile(rows),
        None => Ok(()),
    }
}

fn print_profile(rows: &[Row]) -> Result<()> {
    let mut out = results();
    writeln!(
        out,
        "\n{:<28} {:>7} {:>10} {:>7} {:>9} {:>7} {:>9}",
        "operation", "calls", "ms a step", "share", "GFLOP/s", "GB/s", "of limit"
    )?;
    let rate = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.1}"));
    for row in rows {
        let limit = row.share_of_limit.map(|share| 100.0 * share);
        writeln!(
            out,
            "{:<28} {:>7} {:>10.3} {:>5.1} % {:>9} {:>7} {:>9}",
            row.operation,
            row.calls.map_or(String::new(), |calls| format!("{calls}")),
            1e3 * row.seconds,
            100.0 * row.share,
            rate(row.gflops),
            rate(row.gb_s),
            limit.map_or(String::new(), |limit| format!("{limit:.0} %")),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[1.0, 2.0]), 1.5);
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
    }
}
