//! `vdvae info`.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::{architecture, print_json};
use crate::architecture::{Architecture, LatentShare, Operations};
use crate::cli::InfoArgs;
use crate::config::{Config, Preset, Upsample};
use crate::console::results;
use crate::error::usage;
use crate::memory::training_memory;
use crate::run_dir::RunDir;

#[derive(Serialize)]
struct Report {
    /// Exact number of weights and biases.
    parameters: u64,
    /// Number of stochastic layers.
    depth: usize,
    encoder_blocks: usize,
    /// Whether layers add to the top-down state.
    topdown_residual: bool,
    /// How lower resolutions enter higher ones.
    upsample: Upsample,
    image_size: usize,
    image_channels: usize,
    /// Latent variables at each resolution.
    latents: Vec<LatentShare>,
    /// Floating-point operations per image.
    operations_per_image: Operations,
    /// Estimated peak memory of training with `n_batch` images at once.
    training_memory_bytes: u64,
    /// The same with `--checkpoint-activations`.
    checkpointed_training_memory_bytes: u64,
    n_batch: usize,
}

pub fn run(arguments: &InfoArgs) -> Result<()> {
    let Some(subject) = &arguments.subject else {
        return list(arguments.json);
    };
    let mut config = find(subject)?;
    config.apply_overrides(&arguments.set)?;
    let architecture = architecture(&config)?;
    if arguments.toml {
        return Ok(write!(results(), "{}", config.to_toml())?);
    }
    let report = Report {
        parameters: architecture.parameters(),
        depth: architecture.stochastic_depth(),
        encoder_blocks: architecture.enc_blocks.len(),
        topdown_residual: architecture.topdown_residual,
        upsample: architecture.upsample,
        image_size: architecture.image_size,
        image_channels: architecture.image_channels,
        latents: architecture.latents(),
        operations_per_image: architecture.operations(),
        training_memory_bytes: training_memory(&architecture, config.train.n_batch, false),
        checkpointed_training_memory_bytes: training_memory(
            &architecture,
            config.train.n_batch,
            true,
        ),
        n_batch: config.train.n_batch,
    };
    if arguments.json {
        return print_json(&report);
    }
    print_report(&report)
}

/// A preset, in a list to choose from.
#[derive(Serialize)]
struct Choice {
    preset: &'static str,
    parameters: u64,
    depth: usize,
    description: &'static str,
}

impl Choice {
    fn new(preset: &Preset) -> Result<Self> {
        let architecture = Architecture::try_from(&preset.config().model)?;
        Ok(Self {
            preset: preset.name(),
            parameters: architecture.parameters(),
            depth: architecture.stochastic_depth(),
            description: preset.description(),
        })
    }
}

fn list(json: bool) -> Result<()> {
    let choices = Preset::ALL
        .iter()
        .map(Choice::new)
        .collect::<Result<Vec<_>>>()?;
    if json {
        return print_json(&choices);
    }
    let mut out = results();
    writeln!(
        out,
        "{:<12} {:>12} {:>6}  description",
        "preset", "parameters", "layers"
    )?;
    for Choice {
        preset,
        parameters,
        depth,
        description,
    } in choices
    {
        writeln!(
            out,
            "{preset:<12} {parameters:>12} {depth:>6}  {description}"
        )?;
    }
    writeln!(
        out,
        "\nvdvae info NAME tells more; vdvae info NAME --toml prints the configuration."
    )?;
    Ok(())
}

/// A run's folder, a configuration file, or a preset.
fn find(subject: &str) -> Result<Config> {
    let path = Path::new(subject);
    if path.is_dir() {
        RunDir::new(path).load_config()
    } else if path.is_file() {
        Ok(Config::from_file(path)?)
    } else if subject.contains(['/', '\\']) || subject.ends_with(".toml") {
        Err(usage(format!(
            "{subject}: expected a preset, a configuration file or a run's folder; nothing is there"
        )))
    } else {
        Ok(Config::preset(subject)?)
    }
}

fn print_report(report: &Report) -> Result<()> {
    let mut out = results();
    let Report {
        image_size: side,
        image_channels: channels,
        ..
    } = report;
    writeln!(out, "images            {side}x{side}, {channels} channels")?;
    writeln!(out, "parameters        {}", report.parameters)?;
    let (depth, encoder) = (report.depth, report.encoder_blocks);
    writeln!(
        out,
        "stochastic depth  {depth} layers (encoder: {encoder} blocks)"
    )?;
    if !report.topdown_residual {
        writeln!(
            out,
            "top-down state    replaced by each layer (not residual)"
        )?;
    }
    if report.upsample == Upsample::Conv {
        writeln!(out, "upsampling        learned 1x1 convolutions")?;
    }
    writeln!(
        out,
        "\nlatent variables  layers      number  share up to here"
    )?;
    for share in &report.latents {
        let side = format!("{0}x{0}", share.resolution);
        let (layers, latents) = (share.layers, share.latents);
        let percent = 100.0 * share.cumulative_share;
        writeln!(
            out,
            "{side:>16}  {layers:>6}  {latents:>10}  {percent:>6.2} %"
        )?;
    }
    let giga = |operations: f64| operations / 1e9;
    let operations = &report.operations_per_image;
    writeln!(out, "\noperations per image, GFLOP")?;
    writeln!(out, "  training step   {:.2}", giga(operations.training))?;
    writeln!(out, "  evaluation      {:.2}", giga(operations.evaluation))?;
    writeln!(out, "  sample          {:.2}", giga(operations.sample))?;
    let gibibytes = |bytes: u64| bytes as f64 / 2.0_f64.powi(30);
    writeln!(
        out,
        "\nmemory of training, batch {}: about {:.2} GiB; {:.2} with --checkpoint-activations",
        report.n_batch,
        gibibytes(report.training_memory_bytes),
        gibibytes(report.checkpointed_training_memory_bytes),
    )?;
    Ok(())
}
