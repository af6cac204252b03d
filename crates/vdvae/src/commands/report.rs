//! `vdvae report`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use serde::Serialize;
use vdvae_data::{Dataset, Split};

use super::data::open_data;
use super::{batch_size, check_output, make_folder, print_json, progress_bar, reading_threads};
use crate::cli::ReportArgs;
use crate::console::{results, tell};
use crate::device;
use crate::error::usage;
use crate::evaluate::EvaluateOptions;
use crate::evenly::evenly;
use crate::report::measure::{
    Distances, Evenly, Measurements, NEIGHBOURS_AMONG, Pictures, RunMeasures, gather_pictures,
    measure_run, nearest,
};
use crate::report::save_report;
use crate::run_dir::RunDir;
use crate::trained::TrainedModel;

/// Samples that are shown beside their nearest training images.
const NEIGHBOURS_SHOWN: usize = 8;

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    files: Vec<PathBuf>,
    seconds: f64,
    missing: usize,
}

pub fn run(arguments: &ReportArgs) -> Result<()> {
    let started = Instant::now();
    let run = RunDir::new(&arguments.trained.run);
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| run.path().join("report"));
    if out.is_file() {
        return Err(usage(format!(
            "--out {}: expected a folder, found a file",
            out.display()
        )));
    }
    check_output(&out.join("index.html"))?;
    // All folders are looked at before the work begins.
    let others: Vec<RunDir> = arguments.compare.iter().map(RunDir::new).collect();
    let compared = others.iter().map(measure_run).collect::<Result<Vec<_>>>()?;
    let mut measures = measure_run(&run)?;
    let checkpoint = arguments.trained.checkpoint.as_deref();
    let (pictures, neighbours) = Gathering {
        arguments,
        run: &run,
    }
    .first(&mut measures, checkpoint)?;
    let mut runs = vec![measures];
    for (other, mut measures) in others.iter().zip(compared) {
        Gathering {
            arguments,
            run: other,
        }
        .evaluated(&mut measures, None)?;
        runs.push(measures);
    }
    distinguish(&mut runs);
    let measurements = Measurements {
        version: env!("CARGO_PKG_VERSION"),
        runs,
        neighbours,
    };
    make_folder(&out)?;
    let files = save_report(&out, &measurements, &pictures)?;
    let missing: Vec<_> = measurements
        .runs
        .iter()
        .flat_map(|run| &run.missing)
        .collect();
    let report = Report {
        out: out.clone(),
        files,
        seconds: started.elapsed().as_secs_f64(),
        missing: missing.len(),
    };
    if arguments.json {
        return print_json(&report);
    }
    for missing in missing {
        tell(format_args!("missing: {}: {}", missing.what, missing.why));
    }
    let page = out.join("index.html");
    writeln!(results(), "{} ({:.1} s)", page.display(), report.seconds)?;
    Ok(())
}

/// Runs of the same name in different folders get numbers.
fn distinguish(runs: &mut [RunMeasures]) {
    for index in 1..runs.len() {
        let earlier = runs[..index].iter();
        let name = &runs[index].name;
        if earlier.clone().any(|run| run.name == *name) {
            runs[index].name = format!("{name} ({})", index + 1);
        }
    }
}

/// Collects what needs the trained model of a run. What there is not is remembered as missing; an error
/// is only what was typed wrongly.
struct Gathering<'a> {
    arguments: &'a ReportArgs,
    run: &'a RunDir,
}

/// A model, how many images at once, and the images that it is evaluated on.
type Loaded = (TrainedModel, usize, Option<Arc<dyn Dataset>>);

