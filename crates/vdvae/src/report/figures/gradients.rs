//! Figure 6 of the paper: the largest gradients, and the updates that were not taken.

use super::chart::{self, Panel, Series, Vertical, points};
use super::{Cell, Figure, Table, loss, why};
use crate::report::drawing::Ink;
use crate::report::drawing::axis::grouped;
use crate::report::measure::{RunMeasures, UPDATES_PER_WINDOW, gradient_windows};

const TITLE: &str = "Gradients";
/// In the picture; the table has all.
const MOST_WINDOWS: usize = 150;

/// The maximum norm of every window, with the threshold and the skipped updates.
pub fn figure(run: &RunMeasures) -> Figure {
    if run.gradients.is_empty() {
        let otherwise = "no interval of training is in the log yet: train for longer";
        return Figure::missing("gradients", TITLE, why(run, "training history", otherwise));
    }
    // More windows than the eye tells apart become longer ones: a mean would hide the peaks.
    let updates = UPDATES_PER_WINDOW * run.gradients.len().div_ceil(MOST_WINDOWS) as u64;
    let windows = gradient_windows(&run.training, updates);
    let threshold = (run.skip_threshold > 0.0).then_some(run.skip_threshold);
    let skipped = run
        .training
        .iter()
        .filter(|entry| entry.skipped_updates > 0);
    let panel = Panel {
        title: format!(
            "largest gradient norm in {} updates",
            grouped(updates as f64, 0)
        ),
        unit: "before clipping",
        height: 210.0,
        vertical: Vertical::Logarithmic,
        write: |value| grouped(value, 0),
        series: vec![Series {
            name: "last".to_owned(),
            ink: Ink::NAMED[0],
            points: points(
                windows
                    .iter()
                    .map(|window| (window.step, window.max_gradient_norm)),
            ),
            dots: true,
        }],
        level: threshold.map(|norm| {
            (
                norm,
                format!("updates from {} on are skipped", grouped(norm, 0)),
            )
        }),
        events: skipped
            .map(|entry| {
                let hint = format!(
                    "{} skipped up to update {}",
                    entry.skipped_updates, entry.step
                );
                (entry.step as f64, hint)
            })
            .collect(),
    };
    let mut table = Table::new(&["step", "max_gradient_norm", "skipped_updates"]);
    for window in &run.gradients {
        table.row([
            Cell::Whole(window.step),
            Cell::Number(window.max_gradient_norm, 1),
            Cell::Whole(window.skipped_updates),
        ]);
    }
    let updates = loss::updates_of(run);
    let draw = |width| chart::draw(std::slice::from_ref(&panel), &updates, width);
    Figure::chart("gradients", TITLE, reading(run), draw, table)
}

fn reading(run: &RunMeasures) -> String {
    let skipped: u64 = run
        .gradients
        .iter()
        .map(|window| window.skipped_updates)
        .sum();
    let of = loss::updates_of(run).last();
    let share = 100.0 * skipped as f64 / of.max(1.0);
    let rule = if run.skip_threshold > 0.0 {
        "Very large gradients are rare and ruin a model; updates at or above the dashed line are not taken."
    } else {
        "Updates are taken whatever the norm of their gradient (skip_threshold = -1)."
    };
    match skipped {
        0 => format!("{rule} None of {} updates was skipped.", grouped(of, 0)),
        _ => format!(
            "{rule} {} of {} updates were skipped ({share:.2} %), marked by dots at the top where their \
             interval of the log ends. In the paper it is fewer than 0.01 %.",
            grouped(skipped as f64, 0),
            grouped(of, 0)
        ),
    }
}
