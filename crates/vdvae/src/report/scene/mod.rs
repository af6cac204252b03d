//! A drawing of lines, bars, dots, text and pixels: written once, shown as SVG (light and dark) and as
//! pixels.

mod font;
mod raster;
mod vector;

use super::axis::Scale;

pub use font::text_width;
pub use raster::png;
pub use vector::{data_url, svg};

/// A colour on a light page and on a dark one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ink {
    /// Red, green, blue on white.
    pub light: [u8; 3],
    /// The same on nearly black.
    pub dark: [u8; 3],
}

impl Ink {
    const fn new(light: u32, dark: u32) -> Self {
        const fn rgb(hex: u32) -> [u8; 3] {
            [(hex >> 16) as u8, (hex >> 8) as u8, hex as u8]
        }
        Self {
            light: rgb(light),
            dark: rgb(dark),
        }
    }

    /// Titles and values.
    pub const TEXT: Self = Self::new(0x1f2328, 0xe6edf3);
    /// Units, marks of the axes.
    pub const MUTED: Self = Self::new(0x59636e, 0x9aa4af);
    /// Lines that guide the eye.
    pub const GRID: Self = Self::new(0xe4e7ea, 0x2b323b);
    /// The axes.
    pub const AXIS: Self = Self::new(0x8c959f, 0x6b7580);
    /// What everything lies on.
    pub const SURFACE: Self = Self::new(0xffffff, 0x0f141a);

    /// For things that are told apart by name, the first being the most important. Okabe and Ito's
    /// colours, which every kind of colour vision tells apart, darker on white and lighter on black.
    pub const NAMED: [Self; 6] = [
        Self::new(0x0067a5, 0x56b4e9),
        Self::new(0xc24e00, 0xff9a4d),
        Self::new(0x00805c, 0x2fd0a0),
        Self::new(0xa8427f, 0xe79ac5),
        Self::new(0x7a6300, 0xe0cc4a),
        Self::new(0x4b5563, 0xb6bec8),
    ];

    /// For ordered things, `place` from 0 to 1: from violet to green, told apart by lightness alone.
    pub fn ordered(place: f64) -> Self {
        const LIGHT: [u32; 5] = [0x440154, 0x3b528b, 0x21918c, 0x3aa66e, 0x86b51f];
        const DARK: [u32; 5] = [0xb07cd8, 0x7f9be8, 0x45c4be, 0x6fe0a0, 0xd8ee6a];
        let at = place.clamp(0.0, 1.0) * (LIGHT.len() - 1) as f64;
        let below = (at as usize).min(LIGHT.len() - 2);
        let mix = |stops: &[u32; 5]| {
            let (from, to) = (
                Self::new(stops[below], 0).light,
                Self::new(stops[below + 1], 0).light,
            );
            std::array::from_fn(|i| {
                let between = Scale::new(
                    (below as f64, below as f64 + 1.0),
                    (f64::from(from[i]), f64::from(to[i])),
                );
                between.at(at).round() as u8
            })
        };
        Self {
            light: mix(&LIGHT),
            dark: mix(&DARK),
        }
    }
}

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

    /// A small image.
    pub fn picture(&mut self, corner: (f64, f64), side: f64, tile: Tile) {
        self.marks.push(Mark::Picture { corner, side, tile });
    }
}
