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
use crate::config::Config;
use crate::console::results;
use crate::device;
use crate::error::usage;
use crate::memory::peak_memory;
use crate::models::{Exactness, Plan};
use crate::ops::profile;
use crate::ops::{Compute, Dtype};

#[derive(Serialize)]
struct Report {
    what: Task,
    /// With `what` sample: whether the pixels were drawn too.
    pixels: bool,
    /// Or the configuration's file.
    preset: String,
    /// What bits per dimension of the model are.
    eval: Exactness,
    parameters: u64,
    /// Of the plain sampler.
    network_evaluations_per_sample: u64,
    /// Of samples pixel after pixel: whether what is known of earlier pixels was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    cached: Option<bool>,
    /// Whether one pixel was measured, and all times are of as many as an image has.
    extrapolated: bool,
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
    s_per_image: f64,
    /// Of samples pixel after pixel: what one pixel of all images of the batch takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    s_per_pixel_step: Option<f64>,
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
    if arguments.what != Task::Sample {
        for (name, is_given) in [
            ("--pixels", arguments.pixels),
            ("--no-cache", arguments.no_cache),
        ] {
            if is_given {
                return Err(usage(format!(
                    "{name}: expected with --what sample only, which draws them"
                )));
            }
        }
    }
    let presets = arguments.presets.iter();
    let named = presets.map(|name| Ok((name.clone(), Config::preset(name)?)));
    let mut subjects: Vec<(String, Config)> = named.collect::<Result<_>>()?;
    if subjects.is_empty() {
        subjects.push((subject(arguments), config_of(&arguments.configuration)?));
    }
    for (_, config) in &mut subjects {
        config.apply_overrides(&arguments.configuration.set)?;
    }
    let plans = subjects.iter().map(|(_, config)| config.plan());
    let plans = plans.collect::<Result<Vec<_>, _>>()?;
    if let Some(Err(cannot)) = plans
        .iter()
        .map(|plan| plan.ordered())
        .max_by_key(Result::is_ok)
        && arguments.no_cache
    {
        return Err(usage(format!("--no-cache: {cannot}")));
    }
    let subjects = subjects.iter().zip(&plans);
    let reports = subjects.map(|((name, config), plan)| report(arguments, name, config, &**plan));
    let reports: Vec<Report> = reports.collect::<Result<_>>()?;
    match (&reports[..], arguments.presets.is_empty(), arguments.json) {
        ([report], true, true) => print_json(report),
        ([report], true, false) => print_report(report),
        (reports, _, true) => print_json(&reports),
        (reports, _, false) => print_table(reports),
    }
}

fn report(arguments: &BenchArgs, name: &str, config: &Config, plan: &dyn Plan) -> Result<Report> {
    let device = device::parse(&arguments.machine.device)?;
    let is_in_order = arguments.what == Task::Sample && plan.ordered().is_ok();
    let is_compared = arguments.what == Task::Sample && !arguments.presets.is_empty();
    let bench = Bench {
        task: arguments.what,
        plan,
        config,
        batch: batch_size(arguments.batch, config)?,
        pixels: arguments.pixels || is_in_order || is_compared,
        plain: arguments.no_cache && is_in_order,
        compute: Compute {
            dtype: arguments.machine.dtype.unwrap_or(config.train.dtype),
            checkpoint_activations: arguments.checkpoint_activations,
            keep_laid_out: arguments.what != Task::Train,
        },
        device: &device,
    };
    plan.computes(&bench.compute)?;
    measure(arguments, &bench, name)
}

fn measure(arguments: &BenchArgs, bench: &Bench, name: &str) -> Result<Report> {
    let (plan, operations) = (bench.plan, bench.plan.operations());
    let each = match bench.plain {
        true => operations.evaluation * plan.passes_per_sample() as f64,
        false => bench.task.operations(&operations),
    };
    let gflop = each * bench.batch as f64 * 1e-9;
    let is_in_order = bench.task == Task::Sample && plan.ordered().is_ok();
    let pixels = plan.image().size.pow(2) as f64;
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
    // Nor is what other models took before it.
    let memory = peak_memory().filter(|_| arguments.presets.len() < 2);
    let peak_rss_mb = memory.map(|bytes| bytes as f64 / f64::from(1 << 20));
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
        preset: name.to_owned(),
        eval: plan.exactness(),
        parameters: plan.parameters(),
        network_evaluations_per_sample: plan.passes_per_sample(),
        cached: is_in_order.then_some(!bench.plain),
        extrapolated: bench.plain,
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
        s_per_image: median_s / bench.batch as f64,
        s_per_pixel_step: is_in_order.then_some(median_s / pixels),
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
    let what = match (report.what, report.cached, report.pixels) {
        (Task::Train, ..) => "training step",
        (Task::Eval, ..) => "evaluation",
        (Task::Sample, Some(true), _) => "sampling, pixel after pixel",
        (Task::Sample, Some(false), _) => "sampling, the whole network for each pixel",
        (Task::Sample, None, false) => "sampling, up to the parameters of the pixels",
        (Task::Sample, None, true) => "sampling, with the pixels drawn",
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
    if report.extrapolated {
        writeln!(out, "               extrapolated from one pixel")?;
    }
    writeln!(
        out,
        "images/s       {:.*}",
        decimals(report),
        report.images_per_s
    )?;
    if let Some(seconds) = report.s_per_pixel_step {
        writeln!(
            out,
            "ms/pixel       {:.3}  (of all images at once)",
            1e3 * seconds
        )?;
    }
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

/// Of images a second: more where these are few.
fn decimals(report: &Report) -> usize {
    if report.images_per_s < 1.0 { 5 } else { 2 }
}

/// Several models, a line each.
fn print_table(reports: &[Report]) -> Result<()> {
    let mut out = results();
    let Some(first) = reports.first() else {
        return Ok(());
    };
    let what = match first.what {
        Task::Train => "training steps",
        Task::Eval => "evaluation",
        Task::Sample => "sampling, with the pixels drawn",
    };
    writeln!(
        out,
        "{what}: {}, {}, threads: {}; {} steps after {} for warming up\n",
        first.device, first.kernels, first.threads, first.steps, first.warmup
    )?;
    writeln!(
        out,
        "{:<24} {:>6} {:>12} {:>11} {:>6} {:>10} {:>10} {:>10} {:>8}",
        "preset",
        "eval",
        "parameters",
        "evaluations",
        "batch",
        "s/image",
        "least",
        "most",
        "GFLOP/s"
    )?;
    for report in reports {
        let each = |seconds: f64| seconds / report.batch as f64;
        let note = match (report.extrapolated, report.cached) {
            (true, _) => "  plain, extrapolated from one pixel",
            (_, Some(true)) => "  keeping earlier pixels",
            _ => "",
        };
        let eval = match report.eval {
            Exactness::Exact => "exact",
            Exactness::Bound => "bound",
        };
        writeln!(
            out,
            "{:<24} {eval:>6} {:>12} {:>11} {:>6} {:>10.4} {:>10.4} {:>10.4} {:>8.1}{note}",
            report.preset,
            report.parameters,
            report.network_evaluations_per_sample,
            report.batch,
            report.s_per_image,
            each(report.min_s),
            each(report.max_s),
            report.gflops,
        )?;
    }
    writeln!(
        out,
        "\nevaluations: passes of the network for a sample, by the plain sampler"
    )?;
    Ok(())
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
