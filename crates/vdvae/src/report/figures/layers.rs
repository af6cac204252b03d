//! Figure 5 of the paper: the rate, summed up over the layers.

use super::plot::Plot;
use super::{Cell, Figure, Table, WIDE, short, size, why};
use crate::report::drawing::axis::{Scale, Ticks};
use crate::report::drawing::{Ink, Scene, Style, room};
use crate::report::measure::{LayerMeasures, RunMeasures};

pub(super) const TITLE: &str = "Rate over the layers";
const HEIGHT: f64 = 330.0;
const TOP: f64 = 30.0;
/// Of each run after the other.
const DASHES: [&[f64]; 4] = [&[], &[7.0, 4.0], &[2.0, 3.0], &[9.0, 3.0, 2.0, 3.0]];

/// Cumulative rate over the layers of all runs that were evaluated.
pub fn figure(runs: &[RunMeasures]) -> Figure {
    let evaluated: Vec<&RunMeasures> = runs.iter().filter(|run| run.evaluation.is_some()).collect();
    if evaluated.is_empty() {
        let why = why(&runs[0], "evaluation", "no images were evaluated");
        return Figure::missing("layers", TITLE, why);
    }
    let mut table = Table::new(&[
        "run",
        "layer",
        "resolution",
        "rate_bits_per_dim",
        "cumulative_rate_bits_per_dim",
    ]);
    for run in &evaluated {
        for layer in &run.layers {
            table.row([
                Cell::Text(run.name.clone()),
                Cell::Whole(layer.layer as u64),
                Cell::Whole(layer.resolution as u64),
                Cell::Number(layer.rate_bits_per_dim, 4),
                Cell::Number(layer.cumulative_rate_bits_per_dim, 4),
            ]);
        }
    }
    let reading = "What the latents down to each layer tell about an image, from the top layer to the last; \
        colours are resolutions. Where the line is flat, layers encode nothing; a model that uses all of \
        its depth rises throughout.";
    Figure::chart(
        "layers",
        TITLE,
        reading,
        |width| draw(&evaluated, width),
        table,
    )
}

/// The colour of a resolution, by its place among all.
pub(super) fn ink(resolution: usize, resolutions: &[usize]) -> Ink {
    let rank = resolutions.partition_point(|&lower| lower < resolution) as f64;
    Ink::ordered(rank / resolutions.len().saturating_sub(1).max(1) as f64)
}

