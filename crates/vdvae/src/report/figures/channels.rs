//! Latents that carry no information.

use super::layers::{draw_stripes, ink, resolutions};
use super::plot::Plot;
use super::{Cell, Figure, Table, WIDE, percent, size, why};
use crate::report::drawing::axis::{Scale, Ticks, grouped};
use crate::report::drawing::{Ink, Scene, Style};
use crate::report::measure::{NOTHING_NATS, RunMeasures};

pub(super) const TITLE: &str = "Latent channels";
const HEIGHT: f64 = 320.0;
const TOP: f64 = 30.0;
/// What is below it is drawn there.
const LEAST: f64 = 1e-4;

/// What every channel of every layer tells.
pub fn figure(run: &RunMeasures) -> Figure {
    let Some(share) = run.share_without_information() else {
        let why = why(run, "evaluation", "no images were evaluated");
        return Figure::missing("channels", TITLE, why);
    };
    let mut table = Table::new(&["layer", "resolution", "channel", "kl_nats_per_image"]);
    for layer in &run.layers {
        for (channel, &kl) in layer.channel_kl_nats.iter().enumerate() {
            table.row([
                Cell::Whole(layer.layer as u64),
                Cell::Whole(layer.resolution as u64),
                Cell::Whole(channel as u64 + 1),
                Cell::Number(Some(kl), 4),
            ]);
        }
    }
    let count = table.rows.len();
    let reading = format!(
        "Each dot is a latent channel: how much its posterior tells about an image, all positions \
         together. {} of {count} channels are below {NOTHING_NATS} nats and carry no information (rings).",
        percent(share)
    );
    Figure::chart("channels", TITLE, reading, |width| draw(run, width), table)
}

fn draw(run: &RunMeasures, width: f64) -> Scene {
    let wide = width >= WIDE;
    let plot = Plot {
        left: 56.0,
        right: width - 12.0,
        top: TOP,
        bottom: HEIGHT - 62.0,
    };
    let Plot { left, right, .. } = plot;
    let mut scene = Scene::new(width, HEIGHT);
    scene.heading(4.0, 14.0, "KL of each channel", "nats per image");
    let all = || run.layers.iter().flat_map(|layer| &layer.channel_kl_nats);
    let most = all().copied().fold(NOTHING_NATS * 10.0, f64::max);
    let least = all()
        .copied()
        .fold(NOTHING_NATS / 10.0, f64::min)
        .max(LEAST);
    let range = (least.log10().floor(), most.log10().ceil());
    // The lowest dots do not touch the axis.
    let y = Scale::new(range, (plot.bottom - 6.0, TOP));
    let decades = range.0 as i32..=range.1 as i32;
    let marks = decades.map(|decade| {
        let value = 10f64.powi(decade);
        let text = grouped(value, usize::try_from(-decade).unwrap_or(0));
        let least = if value <= LEAST { "≤" } else { "" };
        (f64::from(decade), format!("{least}{text}"))
    });
    plot.draw_marks(&mut scene, &y, marks);
    let nothing = y.at(NOTHING_NATS.log10());
    scene.line(
        vec![(left, nothing), (right, nothing)],
        Ink::NAMED[1],
        1.5,
        &[6.0, 4.0],
    );
    let style = Style::SMALL.strong(Ink::NAMED[1]);
    scene.text(left + 4.0, nothing + 15.0, "no information below", style);
    let x = plot.across((0.0, run.depth as f64));
    draw_dots(&mut scene, run, &x, &y);
    draw_axis(&mut scene, run, &x, (plot.bottom, wide));
    plot.draw_caption(&mut scene, 58.0, "stochastic layers, from the top");
    scene
}

/// A column for each layer, channels beside each other so that equal ones are not hidden.
fn draw_dots(scene: &mut Scene, run: &RunMeasures, x: &Scale, y: &Scale) {
    let sides = resolutions(run.layers.iter());
    let pitch = x.at(1.0) - x.at(0.0);
    for layer in &run.layers {
        let count = layer.channel_kl_nats.len() as f64;
        let spread = (0.6 * pitch).min(9.0 * count);
        let radius = (spread / count / 2.0).clamp(1.5, 4.0);
        for (channel, &kl) in layer.channel_kl_nats.iter().enumerate() {
            let within = (channel as f64 + 0.5) / count - 0.5;
            let at = (
                x.at(layer.layer as f64 - 0.5) + within * spread,
                y.at(kl.max(LEAST).log10()),
            );
            let hint = format!(
                "layer {} at {}, channel {}: {kl:.4} nats",
                layer.layer,
                size(layer.resolution),
                channel + 1
            );
            if kl < NOTHING_NATS {
                scene.ring(at, radius, Ink::NAMED[1], hint);
            } else {
                scene.dot(at, radius, ink(layer.resolution, &sides), hint);
            }
        }
    }
}

/// Stripes of the resolutions with their names, and the layers' numbers.
fn draw_axis(scene: &mut Scene, run: &RunMeasures, x: &Scale, (bottom, wide): (f64, bool)) {
    let sides = resolutions(run.layers.iter());
    draw_stripes(scene, &run.layers, &sides, x, bottom);
    for (layer, text) in Ticks::whole(run.depth as f64, if wide { 10 } else { 6 }).marks() {
        if layer >= 1.0 {
            scene.text(
                x.at(layer - 0.5),
                bottom + 40.0,
                text,
                Style::SMALL.middle(),
            );
        }
    }
}
