//! `vdvae eval`.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use vdvae_data::counted;

use super::data::{open_data, tell_later_losses};
use super::{
    batch_size, check_extension, check_output, load, make_parent, print_json, progress_bar,
    reading_threads,
};
use crate::cli::{EvalArgs, PosteriorKind};
use crate::console::results;
use crate::error::usage;
use crate::evaluate::{EvaluateOptions, Evaluation, with_error};
use crate::likelihood::units::bits;
use crate::models::{Cannot, Exactness, LatentLayer, Plan};
use crate::report::{rate_per_layer, save_svg};

#[derive(Serialize)]
struct Report<'a> {
    data: String,
    split: String,
    step: u64,
    /// What the bits are.
    exactness: Exactness,
    #[serde(flatten)]
    evaluation: &'a Evaluation,
}

pub fn run(arguments: &EvalArgs) -> Result<()> {
    if let Some(path) = &arguments.rates {
        check_extension(path, "svg")?;
        check_output(path)?;
    }
    let mean_latents = arguments.latents == PosteriorKind::Mean;
    if mean_latents && arguments.samples > 1 {
        return Err(usage(
            "--samples: draws differ only with --latents sample, found --latents mean",
        ));
    }
    let (run, model) = load(&arguments.trained, |plan| possible(arguments, plan))?;
    let (source, split, dataset) = open_data(
        &model,
        arguments.data.as_ref(),
        arguments.split,
        arguments.skip_bad_images,
    )?;
    let options = EvaluateOptions {
        batch: batch_size(arguments.batch, &model.config)?,
        seed: arguments.seed,
        mean_latents,
        samples: arguments.samples,
        threads: reading_threads(),
        limit: usize::MAX,
    };
    let bar = progress_bar(dataset.len() as u64, "images");
    let losses = dataset.losses();
    let evaluation = model.evaluate(dataset.clone(), &options, |done| {
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    tell_later_losses(losses, dataset.losses());
    let layers = model.plan.latents().unwrap_or_default();
    if let Some(path) = &arguments.rates {
        draw_rates(path, &run.name(), &layers, &evaluation)?;
    }
    if arguments.json {
        let (data, split) = (source.to_string(), split.to_string());
        return print_json(&Report {
            data,
            split,
            step: model.step,
            exactness: model.plan.exactness(),
            evaluation: &evaluation,
        });
    }
    let (images, step) = (counted(evaluation.images, "images"), model.step);
    writeln!(
        results(),
        "{source}, {split} split: {images}, weights of step {step}"
    )?;
    match model.plan.exactness() {
        Exactness::Exact => print_exact(&evaluation)?,
        Exactness::Bound => print_bounds(&evaluation, arguments.samples)?,
    }
    if layers.is_empty() {
        return Ok(());
    }
    print_rates(&layers, &evaluation)
}

/// Whether there is anything to draw, and layers to tell of, as far as that is asked for.
fn possible(arguments: &EvalArgs, plan: &dyn Plan) -> Result<(), Cannot> {
    let asked = [
        ("--samples", arguments.samples > 1),
        ("--latents mean", arguments.latents == PosteriorKind::Mean),
    ];
    for (what, _) in asked.into_iter().filter(|(_, is_asked)| *is_asked) {
        if plan.exactness() == Exactness::Exact {
            return Err(Cannot {
                what,
                why: "the model's likelihood is exact, and nothing is drawn for it".to_owned(),
                instead: "Leave it out".to_owned(),
            });
        }
    }
    match arguments.rates {
        Some(_) => plan.latents().map(drop),
        None => Ok(()),
    }
}

/// The rate of each layer as a picture, bits per dimension.
fn draw_rates(
    path: &Path,
    title: &str,
    layers: &[LatentLayer],
    evaluation: &Evaluation,
) -> Result<()> {
    let resolutions = layers.iter().map(|layer| layer.resolution);
    let rates = evaluation.rate_nats_per_dim_per_layer.iter();
    let layers: Vec<(usize, f64)> = resolutions.zip(rates.map(|&nats| bits(nats))).collect();
    make_parent(path)?;
    save_svg(path, &rate_per_layer(title, &layers))
        .with_context(|| format!("{}: cannot save the picture", path.display()))
}

fn print_exact(evaluation: &Evaluation) -> Result<()> {
    let bits = with_error(evaluation.bits_per_dim, evaluation.stderr_bits_per_dim, 4);
    Ok(writeln!(results(), "{bits} bits/dim, exact")?)
}

fn print_bounds(evaluation: &Evaluation, samples: u64) -> Result<()> {
    writeln!(
        results(),
        "{} bits/dim = distortion {:.4} + rate {:.4}",
        with_error(evaluation.bits_per_dim, evaluation.stderr_bits_per_dim, 4),
        bits(evaluation.distortion_nats_per_dim),
        bits(evaluation.rate_nats_per_dim),
    )?;
    if let Some(bound) = evaluation.iw_bits_per_dim {
        writeln!(
            results(),
            "{bound:.4} bits/dim, importance-weighted over {samples} draws"
        )?;
    }
    Ok(())
}

/// A bar per layer: how much each stochastic layer tells.
fn print_rates(layers: &[LatentLayer], evaluation: &Evaluation) -> Result<()> {
    const WIDTH: f64 = 40.0;
    let mut out = results();
    let rates = &evaluation.rate_nats_per_dim_per_layer;
    let most = rates.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    writeln!(out, "\nrate per layer, bits/dim, top to bottom")?;
    for (layer, (shape, &rate)) in layers.iter().zip(rates).enumerate() {
        let side = format!("{0}x{0}", shape.resolution);
        let bar = "#".repeat((WIDTH * rate / most).round().max(0.0) as usize);
        writeln!(out, "{:>4}  {side:>9}  {:.5}  {bar}", layer + 1, bits(rate))?;
    }
    Ok(())
}
