//! `vdvae info`.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::{architecture, print_json};
use crate::architecture::{Architecture, LatentShare, Operations};
use crate::cli::InfoArgs;
use crate::config::{Config, Preset};
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
    image_size: usize,
    image_channels: usize,
    /// Latent variables at each resolution.
    latents: Vec<LatentShare>,
    /// Floating-point operations per image.
    operations_per_image: Operations,
    /// Estimated peak memory of training with `n_batch` images at once.
    training_memory_bytes: u64,
    n_batch: usize,
}

pub fn run(arguments: &InfoArgs) -> Result<()> {
    let Some(subject) = &arguments.subject else {
        return list();
    };
    let mut config = find(subject)?;
    config.apply_overrides(&arguments.set)?;
    let architecture = architecture(&config)?;
    if arguments.toml {
        print!("{}", config.to_toml());
        return Ok(());
    }
    let report = Report {
        parameters: architecture.parameters(),
        depth: architecture.stochastic_depth(),
        encoder_blocks: architecture.enc_blocks.len(),
        image_size: architecture.image_size,
        image_channels: architecture.image_channels,
        latents: architecture.latents(),
        operations_per_image: architecture.operations(),
        training_memory_bytes: training_memory(&architecture, config.train.n_batch),
        n_batch: config.train.n_batch,
    };
    if arguments.json {
        return print_json(&report);
    }
    print_report(&architecture, &report);
    Ok(())
}

fn list() -> Result<()> {
    println!(
        "{:<12} {:>12} {:>6}  description",
        "preset", "parameters", "layers"
    );
    for preset in Preset::ALL {
        let architecture = Architecture::try_from(&preset.config().model)?;
        println!(
            "{:<12} {:>12} {:>6}  {}",
            preset.name(),
            architecture.parameters(),
            architecture.stochastic_depth(),
            preset.description()
        );
    }
    println!("\nvdvae info NAME tells more; vdvae info NAME --toml prints the configuration.");
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

fn print_report(architecture: &Architecture, report: &Report) {
    let side = architecture.image_size;
    println!(
        "images            {side}x{side}, {} channels",
        architecture.image_channels
    );
    println!("parameters        {}", report.parameters);
    println!(
        "stochastic depth  {} layers (encoder: {} blocks)",
        report.depth, report.encoder_blocks
    );
    println!("\nlatent variables  layers      number  share up to here");
    for share in &report.latents {
        let side = format!("{0}x{0}", share.resolution);
        println!(
            "{side:>16}  {:>6}  {:>10}  {:>6.2} %",
            share.layers,
            share.latents,
            100.0 * share.cumulative_share
        );
    }
    let giga = |operations: f64| operations / 1e9;
    let operations = &report.operations_per_image;
    println!("\noperations per image, GFLOP");
    println!("  training step   {:.2}", giga(operations.training));
    println!("  evaluation      {:.2}", giga(operations.evaluation));
    println!("  sample          {:.2}", giga(operations.sample));
    println!(
        "\nmemory of training, batch {}: about {:.2} GiB",
        report.n_batch,
        report.training_memory_bytes as f64 / 2.0_f64.powi(30)
    );
}
