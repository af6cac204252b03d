//! How much each stochastic layer says about an image.

use super::layers::ink;
use super::plot::Plot;
use super::{WIDE, percent, size};
use crate::report::drawing::axis::{Scale, Ticks, spread};
use crate::report::drawing::{Ink, Scene, Style};

const HEIGHT: f64 = 380.0;
/// Between the centres of two labels under the bars.
const LABEL_GAP: f64 = 46.0;

/// Consecutive layers of one resolution.
struct Group {
    resolution: usize,
    layers: std::ops::Range<usize>,
    /// Bits per dimension, all layers together.
    rate: f64,
    ink: Ink,
}

/// A bar for the rate of every stochastic layer.
///
/// `layers` are (resolution, bits per dimension), top-down. A rate that is not a positive number has no
/// bar.
pub fn rate_per_layer(name: &str, layers: &[(usize, f64)]) -> Scene {
    let groups = groups(layers);
    let total = groups.iter().fold(0.0, |sum, group| sum + group.rate);
    let mut scene = Scene::new(WIDE, HEIGHT);
    scene.title = format!("{name}: rate of each layer");
    scene.description = format!(
        "{} stochastic layers, top-down; {total:.2} bits per dimension in all",
        layers.len()
    );
    let after = format!("rate of each layer, bits per dimension; {total:.2} in all");
    scene.heading(4.0, 14.0, name, after);
    let plot = Plot {
        left: 76.0,
        right: WIDE - 12.0,
        top: 34.0,
        bottom: HEIGHT - 84.0,
    };
    let highest = layers
        .iter()
        .map(|&(_, rate)| bits(rate))
        .fold(0.0, f64::max);
    let ticks = Ticks::around(0.0, if highest > 0.0 { highest } else { 1.0 }, 5);
    let y = plot.upwards(ticks.range());
    let x = plot.across((0.0, layers.len() as f64));
    plot.draw_marks(&mut scene, &y, ticks.marks());
    for group in &groups {
        draw_bars(&mut scene, &plot, group, layers, (&x, &y));
    }
    draw_groups(&mut scene, &plot, &groups, total, &x);
    scene
}

/// A rate as the length of a bar.
fn bits(rate: f64) -> f64 {
    if rate.is_finite() { rate.max(0.0) } else { 0.0 }
}

fn groups(layers: &[(usize, f64)]) -> Vec<Group> {
    let mut resolutions: Vec<usize> = layers.iter().map(|&(resolution, _)| resolution).collect();
    resolutions.sort_unstable();
    resolutions.dedup();
    let mut begin = 0;
    let same = layers.chunk_by(|(a, _), (b, _)| a == b).map(|same| {
        let layers = begin..begin + same.len();
        begin = layers.end;
        Group {
            resolution: same[0].0,
            layers,
            rate: same.iter().map(|&(_, rate)| bits(rate)).sum(),
            ink: ink(same[0].0, &resolutions),
        }
    });
    same.collect()
}

/// A bar for each layer of the group, and a stripe below them in the same colour.
fn draw_bars(
    scene: &mut Scene,
    plot: &Plot,
    group: &Group,
    layers: &[(usize, f64)],
    (x, y): (&Scale, &Scale),
) {
    let pitch = x.at(1.0) - x.at(0.0);
    let width = (0.8 * pitch).min(40.0);
    for layer in group.layers.clone() {
        let (_, rate) = layers[layer];
        let corner = (x.at(layer as f64 + 0.5) - width / 2.0, y.at(bits(rate)));
        let extent = (width, plot.bottom - corner.1);
        let side = size(group.resolution);
        let hint = format!("layer {} at {side}: {rate:.4} bits/dim", layer + 1);
        scene.bar(corner, extent, group.ink, hint);
    }
    let (begin, end) = (group.layers.start as f64, group.layers.end as f64);
    let inset = (pitch - width).min(pitch * 0.2) / 2.0;
    let (left, right) = (x.at(begin) + inset, x.at(end) - inset);
    let stripe = (left, plot.bottom + 6.0);
    scene.bar(
        stripe,
        (right - left, 3.0),
        group.ink,
        size(group.resolution),
    );
}

/// Below the bars: what resolution each group is, how many layers it has and how much of the rate.
fn draw_groups(scene: &mut Scene, plot: &Plot, groups: &[Group], total: f64, x: &Scale) {
    let row = |number: usize| plot.bottom + 34.0 + 17.0 * number as f64;
    for (number, heading) in ["resolution", "layers", "share"].into_iter().enumerate() {
        scene.text(plot.left - 8.0, row(number), heading, Style::SMALL.end());
    }
    let centre =
        |group: &Group| (x.at(group.layers.start as f64) + x.at(group.layers.end as f64)) / 2.0;
    let wanted: Vec<f64> = groups.iter().map(centre).collect();
    let half = LABEL_GAP / 2.0;
    let places = spread(&wanted, LABEL_GAP, plot.left + half, plot.right - half);
    for ((group, place), from) in groups.iter().zip(places).zip(wanted) {
        let share = if total > 0.0 { group.rate / total } else { 0.0 };
        let texts = [
            group.resolution.to_string(),
            group.layers.len().to_string(),
            percent(share),
        ];
        let (above, below) = (plot.bottom + 9.0, plot.bottom + 21.0);
        scene.rule((from, above), (place, below), Ink::AXIS);
        for (number, text) in texts.into_iter().enumerate() {
            let style = match number {
                0 => Style::SMALL.strong(Ink::TEXT),
                _ => Style::SMALL,
            };
            scene.text(place, row(number), text, style.middle());
        }
    }
}

#[cfg(test)]
mod tests;
