//! Where a plot is within its drawing, and what every plot has: marks, axes, labels.

use crate::report::drawing::axis::{Scale, spread};
use crate::report::drawing::{Ink, Scene, Style, room};

/// Between the base lines of two labels.
const LABEL_GAP: f64 = 16.0;

/// The edges of a plot, in pixels.
#[derive(Clone, Copy, Debug)]
pub struct Plot {
    /// Where the marks' texts end.
    pub left: f64,
    /// Where the labels begin.
    pub right: f64,
    /// Of the highest value.
    pub top: f64,
    /// Of the horizontal axis.
    pub bottom: f64,
}

impl Plot {
    /// Positions from left to right.
    pub fn across(&self, range: (f64, f64)) -> Scale {
        Scale::new(range, (self.left, self.right))
    }

    /// Heights from the bottom up.
    pub fn upwards(&self, range: (f64, f64)) -> Scale {
        Scale::new(range, (self.bottom, self.top))
    }

    /// The horizontal axis, and a line across with its text at each of the marks (value, text).
    pub fn draw_marks(
        &self,
        scene: &mut Scene,
        y: &Scale,
        marks: impl Iterator<Item = (f64, String)>,
    ) {
        let Self { left, right, .. } = *self;
        for (value, text) in marks {
            let at = y.at(value);
            scene.rule((left, at), (right, at), Ink::GRID);
            scene.text(left - 8.0, at + 4.0, text, Style::SMALL.end());
        }
        scene.rule((left, self.bottom), (right, self.bottom), Ink::AXIS);
    }

    /// A short line below the axis, and its text as near to it as the drawing has room; returns where.
    pub fn draw_tick(&self, scene: &mut Scene, at: f64, text: String) -> f64 {
        scene.rule((at, self.bottom), (at, self.bottom + 5.0), Ink::AXIS);
        let middle = at.min(scene.width - room(&text) / 2.0 - 2.0);
        scene.text(middle, self.bottom + 19.0, text, Style::SMALL.middle());
        middle
    }

    /// What the horizontal axis is, in its middle, so far below it.
    pub fn draw_caption(&self, scene: &mut Scene, below: f64, text: impl Into<String>) {
        let middle = (self.left + self.right) / 2.0;
        scene.text(middle, self.bottom + below, text, Style::SMALL.middle());
    }

    /// Labels (height of what is labelled, text, colour) right of the plot.
    pub fn draw_labels(&self, scene: &mut Scene, mut labels: Vec<(f64, String, Ink)>) {
        labels.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted: Vec<f64> = labels.iter().map(|label| label.0).collect();
        let places = spread(&wanted, LABEL_GAP, self.top, self.bottom);
        for (height, (_, text, ink)) in places.into_iter().zip(labels) {
            let style = Style::SMALL.strong(ink);
            scene.text(self.right + 10.0, height + 4.0, text, style);
        }
    }
}
