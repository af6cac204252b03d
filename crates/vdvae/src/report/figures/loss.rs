//! How the loss fell.

use super::chart::{self, Panel, Series, Updates, Vertical, points};
use super::{Cell, Figure, Table, WIDE, short, why};
use crate::log::{self, Entry, TrainEntry, ValidEntry};
use crate::report::drawing::axis::grouped;
use crate::report::drawing::{Ink, Scene};
use crate::report::measure::RunMeasures;

const TITLE: &str = "Loss";
const BITS: &str = "bits per dimension";

/// What a log tells of losses.
type History<'a> = (&'a [TrainEntry], &'a [ValidEntry]);

/// Distortion + rate over the updates of a run and the time that they took: the picture of a log.
pub fn loss_curve(name: &str, entries: Vec<Entry>) -> Scene {
    let (training, validation) = log::split(entries);
    let history = (&training[..], &validation[..]);
    let mut panel = total(history, name, 300.0);
    panel.unit = "bits per dimension, lower is better";
    if panel.series.is_empty() {
        return Scene::saying(name, "nothing logged yet");
    }
    Scene {
        title: format!("{name}: {TITLE}"),
        description: format!("Distortion + rate in {BITS} over the updates"),
        ..chart::draw(&[panel], &updates(history), WIDE)
    }
}

/// Total, distortion and rate, in training and on the validation split.
pub fn figure(run: &RunMeasures) -> Figure {
    if run.training.is_empty() && run.validation.is_empty() {
        let otherwise = "nothing is in the log yet: train for longer";
        return Figure::missing("loss", TITLE, why(run, "training history", otherwise));
    }
    let history = (&run.training[..], &run.validation[..]);
    let panels = [
        total(history, "distortion + rate", 210.0),
        panel(
            history,
            "distortion",
            110.0,
            |e| e.distortion_bits_per_dim,
            |e| e.distortion_bits_per_dim,
        ),
        panel(
            history,
            "rate",
            110.0,
            |e| e.rate_bits_per_dim,
            |e| e.rate_bits_per_dim,
        ),
    ];
    let reading = "What an image costs, lower is better: the rate is what the latents tell about it, the \
        distortion what is left to say once they are known. Training with the current weights, \
        validation with their moving average.";
    let updates = updates_of(run);
    Figure::chart(
        "loss",
        TITLE,
        reading,
        |width| chart::draw(&panels, &updates, width),
        table(run),
    )
}

/// The validation loss of several runs.
pub fn comparison(runs: &[RunMeasures]) -> Option<Figure> {
    if runs.len() < 2 {
        return None;
    }
    let mut table = Table::new(&[
        "run",
        "step",
        "validation_bits_per_dim",
        "stderr_bits_per_dim",
    ]);
    let mut series = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        for entry in &run.validation {
            table.row([
                Cell::Text(run.name.clone()),
                Cell::Whole(entry.step),
                Cell::Number(Some(entry.bits_per_dim), 3),
                Cell::Number(entry.stderr_bits_per_dim, 3),
            ]);
        }
        series.push(Series {
            name: short(&run.name),
            ink: Ink::NAMED[index % Ink::NAMED.len()],
            points: points(
                run.validation
                    .iter()
                    .map(|e| (e.step, Some(e.bits_per_dim))),
            ),
            dots: true,
        });
    }
    if table.rows.is_empty() {
        return Some(Figure::missing(
            "comparison",
            "Runs compared",
            "none of the runs was validated",
        ));
    }
    let panel = Panel {
        title: "validation loss".to_owned(),
        unit: BITS,
        height: 240.0,
        vertical: Vertical::Values,
        write: |value| grouped(value, 2),
        series,
        level: None,
        events: Vec::new(),
    };
    let updates = Updates::of_several(runs.iter().map(updates_of));
    let reading = "Distortion + rate of the averaged weights on each run's validation split.";
    let draw = |width| chart::draw(std::slice::from_ref(&panel), &updates, width);
    Some(Figure::chart(
        "comparison",
        "Runs compared",
        reading,
        draw,
        table,
    ))
}

/// The updates that the log of a run knows.
pub(super) fn updates_of(run: &RunMeasures) -> Updates {
    updates((&run.training, &run.validation))
}

fn updates((training, validation): History) -> Updates {
    let training = training.iter().map(|entry| (entry.step, entry.seconds));
    let validation = validation.iter().map(|entry| (entry.step, entry.seconds));
    Updates::timed(training.chain(validation))
}

fn total(history: History, title: &str, height: f64) -> Panel {
    panel(history, title, height, trained_total, |e| e.bits_per_dim)
}

/// Over the steps that were finite and taken, where there were any.
fn trained_total(entry: &TrainEntry) -> Option<f64> {
    let all = entry.elbo_bits_per_dim;
    entry.elbo_filtered_bits_per_dim.or(all)
}

fn panel(
    (trained, validated): History,
    title: &str,
    height: f64,
    training: impl Fn(&TrainEntry) -> Option<f64>,
    validation: impl Fn(&ValidEntry) -> f64,
) -> Panel {
    let series = |name: &str, ink, points, dots| Series {
        name: name.to_owned(),
        ink,
        points,
        dots,
    };
    let trained = points(trained.iter().map(|entry| (entry.step, training(entry))));
    let validated = validated
        .iter()
        .map(|entry| (entry.step, Some(validation(entry))));
    let all = [
        series("training", Ink::NAMED[0], trained, false),
        series("validation", Ink::NAMED[1], points(validated), true),
    ];
    Panel {
        title: title.to_owned(),
        unit: BITS,
        height,
        vertical: Vertical::Values,
        write: |value| grouped(value, 2),
        series: all
            .into_iter()
            .filter(|series| !series.points.is_empty())
            .collect(),
        level: None,
        events: Vec::new(),
    }
}

fn table(run: &RunMeasures) -> Table {
    let mut table = Table::new(&[
        "step",
        "split",
        "bits_per_dim",
        "distortion_bits_per_dim",
        "rate_bits_per_dim",
        "seconds",
    ]);
    let mut row = |step, split: &str, values: [Option<f64>; 3], seconds| {
        let [total, distortion, rate] = values.map(|value| Cell::Number(value, 3));
        let (split, seconds) = (Cell::Text(split.to_owned()), Cell::Number(Some(seconds), 0));
        table.row([Cell::Whole(step), split, total, distortion, rate, seconds]);
    };
    for e in &run.training {
        let values = [
            trained_total(e),
            e.distortion_bits_per_dim,
            e.rate_bits_per_dim,
        ];
        row(e.step, "train", values, e.seconds);
    }
    for e in &run.validation {
        let values = [
            e.bits_per_dim,
            e.distortion_bits_per_dim,
            e.rate_bits_per_dim,
        ];
        row(
            e.step,
            "valid",
            values.map(|value| Some(value).filter(|v| v.is_finite())),
            e.seconds,
        );
    }
    table
}

#[cfg(test)]
mod tests;