impl Gathering<'_> {
    /// Everything: evaluation, samples, reconstructions, neighbours.
    fn first(
        &self,
        measures: &mut RunMeasures,
        checkpoint: Option<&Path>,
    ) -> Result<(Pictures, Option<Distances>)> {
        let Some((model, batch, dataset)) = self.evaluated(measures, checkpoint)? else {
            return Ok((Pictures::default(), None));
        };
        let bar = self.stage("drawing samples and reconstructions", 0);
        let (data, seed) = (dataset.as_deref(), self.arguments.seed);
        let drawn = gather_pictures(&model, measures, data, (batch, seed), |count| {
            bar.inc(count as u64);
        });
        bar.finish_and_clear();
        let mut pictures = measures.keep("samples", drawn).unwrap_or_default();
        let distances = self.neighbours(&model, &mut pictures, dataset);
        let distances = measures.keep("nearest training images", distances);
        Ok((pictures, distances))
    }

    /// Loads the model and evaluates it.
    fn evaluated(
        &self,
        measures: &mut RunMeasures,
        checkpoint: Option<&Path>,
    ) -> Result<Option<Loaded>> {
        let device = device::parse(&self.arguments.trained.machine.device)?;
        let loaded = TrainedModel::load(self.run, checkpoint, device);
        let Some(model) = measures.keep("trained model", loaded) else {
            return Ok(None);
        };
        measures.step = Some(model.step);
        let batch = batch_size(self.arguments.batch, &model.config)?;
        let opened = open_data(
            &model,
            self.arguments.data.as_ref(),
            self.arguments.split,
            false,
        );
        let Some((source, split, dataset)) = measures.keep("evaluation", opened) else {
            return Ok(Some((model, batch, None)));
        };
        let limit = usize::try_from(self.arguments.images)?;
        let options = EvaluateOptions {
            batch,
            seed: self.arguments.seed,
            mean_latents: false,
            samples: 1,
            threads: reading_threads(),
            limit,
        };
        let bar = self.stage("evaluating", dataset.len().min(limit));
        let images = (source.to_string(), split.to_string(), dataset.clone());
        let evaluated = measures.evaluate(&model, images, &options, |done| {
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        let kept = measures.keep("evaluation", evaluated);
        Ok(Some((model, batch, kept.map(|()| dataset))))
    }

    /// Samples at temperature 1, and held-out images, against the run's training images.
    fn neighbours(
        &self,
        model: &TrainedModel,
        pictures: &mut Pictures,
        held_out: Option<Arc<dyn Dataset>>,
    ) -> Result<Distances> {
        let (_, _, training) = open_data(model, None, Some(Split::Train), true)
            .context("the run's training images")?;
        let samples = pictures
            .samples
            .first()
            .map(|(_, tiles)| &tiles[..])
            .unwrap_or_default();
        let mut images: Vec<u8> = samples
            .iter()
            .flat_map(|tile| &tile.pixels)
            .copied()
            .collect();
        // Of --data nobody knows whether the model has seen it.
        let held_out = held_out.filter(|_| self.arguments.data.is_none());
        if let Some(held_out) = held_out.filter(|_| self.arguments.split != Some(Split::Train)) {
            let some = Evenly::new(held_out, samples.len());
            let all = evenly(some.len(), some.len());
            images.extend(vdvae_data::Batch::read(&some, &all)?.images);
        }
        let bar = self.stage(
            "looking for samples among the training images",
            training.len(),
        );
        let found = nearest(&*training, &images, NEIGHBOURS_AMONG, |done| {
            bar.set_position(done as u64);
        })?;
        bar.finish_and_clear();
        let (of_samples, of_held_out) = found.split_at(samples.len());
        let shown = of_samples.iter().take(NEIGHBOURS_SHOWN);
        let indices: Vec<usize> = shown.map(|neighbour| neighbour.index).collect();
        let batch = vdvae_data::Batch::read(&*training, &indices)?;
        let tiles =
            crate::report::measure::cut(&batch.images, model.plan.image().size, indices.len());
        pictures.neighbours = samples.iter().cloned().zip(tiles).collect();
        Ok(Distances {
            training_images: training.len().min(NEIGHBOURS_AMONG),
            samples: of_samples.to_vec(),
            held_out: of_held_out.to_vec(),
        })
    }

    /// Says what begins, and shows how far it is.
    fn stage(&self, what: &str, count: usize) -> ProgressBar {
        tell(format_args!("{}: {what}", self.run.name()));
        if count == 0 {
            return ProgressBar::hidden();
        }
        progress_bar(count as u64, "images")
    }
}
