//! A drawing of lines, bars, dots, text and pixels: written once, shown as SVG (light and dark) and as
//! pixels.

pub mod axis;
mod font;
mod ink;
mod raster;
mod vector;

pub use font::text_width;
pub use ink::Ink;
pub use raster::png;
pub use vector::{data_url, svg};

/// Where text stands from its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Begins there.
    Start,
    /// Is centred there.
    Middle,
    /// Ends there.
    End,
}

/// How text looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// Pixels.
    pub size: f64,
    /// Heavier strokes.
    pub bold: bool,
    /// Colour.
    pub ink: Ink,
    /// Where it stands.
    pub anchor: Anchor,
}

impl Style {
    /// Marks and units, 12 pixels.
    pub const SMALL: Self = Self {
        size: 12.0,
        bold: false,
        ink: Ink::MUTED,
        anchor: Anchor::Start,
    };

    /// Ending at its point.
    pub fn end(self) -> Self {
        Self {
            anchor: Anchor::End,
            ..self
        }
    }

    /// Centred at its point.
    pub fn middle(self) -> Self {
        Self {
            anchor: Anchor::Middle,
            ..self
        }
    }

    /// Bold and in a colour.
    pub fn strong(self, ink: Ink) -> Self {
        Self {
            bold: true,
            ink,
            ..self
        }
    }
}

/// A thing in the drawing.
#[derive(Clone, Debug)]
pub enum Mark {
    /// A line through points.
    Line {
        /// x, y.
        points: Vec<(f64, f64)>,
        /// Colour.
        ink: Ink,
        /// Pixels.
        width: f64,
        /// Lengths of dashes and gaps; none: solid.
        dash: Vec<f64>,
    },
    /// A filled rectangle.
    Bar {
        /// Left upper corner.
        corner: (f64, f64),
        /// Width, height.
        size: (f64, f64),
        /// Colour.
        ink: Ink,
        /// What a pointer over it is told.
        hint: String,
    },
    /// A circle.
    Dot {
        /// Centre.
        at: (f64, f64),
        /// Pixels.
        radius: f64,
        /// Colour.
        ink: Ink,
        /// Only its outline.
        hollow: bool,
        /// What a pointer over it is told.
        hint: String,
    },
    /// A line of text on its base line.
    Text {
        /// x, y.
        at: (f64, f64),
        /// What it says.
        text: String,
        /// A unit or the like that follows, muted; or nothing.
        after: String,
        /// How it looks.
        style: Style,
    },
    /// Pixels, each a square.
    Picture {
        /// Left upper corner.
        corner: (f64, f64),
        /// Width and height in the drawing.
        side: f64,
        /// The image.
        tile: Tile,
    },
}

/// A small square image.
#[derive(Clone, Debug)]
pub struct Tile {
    /// [side, side, channels], 1 or 3 channels.
    pub pixels: Vec<u8>,
    /// Pixels.
    pub side: usize,
}

impl Tile {
    /// [side, side, 3].
    pub fn rgb(&self) -> Vec<u8> {
        let channels = self.pixels.len() / (self.side * self.side);
        if channels == 3 {
            return self.pixels.clone();
        }
        self.pixels.iter().flat_map(|&value| [value; 3]).collect()
    }
}

/// Between a text and what follows it, in pixels.
const AFTER: f64 = 7.0;

/// Pixels to keep free for a line of bold text of 12 pixels: a browser's own letters may be a fifth wider
/// than ours.
pub fn room(text: &str) -> f64 {
    1.2 * text_width(text, 12.0, true)
}

/// A drawing in the making. Later marks lie over earlier ones.
#[derive(Clone, Debug)]
pub struct Scene {
    /// In a few words.
    pub title: String,
    /// For those who do not see it.
    pub description: String,
    /// Pixels.
    pub width: f64,
    /// Pixels.
    pub height: f64,
    /// What is drawn.
    pub marks: Vec<Mark>,
}

impl Scene {
    /// Only words, where there is nothing to draw yet.
    pub fn saying(title: &str, words: &str) -> Self {
        let (width, height) = (420.0, 80.0);
        let mut scene = Self::new(width, height);
        scene.title = title.to_owned();
        scene.heading(4.0, 14.0, title, "");
        scene.text(width / 2.0, 46.0, words, Style::SMALL.middle());
        scene
    }

    /// An empty drawing.
    pub fn new(width: f64, height: f64) -> Self {
        Self {
            title: String::new(),
            description: String::new(),
            width,
            height,
            marks: Vec::new(),
        }
    }

    /// A straight thin line.
    pub fn rule(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink) {
        self.line(vec![from, to], ink, 1.0, &[]);
    }

    /// A line through points.
    pub fn line(&mut self, points: Vec<(f64, f64)>, ink: Ink, width: f64, dash: &[f64]) {
        self.marks.push(Mark::Line {
            points,
            ink,
            width,
            dash: dash.to_vec(),
        });
    }

    /// A filled rectangle.
    pub fn bar(&mut self, corner: (f64, f64), size: (f64, f64), ink: Ink, hint: String) {
        self.marks.push(Mark::Bar {
            corner,
            size,
            ink,
            hint,
        });
    }

    /// A filled circle.
    pub fn dot(&mut self, at: (f64, f64), radius: f64, ink: Ink, hint: String) {
        self.marks.push(Mark::Dot {
            at,
            radius,
            ink,
            hollow: false,
            hint,
        });
    }

    /// The outline of a circle.
    pub fn ring(&mut self, at: (f64, f64), radius: f64, ink: Ink, hint: String) {
        self.marks.push(Mark::Dot {
            at,
            radius,
            ink,
            hollow: true,
            hint,
        });
    }

    /// A line of text.
    pub fn text(&mut self, x: f64, y: f64, text: impl Into<String>, style: Style) {
        self.marks.push(Mark::Text {
            at: (x, y),
            text: text.into(),
            after: String::new(),
            style,
        });
    }

    /// A bold line of text with a unit or the like after it.
    pub fn heading(&mut self, x: f64, y: f64, text: impl Into<String>, after: impl Into<String>) {
        self.marks.push(Mark::Text {
            at: (x, y),
            text: text.into(),
            after: after.into(),
            style: Style::SMALL.strong(Ink::TEXT),
        });
    }

    /// What the texts say, in their order, each before what follows it.
    #[cfg(test)]
    pub fn texts(&self) -> Vec<&str> {
        let texts = self.marks.iter().filter_map(|mark| match mark {
            Mark::Text { text, after, .. } => Some([text.as_str(), after]),
            _ => None,
        });
        texts.flatten().filter(|text| !text.is_empty()).collect()
    }

    /// A small image.
    pub fn picture(&mut self, corner: (f64, f64), side: f64, tile: Tile) {
        self.marks.push(Mark::Picture { corner, side, tile });
    }
}
