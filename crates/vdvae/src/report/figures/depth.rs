//! What depth gains: a set of runs.

use super::WIDE;
use super::plot::Plot;
use crate::report::drawing::axis::{Scale, Ticks};
use crate::report::drawing::{Ink, Scene, room};

const HEIGHT: f64 = 400.0;
const TITLE: &str = "Bits per dimension against depth";

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

/// Runs that differ in their depth alone.
struct Variant<'a> {
    name: &'a str,
    ink: Ink,
    runs: Vec<&'a DepthPoint>,
}

/// Bits per dimension against the number of stochastic layers: a dot for every run, a line through the means
/// of each variant's depths.
pub fn bits_by_depth(points: &[DepthPoint]) -> Scene {
    let finite = points.iter().filter(|point| point.bits_per_dim.is_finite());
    let points: Vec<&DepthPoint> = finite.collect();
    if points.is_empty() {
        return Scene::saying(TITLE, "no finished run yet");
    }
    let variants = variants(&points);
    let beside = variants.iter().map(|variant| room(variant.name));
    let plot = Plot {
        left: 52.0,
        right: WIDE - 22.0 - beside.fold(0.0, f64::max),
        top: 34.0,
        bottom: HEIGHT - 48.0,
    };
    let mut scene = Scene::new(WIDE, HEIGHT);
    scene.title = TITLE.to_owned();
    scene.description = "Each dot is a run, lines go through the means over seeds".to_owned();
    let after = "bits/dim on the test split; each dot a run, lines through the means over seeds";
    scene.heading(4.0, 14.0, TITLE, after);
    let losses = || points.iter().map(|point| point.bits_per_dim);
    let (low, high) = (
        losses().fold(f64::INFINITY, f64::min),
        losses().fold(f64::NEG_INFINITY, f64::max),
    );
    let ticks = Ticks::around(low, high, 6);
    let y = plot.upwards(ticks.range());
    plot.draw_marks(&mut scene, &y, ticks.marks());
    let mut depths: Vec<usize> = points.iter().map(|point| point.depth).collect();
    depths.sort_unstable();
    depths.dedup();
    let deepest = depths.last().map_or(1, |&depth| depth.max(1));
    let x = plot.across((0.0, deepest as f64 * 1.02));
    for depth in depths {
        plot.draw_tick(&mut scene, x.at(depth as f64), depth.to_string());
    }
    plot.draw_caption(&mut scene, 38.0, "stochastic layers");
    let ends = variants.iter().filter_map(|variant| {
        let end = variant.draw(&mut scene, (&x, &y))?;
        Some((end, variant.name.to_owned(), variant.ink))
    });
    let ends = ends.collect();
    plot.draw_labels(&mut scene, ends);
    scene
}

/// The published architecture first. It has its colour whether it is there or not.
fn variants<'a>(points: &[&'a DepthPoint]) -> Vec<Variant<'a>> {
    let mut names: Vec<&str> = points.iter().map(|point| &*point.variant).collect();
    names.sort_unstable();
    names.dedup();
    let first = usize::from(!names.contains(&""));
    let variant = |(rank, name): (usize, &'a str)| Variant {
        name: if name.is_empty() {
            "as published"
        } else {
            name
        },
        ink: Ink::NAMED[rank % Ink::NAMED.len()],
        runs: points
            .iter()
            .copied()
            .filter(|point| point.variant == name)
            .collect(),
    };
    (first..).zip(names).map(variant).collect()
}

impl Variant<'_> {
    /// Returns the height of the line's end.
    fn draw(&self, scene: &mut Scene, (x, y): (&Scale, &Scale)) -> Option<f64> {
        let means = self.means().into_iter();
        let line: Vec<(f64, f64)> = means
            .map(|(depth, mean)| (x.at(depth as f64), y.at(mean)))
            .collect();
        let end = line.last().map(|end| end.1);
        scene.line(line, self.ink, 2.0, &[]);
        for run in &self.runs {
            let at = (x.at(run.depth as f64), y.at(run.bits_per_dim));
            let hint = format!("{}: {:.4} bits/dim", run.name, run.bits_per_dim);
            scene.dot(at, 3.5, self.ink, hint);
        }
        end
    }

    /// The mean of each depth, ascending.
    fn means(&self) -> Vec<(usize, f64)> {
        let mut sorted = self.runs.clone();
        sorted.sort_by_key(|run| run.depth);
        let same = sorted.chunk_by(|a, b| a.depth == b.depth).map(|same| {
            let sum: f64 = same.iter().map(|run| run.bits_per_dim).sum();
            (same[0].depth, sum / same.len() as f64)
        });
        same.collect()
    }
}

#[cfg(test)]
mod tests;
