//! `vdvae compress`.

mod inputs;
mod names;

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use vdvae_data::counted;

use super::exact::exact_device;
use super::{check_extension, check_output, make_parent, print_json, progress_bar};
use crate::checkpoint::CheckpointError;
use crate::cli::compress::{CompressArgs, KernelPath};
use crate::compress::compare::{Compared, Encoder, compare};
use crate::compress::{Codec, Compressed, Images, LATENT_BITS, ModelId, coding, kept};
use crate::config::MAX_BATCH;
use crate::console::{results, tell};
use crate::error::usage;
use crate::files::write_atomically;
use crate::run_dir::RunDir;
use crate::trained::TrainedModel;
use inputs::Inputs;

#[derive(Serialize)]
struct Report {
    out: String,
    images: usize,
    tiles: usize,
    streams: usize,
    /// Values of all images, one byte each.
    raw_bytes: u64,
    /// Of the archive.
    bytes: u64,
    /// 8 bytes / `raw_bytes`.
    bits_per_dim: f64,
    /// What the images cost, without what was borrowed and the archive's header.
    net_bits_per_dim: f64,
    /// Borrowed by the first images of all streams.
    seed_bits: u64,
    /// Names, sizes, checks.
    header_bytes: u64,
    /// Of the model's weights, where the archive carries them.
    weights_bytes: u64,
    seconds: f64,
    images_per_s: f64,
    kernel_path: String,
    /// The file that must be kept; none if the archive carries the weights.
    weights: Option<PathBuf>,
    /// With --compare.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    compared: Vec<Compared>,
}

pub fn run(arguments: &CompressArgs) -> Result<()> {
    check_extension(&arguments.out, "vdz")?;
    check_output(&arguments.out)?;
    if !(1..=MAX_BATCH).contains(&arguments.batch) {
        return Err(usage(format!(
            "--batch: expected at least 1 and at most {MAX_BATCH}, found {}",
            arguments.batch
        )));
    }
    let path = arguments.kernel_path.map(KernelPath::path);
    let device = exact_device(&arguments.trained.machine, path)?;
    let run = RunDir::new(&arguments.trained.run);
    let plan = run.load_config()?.plan()?;
    coding(&*plan)?;
    if arguments.latent_bits.is_some() {
        plan.latents()
            .map_err(|cannot| usage(format!("--latent-bits: {cannot}")))?;
    }
    let model = TrainedModel::load(&run, arguments.trained.checkpoint.as_deref(), device)?;
    let codec = Codec::new(&model, arguments.latent_bits.unwrap_or(LATENT_BITS))?;
    let inputs = Inputs::open(arguments, &model, &codec)?;
    let weights = if arguments.with_weights {
        None
    } else {
        Some(keep_weights(&run, &model, codec.id())?)
    };

    let start = Instant::now();
    let tiles = (0..inputs.len()).map(|index| codec.tiles(inputs.shape(index)));
    let bar = progress_bar(tiles.sum(), "tiles");
    let progress = |done| bar.set_position(done);
    let mut compressed = if arguments.order_free {
        codec.compress_unordered(&inputs, arguments.batch, progress)?
    } else {
        codec.compress(&inputs, arguments.batch, progress)?
    };
    bar.finish_and_clear();
    if arguments.with_weights {
        compressed.archive.weights = Some(model.to_checkpoint()?);
    }
    make_parent(&arguments.out)?;
    let mut file = Vec::new();
    compressed.archive.write(&mut file)?;
    write_atomically(&arguments.out, |out| out.write_all(&file))
        .with_context(|| format!("{}: cannot save the archive", arguments.out.display()))?;
    let seconds = start.elapsed().as_secs_f64();

    let compared = if arguments.compare {
        let bar = progress_bar(compressed.archive.images.len() as u64, "images");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let encoders = Encoder::all(&path);
        let compared = compare(&inputs, &encoders, |done| bar.set_position(done))?;
        bar.finish_and_clear();
        for failure in &compared.failures {
            tell(format_args!("warning: {failure}"));
        }
        compared.rows
    } else {
        Vec::new()
    };
    let report = report(
        arguments,
        &compressed,
        weights,
        file.len() as u64,
        seconds,
        compared,
    );
    if arguments.json {
        return print_json(&report);
    }
    print_report(&report)?;
    print_table(&report)
}

/// Sees to it that the archive can still be read when training has gone on; the file that must be kept.
///
/// # Errors
/// If it cannot be written: then the archive would be lost with the next training.
fn keep_weights(run: &RunDir, model: &TrainedModel, id: &ModelId) -> Result<PathBuf> {
    kept::keep(run, model, id).map_err(|error| match error {
        CheckpointError::Io { path, source, .. } => anyhow!(
            "{}: cannot keep the weights that the archive needs: {source}. Let the folder be written, make room, or \
             put the weights into the archive: --with-weights",
            path.display()
        ),
        error => error.into(),
    })
}

