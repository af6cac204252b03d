//! How much each stochastic layer says about an image.

use super::axis::{Scale, Ticks, grouped, spread};
use super::svg::{Card, WIDTH};

const HEIGHT: f64 = 380.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 76.0;
const BOTTOM: f64 = HEIGHT - 84.0;
/// Between the centres of two labels under the bars.
const LABEL_GAP: f64 = 46.0;

/// From dark to light, told apart by lightness alone: for the lowest to the highest resolution.
const COLOURS: [[f64; 3]; 5] = [
    [68.0, 1.0, 84.0],
    [59.0, 82.0, 139.0],
    [33.0, 145.0, 140.0],
    [58.0, 186.0, 118.0],
    [150.0, 215.0, 64.0],
];

/// Consecutive layers of one resolution.
struct Group {
    resolution: usize,
    layers: std::ops::Range<usize>,
    /// Bits per dimension, all layers together.
    rate: f64,
}

/// A bar chart of the rate of every stochastic layer, as an SVG document.
///
/// `layers` are (resolution, bits per dimension), top-down. A rate that is not a positive number has no
/// bar.
pub fn rate_per_layer_svg(layers: &[(usize, f64)], title: &str) -> String {
    let groups = groups(layers);
    let total = groups.iter().fold(0.0, |sum, group| sum + group.rate);
    let title = format!("{title}: {total:.2} bits/dim in all");
    let count = layers.len();
    let plural = if count == 1 { "" } else { "s" };
    let subtitle =
        format!("{count} stochastic layer{plural}, top-down; rate of each in bits per dimension");
    let mut card = Card::new(&title, &subtitle, HEIGHT);
    let highest = layers
        .iter()
        .map(|&(_, rate)| bits(rate))
        .fold(0.0, f64::max);
    let ticks = Ticks::around(0.0, if highest > 0.0 { highest } else { 1.0 }, 5);
    let y = Scale::new(ticks.range(), (BOTTOM, TOP));
    for (value, text) in ticks.marks() {
        card.line((LEFT, y.at(value)), (RIGHT, y.at(value)), "grid");
        card.text(LEFT - 8.0, y.at(value) + 4.0, "end", &text);
    }
    let x = Scale::new((0.0, count as f64), (LEFT + 4.0, RIGHT - 4.0));
    let colours = colours(&groups);
    for (group, colour) in groups.iter().zip(&colours) {
        draw_bars(&mut card, group, layers, colour, (&x, &y));
    }
    card.line((LEFT, BOTTOM), (RIGHT, BOTTOM), "axis");
    draw_labels(&mut card, &groups, total, &x);
    card.finish()
}

/// A rate as the length of a bar.
fn bits(rate: f64) -> f64 {
    if rate.is_finite() { rate.max(0.0) } else { 0.0 }
}

fn groups(layers: &[(usize, f64)]) -> Vec<Group> {
    let mut begin = 0;
    let runs = layers.chunk_by(|(a, _), (b, _)| a == b).map(|run| {
        let layers = begin..begin + run.len();
        begin = layers.end;
        Group {
            resolution: run[0].0,
            layers,
            rate: run.iter().map(|&(_, rate)| bits(rate)).sum(),
        }
    });
    runs.collect()
}

/// A colour for each group, by the rank of its resolution.
fn colours(groups: &[Group]) -> Vec<String> {
    let mut resolutions: Vec<usize> = groups.iter().map(|group| group.resolution).collect();
    resolutions.sort_unstable();
    resolutions.dedup();
    let highest = resolutions.len().saturating_sub(1).max(1) as f64;
    let colour = |group: &Group| {
        let rank = resolutions.partition_point(|&lower| lower < group.resolution) as f64;
        let place = rank / highest * (COLOURS.len() - 1) as f64;
        let below = (place as usize).min(COLOURS.len() - 2);
        let [red, green, blue] = std::array::from_fn(|channel| {
            let (from, to) = (COLOURS[below][channel], COLOURS[below + 1][channel]);
            (from + (to - from) * (place - below as f64)).round() as u8
        });
        format!("#{red:02x}{green:02x}{blue:02x}")
    };
    groups.iter().map(colour).collect()
}

/// A bar for each layer of the group, and a line below them in the same colour.
fn draw_bars(
    card: &mut Card,
    group: &Group,
    layers: &[(usize, f64)],
    colour: &str,
    (x, y): (&Scale, &Scale),
) {
    let pitch = x.at(1.0) - x.at(0.0);
    let width = (0.8 * pitch).min(40.0);
    for layer in group.layers.clone() {
        let (_, rate) = layers[layer];
        let left = x.at(layer as f64 + 0.5) - width / 2.0;
        let size = (width, BOTTOM - y.at(bits(rate)));
        let hint = format!(
            "layer {} at {}: {rate:.4} bits/dim",
            layer + 1,
            size_text(group)
        );
        card.bar((left, BOTTOM - size.1), size, colour, &hint);
    }
    let (begin, end) = (group.layers.start as f64, group.layers.end as f64);
    let inset = (pitch - width).min(pitch * 0.2) / 2.0;
    let (left, right) = (x.at(begin) + inset, x.at(end) - inset);
    card.bar(
        (left, BOTTOM + 6.0),
        (right - left, 3.0),
        colour,
        &size_text(group),
    );
}

fn size_text(group: &Group) -> String {
    format!("{0}×{0}", group.resolution)
}

/// Below the bars: what resolution each group is, how many layers it has and how much of the rate.
fn draw_labels(card: &mut Card, groups: &[Group], total: f64, x: &Scale) {
    let centre =
        |group: &Group| (x.at(group.layers.start as f64) + x.at(group.layers.end as f64)) / 2.0;
    let wanted: Vec<f64> = groups.iter().map(centre).collect();
    let places = spread(
        &wanted,
        LABEL_GAP,
        LEFT + LABEL_GAP / 2.0,
        RIGHT - LABEL_GAP / 2.0,
    );
    for (row, heading) in [(0.0, "resolution"), (1.0, "layers"), (2.0, "share")] {
        card.text(LEFT - 8.0, BOTTOM + 34.0 + 17.0 * row, "end", heading);
    }
    for ((group, place), from) in groups.iter().zip(places).zip(wanted) {
        let share = if total > 0.0 {
            100.0 * group.rate / total
        } else {
            0.0
        };
        let decimals = usize::from(share < 9.95);
        card.line((from, BOTTOM + 9.0), (place, BOTTOM + 21.0), "axis");
        card.text(
            place,
            BOTTOM + 34.0,
            "label middle",
            &group.resolution.to_string(),
        );
        card.text(
            place,
            BOTTOM + 51.0,
            "middle",
            &group.layers.len().to_string(),
        );
        card.text(
            place,
            BOTTOM + 68.0,
            "middle",
            &format!("{} %", grouped(share, decimals)),
        );
    }
}

#[cfg(test)]
mod tests;
