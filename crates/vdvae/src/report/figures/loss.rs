//! How the loss fell.

use super::chart::{self, Panel, Series, Vertical, points};
use super::{Cell, Figure, Table, short, why};
use crate::report::axis::grouped;
use crate::report::log::{TrainEntry, ValidEntry};
use crate::report::measure::RunMeasures;
use crate::report::scene::Ink;

const TITLE: &str = "Loss";
const BITS: &str = "bits per dimension";

/// Total, distortion and rate, in training and on the validation split.
pub fn figure(run: &RunMeasures) -> Figure {
    if run.training.is_empty() && run.validation.is_empty() {
        let otherwise = "nothing is in the log yet: train for longer";
        return Figure::missing("loss", TITLE, why(run, "training history", otherwise));
    }
    let panels = [
        panel(
            run,
            "distortion + rate",
            210.0,
            |e| e.elbo_filtered_bits_per_dim.or(e.elbo_bits_per_dim),
            |e| e.bits_per_dim,
        ),
        panel(
            run,
            "distortion",
            110.0,
            |e| e.distortion_bits_per_dim,
            |e| e.distortion_bits_per_dim,
        ),
        panel(
            run,
            "rate",
            110.0,
            |e| e.rate_bits_per_dim,
            |e| e.rate_bits_per_dim,
        ),
    ];
    let reading = "What an image costs, lower is better: the rate is what the latents tell about it, the \
        distortion what is left to say once they are known. Training with the current weights, \
        validation with their moving average.";
    let last = last_step(run);
    Figure::chart(
        "loss",
        TITLE,
        reading,
        |width| chart::draw(&panels, last, width),
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
            dash: Vec::new(),
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
    let last = runs.iter().map(last_step).fold(0.0, f64::max);
    let reading = "Distortion + rate of the averaged weights on each run's validation split.";
    let draw = |width| chart::draw(std::slice::from_ref(&panel), last, width);
    Some(Figure::chart(
        "comparison",
        "Runs compared",
        reading,
        draw,
        table,
    ))
}

/// The last step that the log knows.
pub(super) fn last_step(run: &RunMeasures) -> f64 {
    let training = run.training.iter().map(|entry| entry.step);
    let validation = run.validation.iter().map(|entry| entry.step);
    training.chain(validation).max().unwrap_or(0) as f64
}

fn panel(
    run: &RunMeasures,
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
        dash: Vec::new(),
    };
    let trained = points(
        run.training
            .iter()
            .map(|entry| (entry.step, training(entry))),
    );
    let validated = run
        .validation
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
        let total = e.elbo_filtered_bits_per_dim.or(e.elbo_bits_per_dim);
        let values = [total, e.distortion_bits_per_dim, e.rate_bits_per_dim];
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