fn report(
    arguments: &CompressArgs,
    compressed: &Compressed,
    weights: Option<PathBuf>,
    bytes: u64,
    seconds: f64,
    compared: Vec<Compared>,
) -> Report {
    let archive = &compressed.archive;
    let dimensions = compressed.dimensions as f64;
    let weights_bytes = archive.weights.as_ref().map_or(0, |w| w.len() as u64);
    let streams: u64 = archive.chains.iter().map(|c| c.stream.bytes()).sum();
    Report {
        out: arguments.out.display().to_string(),
        images: archive.images.len(),
        tiles: compressed.tiles,
        streams: archive.chains.len(),
        raw_bytes: compressed.dimensions,
        bytes,
        bits_per_dim: 8.0 * bytes as f64 / dimensions,
        net_bits_per_dim: compressed.net_bits / dimensions,
        seed_bits: compressed.seed_bits,
        header_bytes: bytes - streams - weights_bytes,
        weights_bytes,
        seconds,
        images_per_s: archive.images.len() as f64 / seconds,
        kernel_path: archive.model.kernel_path.clone(),
        weights,
        compared,
    }
}

fn print_report(report: &Report) -> Result<()> {
    let mut out = results();
    let Report {
        images,
        tiles,
        streams,
        raw_bytes,
        bytes,
        ..
    } = report;
    writeln!(
        out,
        "{}, {}, {}, kernel path {}",
        counted(*images, "images"),
        counted(*tiles, "tiles"),
        counted(*streams, "streams"),
        report.kernel_path
    )?;
    writeln!(
        out,
        "{bytes} bytes of {raw_bytes}: {}, {:.4} bits/dim",
        change(*raw_bytes, *bytes),
        report.bits_per_dim
    )?;
    let seed = match report.seed_bits {
        0 => String::new(),
        bits => format!("; seed {bits} bits, borrowed by the first images"),
    };
    writeln!(
        out,
        "  images {:.4} bits/dim net{seed}; header {} bytes",
        report.net_bits_per_dim, report.header_bytes
    )?;
    if report.weights_bytes > 0 {
        writeln!(out, "  weights {} bytes", report.weights_bytes)?;
    }
    writeln!(
        out,
        "{:.2} s, {:.2} images/s: {}",
        report.seconds, report.images_per_s, report.out
    )?;
    if let Some(weights) = &report.weights {
        writeln!(
            out,
            "keep {}: the archive can be read with these weights only",
            weights.display()
        )?;
    }
    Ok(())
}

/// What became of so many bytes.
fn change(raw: u64, bytes: u64) -> String {
    if bytes <= raw {
        format!("{:.3} times smaller", raw as f64 / bytes as f64)
    } else {
        format!("{:.3} times larger", bytes as f64 / raw as f64)
    }
}

fn print_table(report: &Report) -> Result<()> {
    if report.compared.is_empty() {
        return Ok(());
    }
    let mut out = results();
    let mut line = |name: &str, bytes: u64, bits: f64, seconds: f64, note: &str| {
        writeln!(
            out,
            "{name:<10} {bytes:>12}  {bits:>8.4}  {seconds:>9.3}  {note}"
        )
    };
    writeln!(
        results(),
        "\n{:<10} {:>12}  {:>8}  {:>9}",
        "format",
        "bytes",
        "bits/dim",
        "seconds"
    )?;
    let note = "one archive";
    line(
        "vdvae",
        report.bytes,
        report.bits_per_dim,
        report.seconds,
        note,
    )?;
    for row in &report.compared {
        if row.images == 0 {
            let name = row.format.name();
            writeln!(
                results(),
                "{name:<10} none of the images is taken by {}",
                row.encoder
            )?;
            continue;
        }
        let note = if row.images == report.images {
            format!("one file per image; {}", row.encoder)
        } else {
            format!(
                "of {}, the others not being taken; {}",
                counted(row.images, "images"),
                row.encoder
            )
        };
        line(
            row.format.name(),
            row.bytes,
            row.bits_per_dim(),
            row.seconds,
            &note,
        )?;
    }
    line("raw", report.raw_bytes, 8.0, 0.0, "")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::change;

    #[test]
    fn what_grew_is_called_larger() {
        assert_eq!(change(300, 200), "1.500 times smaller");
        assert_eq!(change(881, 1000), "1.135 times larger");
        assert_eq!(change(7, 7), "1.000 times smaller");
    }
}
