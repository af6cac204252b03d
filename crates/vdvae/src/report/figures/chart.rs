//! Lines over the steps of a run, in panels one above the other.

use crate::report::axis::{Scale, Ticks, grouped, spread};
use crate::report::scene::{Ink, Scene, Style, room};

use super::WIDE;

/// More points than this are not told apart: a longer line is averaged down to it.
const MOST_POINTS: usize = 300;
/// More points than this are a line without dots.
const MOST_DOTS: usize = 40;
/// The share of a run at its start that the vertical axis need not show.
const START: f64 = 0.05;
/// The share of the later values that it has to show: a few wild ones do not squash the rest.
const CALM: f64 = 0.98;
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
    /// Lengths of dashes and gaps; none: solid.
    pub dash: Vec<f64>,
}

/// How the vertical axis goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vertical {
    /// Around the later values.
    Values,
    /// From 0.
    Zero,
    /// Equal factors are equal distances.
    Logarithmic,
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

/// Finite values only, steps ascending.
pub fn points(values: impl Iterator<Item = (u64, Option<f64>)>) -> Vec<(f64, f64)> {
    let values = values.filter_map(|(step, value)| Some((step as f64, value?)));
    let mut points: Vec<_> = values.filter(|(_, value)| value.is_finite()).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// The panels above one horizontal axis of steps.
pub fn draw(panels: &[Panel], last_step: f64, width: f64) -> Scene {
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
    let left = 52.0;
    // On a phone the labels are rows below the heading.
    let header = |panel: &Panel| match flow(panel, width - right).last() {
        Some(label) if !wide => 30.0 + ROW * (label.row + 1) as f64,
        _ => 30.0,
    };
    let heights = panels
        .iter()
        .map(|panel| header(panel) + panel.height + GAP);
    let height: f64 = heights.sum();
    let mut scene = Scene::new(width, height + 26.0);
    let x = Scale::new((0.0, last_step.max(1.0)), (left, width - right));
    let mut top = 0.0;
    for panel in panels {
        top += header(panel);
        let frame = Frame {
            x,
            left,
            right: width - right,
            top,
            bottom: top + panel.height,
            wide,
        };
        frame.draw(&mut scene, panel);
        top += panel.height + GAP;
    }
    let axis = top - GAP;
    for (step, text) in Ticks::whole(last_step, if wide { 6 } else { 4 }).marks() {
        scene.rule((x.at(step), axis), (x.at(step), axis + 5.0), Ink::AXIS);
        let furthest = width - room(&text) / 2.0 - 2.0;
        let at = x.at(step).min(furthest);
        scene.text(at, axis + 19.0, text, Style::SMALL.middle());
    }
    let middle = (left + width - right) / 2.0;
    scene.text(middle, axis + 38.0, "updates", Style::SMALL.middle());
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
    x: Scale,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    wide: bool,
}

impl Frame {
    fn draw(&self, scene: &mut Scene, panel: &Panel) {
        let labels = flow(panel, self.right);
        let rows = match labels.last() {
            Some(label) if !self.wide => label.row + 1,
            _ => 0,
        };
        let above = 15.0 + ROW * rows as f64;
        scene.heading(4.0, self.top - above, &panel.title, panel.unit);
        let (range, marks) = vertical(panel);
        let y = Scale::new(range, (self.bottom, self.top));
        for (value, text) in marks {
            scene.rule(
                (self.left, y.at(value)),
                (self.right, y.at(value)),
                Ink::GRID,
            );
            scene.text(self.left - 8.0, y.at(value) + 4.0, text, Style::SMALL.end());
        }
        scene.rule(
            (self.left, self.bottom),
            (self.right, self.bottom),
            Ink::AXIS,
        );
        if let Some((level, text)) = &panel.level {
            let at = y.at(position(panel.vertical, *level));
            let ink = Ink::NAMED[1];
            scene.line(
                vec![(self.left, at), (self.right, at)],
                ink,
                1.5,
                &[6.0, 4.0],
            );
            scene.text(self.left + 6.0, at - 6.0, text, Style::SMALL.strong(ink));
        }
        for (step, hint) in &panel.events {
            let at = self.x.at(*step);
            let ink = Ink::NAMED[1];
            scene.bar(
                (at - 1.5, self.top),
                (3.0, self.bottom - self.top),
                Ink::GRID,
                String::new(),
            );
            scene.dot((at, self.top + 2.0), 4.0, ink, hint.clone());
        }
        for series in &panel.series {
            self.draw_series(scene, series, panel.vertical, &y);
        }
        self.draw_labels(scene, panel, &y);
    }

    fn draw_series(&self, scene: &mut Scene, series: &Series, vertical: Vertical, y: &Scale) {
        let place =
            |&(step, value): &(f64, f64)| (self.x.at(step), y.at(position(vertical, value)));
        let places: Vec<(f64, f64)> = averaged(&series.points).iter().map(place).collect();
        for piece in below(&places, self.top) {
            scene.line(piece, series.ink, 2.0, &series.dash);
        }
        if series.dots && series.points.len() <= MOST_DOTS || series.points.len() == 1 {
            for (point, at) in series.points.iter().zip(&places) {
                if at.1 >= self.top {
                    let hint = format!("update {}: {}", grouped(point.0, 0), point.1);
                    scene.dot(*at, 3.5, series.ink, hint);
                }
            }
        }
    }

    /// At the lines' ends; on a phone above the plot.
    fn draw_labels(&self, scene: &mut Scene, panel: &Panel, y: &Scale) {
        if !self.wide {
            let labels = flow(panel, self.right);
            let rows = labels.last().map_or(0, |label| label.row + 1);
            for Label {
                left,
                row,
                text,
                ink,
            } in labels
            {
                let height = self.top - 14.0 - ROW * (rows - 1 - row) as f64;
                scene.text(left, height, text, Style::SMALL.strong(ink));
            }
            return;
        }
        let mut ends: Vec<(f64, &Series)> = Vec::new();
        for series in &panel.series {
            if let Some(end) = series.points.last() {
                ends.push((y.at(position(panel.vertical, end.1)), series));
            }
        }
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted: Vec<f64> = ends.iter().map(|end| end.0).collect();
        let places = spread(&wanted, 16.0, self.top, self.bottom);
        for (height, (_, series)) in places.into_iter().zip(ends) {
            let text = label(series, panel);
            scene.text(
                self.right + 10.0,
                height + 4.0,
                text,
                Style::SMALL.strong(series.ink),
            );
        }
    }
}

/// Where a value is on an axis before it is scaled.
fn position(vertical: Vertical, value: f64) -> f64 {
    match vertical {
        Vertical::Logarithmic => value.max(1e-12).log10(),
        Vertical::Values | Vertical::Zero => value,
    }
}

/// The ends of the vertical axis, and its marks with their texts.
fn vertical(panel: &Panel) -> ((f64, f64), Vec<(f64, String)>) {
    let (low, high) = shown(panel);
    let count = (panel.height / 34.0).clamp(2.0, 6.0) as usize;
    match panel.vertical {
        Vertical::Logarithmic => {
            let (low, high) = (low.max(1e-9).log10(), high.max(1e-9).log10());
            let (low, high) = (low - 0.05, high.max(low + 0.3) + 0.05);
            let digits: &[f64] = match high - low {
                span if span < 1.5 => &[1.0, 2.0, 5.0],
                span if span < 2.5 => &[1.0, 3.0],
                _ => &[1.0],
            };
            let decades = low.floor() as i32..=high.ceil() as i32;
            let marks = decades
                .flat_map(|decade| digits.iter().map(move |digit| digit * 10f64.powi(decade)));
            let marks = marks.filter(|mark| (low..=high).contains(&mark.log10()));
            (
                (low, high),
                marks.map(|mark| (mark.log10(), plain(mark))).collect(),
            )
        }
        Vertical::Values | Vertical::Zero => {
            let least = if panel.vertical == Vertical::Zero {
                1e-9
            } else {
                0.02
            };
            let missing = (least - (high - low)).max(0.0);
            let ticks = Ticks::around(low, high + missing, count);
            (ticks.range(), ticks.marks().collect())
        }
    }
}

/// A number without needless zeros.
fn plain(value: f64) -> String {
    let decimals = (-value.log10().floor()).max(0.0) as usize;
    grouped(value, decimals)
}

/// The least and the highest value that the axis shows.
fn shown(panel: &Panel) -> (f64, f64) {
    let points = || panel.series.iter().flat_map(|series| &series.points);
    let last_step = points().map(|point| point.0).fold(0.0, f64::max);
    let averaged: Vec<(f64, f64)> = panel
        .series
        .iter()
        .flat_map(|series| averaged(&series.points))
        .collect();
    let low = averaged
        .iter()
        .map(|point| point.1)
        .fold(f64::INFINITY, f64::min);
    let later = averaged.iter().filter(|point| point.0 >= START * last_step);
    let mut later: Vec<f64> = later.map(|point| point.1).collect();
    later.sort_by(f64::total_cmp);
    let calm = ((later.len().saturating_sub(1)) as f64 * CALM) as usize;
    let mut all = averaged.iter().map(|point| point.1);
    let high = match panel.vertical {
        Vertical::Values => later.get(calm).copied(),
        Vertical::Zero | Vertical::Logarithmic => all.by_ref().reduce(f64::max),
    };
    let high = high.unwrap_or(1.0);
    let ends = panel
        .series
        .iter()
        .filter_map(|series| series.points.last());
    let high = ends.map(|point| point.1).fold(high, f64::max);
    let (level, low) = match panel.vertical {
        Vertical::Zero => (None, 0.0),
        _ => (panel.level.as_ref().map(|level| level.0), low),
    };
    let high = level.map_or(high, |level| high.max(level * 1.15));
    if low.is_finite() {
        (low, high)
    } else {
        (0.0, 1.0)
    }
}

/// Means over neighbours, so that at most [`MOST_POINTS`] are left. The last point stays in its place.
fn averaged(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let each = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |chunk: &[(f64, f64)]| {
        let sum: f64 = chunk.iter().map(|point| point.1).sum();
        (chunk[chunk.len() - 1].0, sum / chunk.len() as f64)
    };
    let mut means: Vec<_> = points.rchunks(each).map(mean).collect();
    means.reverse();
    means
}

/// The pieces of a line that are not above `top` (heights grow downwards).
fn below(points: &[(f64, f64)], top: f64) -> Vec<Vec<(f64, f64)>> {
    let mut pieces = Vec::new();
    let mut piece: Vec<(f64, f64)> = Vec::new();
    let mut before: Option<(f64, f64)> = None;
    for &point in points {
        let crossing = before.filter(|before| (before.1 < top) != (point.1 < top));
        if let Some(before) = crossing {
            let x = Scale::new((before.1, point.1), (before.0, point.0)).at(top);
            piece.push((x, top));
        }
        if point.1 >= top {
            piece.push(point);
        } else if !piece.is_empty() {
            pieces.push(std::mem::take(&mut piece));
        }
        before = Some(point);
    }
    pieces.extend((!piece.is_empty()).then_some(piece));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_it_leaves_the_chart() {
        let points = [(0.0, -10.0), (10.0, 10.0), (20.0, 5.0), (30.0, -5.0)];
        let expected = vec![vec![(5.0, 0.0), (10.0, 10.0), (20.0, 5.0), (25.0, 0.0)]];
        assert_eq!(below(&points, 0.0), expected);
        assert!(below(&points[..1], 0.0).is_empty());
    }

    #[test]
    fn long_lines_are_averaged_to_their_end() {
        let points: Vec<(f64, f64)> = (1..=1000).map(|i| (f64::from(i), 2.0)).collect();
        let means = averaged(&points);
        assert_eq!(means.len(), 250);
        assert_eq!(means.last(), Some(&(1000.0, 2.0)));
    }

    #[test]
    fn values_that_are_no_numbers_are_left_out() {
        let values = [
            (3, Some(1.0)),
            (1, None),
            (2, Some(f64::NAN)),
            (0, Some(4.0)),
        ];
        assert_eq!(points(values.into_iter()), [(0.0, 4.0), (3.0, 1.0)]);
    }

    #[test]
    fn marks_of_equal_factors() {
        let panel = Panel {
            title: String::new(),
            unit: "",
            height: 200.0,
            vertical: Vertical::Logarithmic,
            write: |value| value.to_string(),
            series: vec![Series {
                name: String::new(),
                ink: Ink::TEXT,
                points: vec![(1.0, 3.0), (2.0, 40.0)],
                dots: false,
                dash: Vec::new(),
            }],
            level: Some((400.0, String::new())),
            events: Vec::new(),
        };
        let ((low, high), marks) = vertical(&panel);
        assert!(low < 3f64.log10() && high > 400f64.log10());
        let texts: Vec<String> = marks.into_iter().map(|mark| mark.1).collect();
        assert_eq!(texts, ["3", "10", "30", "100", "300"]);
    }
}
