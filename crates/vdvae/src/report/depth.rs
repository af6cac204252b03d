//! What depth gains: the picture of a set of runs.

use super::axis::{Scale, Ticks, spread};
use super::svg::{Card, WIDTH};

const HEIGHT: f64 = 440.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = WIDTH - 190.0;
const TOP: f64 = 76.0;
const BOTTOM: f64 = HEIGHT - 60.0;
/// Between the base lines of two labels.
const LABEL_GAP: f64 = 18.0;

/// For the published architecture, then for the variants: told apart with every kind of colour vision.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// A run in the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct DepthPoint {
    /// What sets it apart from the others of its depth; empty: nothing.
    pub variant: String,
    /// Told to a pointer over it.
    pub name: String,
    /// Stochastic layers.
    pub depth: usize,
    /// The loss on the test split.
    pub bits_per_dim: f64,
}

/// Bits per dimension against the number of stochastic layers as an SVG document: a dot for every run,
/// a line through the means of each variant's depths.
pub fn bits_by_depth_svg(points: &[DepthPoint], title: &str) -> String {
    let points: Vec<&DepthPoint> = points
        .iter()
        .filter(|point| point.bits_per_dim.is_finite())
        .collect();
    let subtitle = "bits/dim on the test split; each dot a run, lines through the means over seeds";
    let mut card = Card::new(title, subtitle, HEIGHT);
    if points.is_empty() {
        card.text(WIDTH / 2.0, HEIGHT / 2.0, "middle", "no finished run yet");
        return card.finish();
    }
    let values = || points.iter().map(|point| point.bits_per_dim);
    let (low, high) = (
        values().fold(f64::INFINITY, f64::min),
        values().fold(f64::NEG_INFINITY, f64::max),
    );
    let ticks = Ticks::around(low, high, 6);
    let y = Scale::new(ticks.range(), (BOTTOM, TOP));
    for (value, text) in ticks.marks() {
        card.line((LEFT, y.at(value)), (RIGHT, y.at(value)), "grid");
        card.text(LEFT - 8.0, y.at(value) + 4.0, "end", &text);
    }
    let deepest = points.iter().map(|point| point.depth).max().unwrap_or(1);
    let x = Scale::new((0.0, deepest as f64), (LEFT, RIGHT - 12.0));
    draw_depths(&mut card, &points, &x);
    draw_variants(&mut card, &points, (&x, &y));
    card.finish()
}

/// A mark at every depth that a run has.
fn draw_depths(card: &mut Card, points: &[&DepthPoint], x: &Scale) {
    let mut depths: Vec<usize> = points.iter().map(|point| point.depth).collect();
    depths.sort_unstable();
    depths.dedup();
    card.line((LEFT, BOTTOM), (RIGHT, BOTTOM), "axis");
    for depth in depths {
        let at = x.at(depth as f64);
        card.line((at, BOTTOM), (at, BOTTOM + 5.0), "axis");
        card.text(at, BOTTOM + 20.0, "middle", &depth.to_string());
    }
    let middle = (LEFT + RIGHT) / 2.0;
    card.text(middle, BOTTOM + 44.0, "middle", "stochastic layers");
}

fn draw_variants(card: &mut Card, points: &[&DepthPoint], (x, y): (&Scale, &Scale)) {
    let mut variants: Vec<&str> = points.iter().map(|point| &*point.variant).collect();
    variants.sort_unstable();
    variants.dedup();
    let clip = card.clip([LEFT, TOP, RIGHT, BOTTOM]);
    let mut labels = Vec::new();
    for (index, variant) in variants.into_iter().enumerate() {
        let own: Vec<&DepthPoint> = points
            .iter()
            .copied()
            .filter(|point| point.variant == variant)
            .collect();
        // The published architecture has its colour whether it is in the picture or not.
        let rank = index + usize::from(!points.iter().any(|point| point.variant.is_empty()));
        let colour = COLOURS[rank % COLOURS.len()];
        let means = means(&own);
        let line: Vec<(f64, f64)> = means
            .iter()
            .map(|&(depth, mean)| (x.at(depth as f64), y.at(mean)))
            .collect();
        card.curve(&line, colour, &clip);
        for point in own {
            let at = (x.at(point.depth as f64), y.at(point.bits_per_dim));
            let hint = format!("{}: {:.4} bits/dim", point.name, point.bits_per_dim);
            card.named_dot(at, colour, &hint);
        }
        if let Some(&(_, last)) = line.last() {
            labels.push((last, variant, colour));
        }
    }
    draw_names(card, labels);
}

/// Beside the end of each line, what it is.
fn draw_names(card: &mut Card, mut labels: Vec<(f64, &str, &str)>) {
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted: Vec<f64> = labels.iter().map(|label| label.0).collect();
    let places = spread(&wanted, LABEL_GAP, TOP, BOTTOM);
    for ((_, variant, colour), place) in labels.into_iter().zip(places) {
        let name = if variant.is_empty() {
            "as published"
        } else {
            variant
        };
        card.label(RIGHT + 8.0, place + 4.0, "label", name, colour);
    }
}

/// The mean of each depth, ascending.
fn means(points: &[&DepthPoint]) -> Vec<(usize, f64)> {
    let mut sorted: Vec<&&DepthPoint> = points.iter().collect();
    sorted.sort_by_key(|point| point.depth);
    sorted
        .chunk_by(|a, b| a.depth == b.depth)
        .map(|same| {
            let sum: f64 = same.iter().map(|point| point.bits_per_dim).sum();
            (same[0].depth, sum / same.len() as f64)
        })
        .collect()
}

#[cfg(test)]
mod tests;
