//! Learning rate and speed.

use super::chart::{self, Panel, Series, Vertical, points};
use super::{Cell, Figure, Table, loss, why};
use crate::log::TrainEntry;
use crate::report::drawing::Ink;
use crate::report::drawing::axis::grouped;
use crate::report::measure::RunMeasures;

const TITLE: &str = "Learning rate and speed";

/// Both over the updates.
pub fn figure(run: &RunMeasures) -> Figure {
    if run.training.is_empty() {
        let otherwise = "no interval of training is in the log yet: train for longer";
        return Figure::missing("speed", TITLE, why(run, "training history", otherwise));
    }
    let panels = [
        panel(run, "learning rate", "", 90.0, rate, |entry| {
            entry.learning_rate
        }),
        panel(
            run,
            "speed",
            "images per second",
            110.0,
            |speed| grouped(speed, if speed < 10.0 { 2 } else { 0 }),
            |entry| entry.images_per_second,
        ),
    ];
    let seconds = run.training.last().map_or(0.0, |entry| entry.seconds);
    let reading = format!(
        "{} of training in all, evaluations included.",
        duration(seconds)
    );
    let mut table = Table::new(&[
        "step",
        "learning_rate",
        "images_per_second",
        "seconds_per_step",
    ]);
    for entry in &run.training {
        table.row([
            Cell::Whole(entry.step),
            Cell::Number(Some(entry.learning_rate), 6),
            Cell::Number(Some(entry.images_per_second), 1),
            Cell::Number(Some(entry.seconds_per_step), 4),
        ]);
    }
    let updates = loss::updates_of(run);
    Figure::chart(
        "speed",
        TITLE,
        reading,
        |width| chart::draw(&panels, &updates, width),
        table,
    )
}

fn panel(
    run: &RunMeasures,
    title: &str,
    unit: &'static str,
    height: f64,
    write: fn(f64) -> String,
    value: impl Fn(&TrainEntry) -> f64,
) -> Panel {
    let values = run
        .training
        .iter()
        .map(|entry| (entry.step, Some(value(entry))));
    Panel {
        title: title.to_owned(),
        unit,
        height,
        vertical: Vertical::Zero,
        write,
        series: vec![Series {
            name: String::new(),
            ink: Ink::NAMED[0],
            points: points(values),
            dots: false,
        }],
        level: None,
        events: Vec::new(),
    }
}

/// Two digits and a power of ten.
fn rate(rate: f64) -> String {
    if rate == 0.0 {
        return "0".to_owned();
    }
    format!("{rate:.1e}")
}

/// In the unit in which it is a handy number.
fn duration(seconds: f64) -> String {
    let (unit, length) = chart::unit(seconds);
    let decimals = usize::from(length >= 3600.0);
    format!("{} {unit}", grouped(seconds / length, decimals))
}
