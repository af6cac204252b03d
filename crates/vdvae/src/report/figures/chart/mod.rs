//! Lines over the updates of a run, in panels one above the other.

mod lines;
mod updates;
mod vertical;

use super::WIDE;
use super::plot::Plot;
use crate::report::drawing::axis::{Scale, grouped};
use crate::report::drawing::{Ink, Scene, Style, room};

pub use lines::points;
use lines::{averaged, below};
pub use updates::{Updates, unit};
pub use vertical::Vertical;
use vertical::{position, vertical};

/// More points than this are a line without dots.
const MOST_DOTS: usize = 40;
const GAP: f64 = 26.0;
/// Height of a row of labels.
const ROW: f64 = 17.0;

/// A line.
#[derive(Clone, Debug)]
pub struct Series {
    /// What its end is labelled with, before its last value.
    pub name: String,
    /// Colour.
    pub ink: Ink,
    /// Steps, ascending, and values.
    pub points: Vec<(f64, f64)>,
    /// Whether single values are marked.
    pub dots: bool,
}

/// One chart with its own vertical axis.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What is measured.
    pub title: String,
    /// In what.
    pub unit: &'static str,
    /// Of the plot, in pixels.
    pub height: f64,
    /// How the vertical axis goes.
    pub vertical: Vertical,
    /// How the values at the lines' ends are written.
    pub write: fn(f64) -> String,
    /// The lines.
    pub series: Vec<Series>,
    /// A level that means something, and what.
    pub level: Option<(f64, String)>,
    /// Steps at which something happened, and what; marked at the top.
    pub events: Vec<(f64, String)>,
}

/// The panels above one horizontal axis.
pub fn draw(panels: &[Panel], updates: &Updates, width: f64) -> Scene {
    let wide = width >= WIDE;
    let right_labels = panels.iter().flat_map(|panel| {
        let series = panel.series.iter();
        series.map(|series| room(&label(series, panel)))
    });
    let right = if wide {
        right_labels.fold(40.0, f64::max) + 12.0
    } else {
        14.0
    };
    let right = width - right;
    // On a phone the labels are rows below the heading.
    let header = |panel: &Panel| match flow(panel, right).last() {
        Some(label) if !wide => 30.0 + ROW * (label.row + 1) as f64,
        _ => 30.0,
    };
    let heights = panels.iter().map(|panel| header(panel) + panel.height);
    let gaps = GAP * panels.len().saturating_sub(1) as f64;
    let mut scene = Scene::new(width, heights.sum::<f64>() + gaps + updates.height());
    let (mut bottom, mut last) = (-GAP, None);
    for panel in panels {
        let top = bottom + GAP + header(panel);
        bottom = top + panel.height;
        let plot = Plot {
            left: 52.0,
            right,
            top,
            bottom,
        };
        let x = updates.across(&plot);
        Frame { plot, x, wide }.draw(&mut scene, panel);
        last = Some(plot);
    }
    if let Some(plot) = last {
        updates.draw(&mut scene, &plot, wide);
    }
    scene
}

fn label(series: &Series, panel: &Panel) -> String {
    let last = series.points.last().map_or(f64::NAN, |point| point.1);
    let last = (panel.write)(last);
    format!("{} {last}", series.name).trim().to_owned()
}

/// A line's label on a phone.
struct Label {
    left: f64,
    row: usize,
    text: String,
    ink: Ink,
}

/// The labels of a panel's lines beside each other, in as many rows as they need.
fn flow(panel: &Panel, width: f64) -> Vec<Label> {
    let (mut left, mut row) = (4.0, 0);
    let drawn = panel
        .series
        .iter()
        .filter(|series| !series.points.is_empty());
    let labels = drawn.map(|series| {
        let text = label(series, panel);
        let length = room(&text);
        if left > 4.0 && left + length > width {
            (left, row) = (4.0, row + 1);
        }
        let label = Label {
            left,
            row,
            text,
            ink: series.ink,
        };
        left += length + 8.0;
        label
    });
    labels.collect()
}

/// Where a panel is.
struct Frame {
    plot: Plot,
    x: Scale,
    wide: bool,
}

impl Frame {
    fn draw(&self, scene: &mut Scene, panel: &Panel) {
        let Plot {
            left,
            right,
            top,
            bottom,
        } = self.plot;
        let labels = flow(panel, right);
        let rows = match labels.last() {
            Some(label) if !self.wide => label.row + 1,
            _ => 0,
        };
        let above = 15.0 + ROW * rows as f64;
        scene.heading(4.0, top - above, &panel.title, panel.unit);
        let (range, marks) = vertical(panel);
        let y = self.plot.upwards(range);
        self.plot.draw_marks(scene, &y, marks.into_iter());
        if let Some((level, text)) = &panel.level {
            let at = y.at(position(panel.vertical, *level));
            let ink = Ink::NAMED[1];
            scene.line(vec![(left, at), (right, at)], ink, 1.5, &[6.0, 4.0]);
            scene.text(left + 6.0, at - 6.0, text, Style::SMALL.strong(ink));
        }
        for (step, hint) in &panel.events {
            let at = self.x.at(*step);
            let extent = (3.0, bottom - top);
            scene.bar((at - 1.5, top), extent, Ink::GRID, String::new());
            scene.dot((at, top + 2.0), 4.0, Ink::NAMED[1], hint.clone());
        }
        for series in &panel.series {
            self.draw_series(scene, series, panel.vertical, &y);
        }
        self.draw_highest(scene, panel, range.1);
        if self.wide {
            self.draw_ends(scene, panel, &y);
        } else {
            for label in labels {
                let height = top - 14.0 - ROW * (rows - 1 - label.row) as f64;
                let style = Style::SMALL.strong(label.ink);
                scene.text(label.left, height, label.text, style);
            }
        }
    }

    fn draw_series(&self, scene: &mut Scene, series: &Series, vertical: Vertical, y: &Scale) {
        let place =
            |&(step, value): &(f64, f64)| (self.x.at(step), y.at(position(vertical, value)));
        let places: Vec<(f64, f64)> = averaged(&series.points).iter().map(place).collect();
        for piece in below(&places, self.plot.top) {
            scene.line(piece, series.ink, 2.0, &[]);
        }
        if series.dots && series.points.len() <= MOST_DOTS || series.points.len() == 1 {
            for (point, at) in series.points.iter().zip(&places) {
                if at.1 >= self.plot.top {
                    let hint = format!("update {}: {}", grouped(point.0, 0), point.1);
                    scene.dot(*at, 3.5, series.ink, hint);
                }
            }
        }
    }

    /// How high the values go that lie above the plot, at its upper right, which falling lines leave free.
    fn draw_highest(&self, scene: &mut Scene, panel: &Panel, shown: f64) {
        let points = panel.series.iter().flat_map(|series| &series.points);
        let highest = points.map(|point| point.1).fold(shown, f64::max);
        if panel.vertical == Vertical::Values && highest > shown {
            let text = format!("up to {} above the chart", (panel.write)(highest));
            let (x, y) = (self.plot.right - 4.0, self.plot.top + 14.0);
            scene.text(x, y, text, Style::SMALL.end());
        }
    }

    /// Each line's name and last value beside its end.
    fn draw_ends(&self, scene: &mut Scene, panel: &Panel, y: &Scale) {
        let ends = panel.series.iter().filter_map(|series| {
            let height = y.at(position(panel.vertical, series.points.last()?.1));
            Some((height, label(series, panel), series.ink))
        });
        self.plot.draw_labels(scene, ends.collect());
    }
}