/// Ascending, each once.
pub(super) fn resolutions<'a>(layers: impl Iterator<Item = &'a LayerMeasures>) -> Vec<usize> {
    let mut all: Vec<usize> = layers.map(|layer| layer.resolution).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn total(run: &RunMeasures) -> f64 {
    let last = run.layers.last();
    last.and_then(|layer| layer.cumulative_rate_bits_per_dim)
        .unwrap_or(0.0)
}

fn draw(runs: &[&RunMeasures], width: f64) -> Scene {
    let wide = width >= WIDE;
    let label = |run: &RunMeasures| format!("{} {:.2}", short(&run.name), total(run));
    let widest = runs.iter().map(|run| room(&label(run)));
    let beside = if wide {
        widest.fold(40.0, f64::max) + 14.0
    } else {
        14.0
    };
    let keys = if wide {
        0.0
    } else {
        17.0 * runs.len() as f64 + 4.0
    };
    let plot = Plot {
        left: 48.0,
        right: width - beside,
        top: TOP + keys,
        bottom: HEIGHT - 64.0 + keys,
    };
    let mut scene = Scene::new(width, HEIGHT + keys);
    scene.heading(4.0, 14.0, "cumulative rate", "bits per dimension");
    let depth = runs.iter().map(|run| run.depth).max().unwrap_or(1);
    let highest = runs.iter().map(|run| total(run)).fold(1e-6, f64::max);
    let ticks = Ticks::around(0.0, highest, 5);
    let (x, y) = (
        plot.across((0.0, depth as f64)),
        plot.upwards(ticks.range()),
    );
    plot.draw_marks(&mut scene, &y, ticks.marks());
    let all = resolutions(runs.iter().flat_map(|run| &run.layers));
    for (index, run) in runs.iter().enumerate().rev() {
        draw_run(
            &mut scene,
            run,
            (&x, &y),
            &all,
            DASHES[index % DASHES.len()],
        );
    }
    if wide {
        let ends = runs
            .iter()
            .map(|run| (y.at(total(run)), label(run), Ink::TEXT));
        plot.draw_labels(&mut scene, ends.collect());
    } else {
        draw_keys(&mut scene, runs.iter().map(|run| label(run)));
    }
    draw_stripes(&mut scene, &runs[0].layers, &all, &x, plot.bottom);
    for (layer, text) in Ticks::whole(depth as f64, if wide { 10 } else { 6 }).marks() {
        scene.text(x.at(layer), plot.bottom + 40.0, text, Style::SMALL.middle());
    }
    plot.draw_caption(&mut scene, 58.0, "stochastic layers, from the top");
    scene
}

fn draw_run(
    scene: &mut Scene,
    run: &RunMeasures,
    (x, y): (&Scale, &Scale),
    resolutions: &[usize],
    dash: &[f64],
) {
    let mut from = (x.at(0.0), y.at(0.0));
    for layers in run.layers.chunk_by(|a, b| a.resolution == b.resolution) {
        let ink = ink(layers[0].resolution, resolutions);
        let mut points = vec![from];
        for layer in layers {
            let height = layer.cumulative_rate_bits_per_dim.unwrap_or(0.0);
            points.push((x.at(layer.layer as f64), y.at(height)));
        }
        from = points[points.len() - 1];
        let few = run.depth <= 24;
        let dots: Vec<(f64, f64)> = points[1..].to_vec();
        scene.line(points, ink, 2.5, dash);
        for (at, layer) in dots.into_iter().zip(layers).filter(|_| few) {
            let rate = layer.rate_bits_per_dim.unwrap_or(0.0);
            let side = size(layer.resolution);
            scene.dot(
                at,
                3.5,
                ink,
                format!("layer {} at {side}: {rate:.4} bits/dim", layer.layer),
            );
        }
    }
}

/// The runs' names beside samples of their lines, above the plot.
fn draw_keys(scene: &mut Scene, labels: impl Iterator<Item = String>) {
    for (index, label) in labels.enumerate() {
        let height = TOP + 17.0 * index as f64 + 2.0;
        let sample = vec![(4.0, height - 4.0), (32.0, height - 4.0)];
        scene.line(sample, Ink::TEXT, 2.0, DASHES[index % DASHES.len()]);
        scene.text(38.0, height, label, Style::SMALL.strong(Ink::TEXT));
    }
}

/// Below the axis a stripe for each resolution, with its name where there is room.
pub(super) fn draw_stripes(
    scene: &mut Scene,
    layers: &[LayerMeasures],
    all: &[usize],
    x: &Scale,
    bottom: f64,
) {
    for layers in layers.chunk_by(|a, b| a.resolution == b.resolution) {
        let from = x.at(layers[0].layer as f64 - 1.0) + 1.0;
        let to = x.at(layers[layers.len() - 1].layer as f64) - 1.0;
        let resolution = layers[0].resolution;
        let hint = size(resolution);
        let extent = (to - from, 5.0);
        scene.bar(
            (from, bottom + 4.0),
            extent,
            ink(resolution, all),
            hint.clone(),
        );
        let texts = [hint, resolution.to_string()];
        if let Some(text) = texts.into_iter().find(|text| room(text) <= to - from) {
            let style = Style::SMALL.strong(Ink::TEXT).middle();
            scene.text((from + to) / 2.0, bottom + 22.0, text, style);
        }
    }
}
