//! What a log tells of the gradients.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::log::TrainEntry;

/// Updates in a window, as in figure 6 of the paper.
pub const UPDATES_PER_WINDOW: u64 = 500;

/// Some updates in a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GradientWindow {
    /// The last step that the window has.
    pub step: u64,
    /// The largest finite norm before clipping.
    pub max_gradient_norm: Option<f64>,
    /// Updates that were not taken.
    pub skipped_updates: u64,
}

/// The windows of a log, in order. An interval of the log counts where it ends, so windows are as
/// exact as intervals are short.
pub fn gradient_windows(entries: &[TrainEntry], updates: u64) -> Vec<GradientWindow> {
    let mut windows: BTreeMap<u64, GradientWindow> = BTreeMap::new();
    for entry in entries {
        let window = entry.step.saturating_sub(1) / updates;
        let window = windows.entry(window).or_insert(GradientWindow {
            step: 0,
            max_gradient_norm: None,
            skipped_updates: 0,
        });
        window.step = window.step.max(entry.step);
        window.skipped_updates += entry.skipped_updates;
        window.max_gradient_norm = match (window.max_gradient_norm, entry.max_gradient_norm) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
    }
    windows.into_values().collect()
}
