//! The outlines of letters, for pictures that are pixels.

use std::sync::LazyLock;

use skrifa::charmap::Charmap;
use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::outline::{DrawSettings, OutlineGlyphCollection, OutlinePen};
use skrifa::{FontRef, MetadataProvider};
use tiny_skia::{Path, PathBuilder};

static REGULAR: LazyLock<Option<Face>> = LazyLock::new(|| Face::new(notosans::REGULAR_TTF));
static BOLD: LazyLock<Option<Face>> = LazyLock::new(|| Face::new(notosans::BOLD_TTF));

/// A font's tables, in its own units.
struct Face {
    letters: Charmap<'static>,
    metrics: GlyphMetrics<'static>,
    outlines: OutlineGlyphCollection<'static>,
    /// Units that are the size of a letter.
    units: f32,
}

impl Face {
    fn new(file: &'static [u8]) -> Option<Self> {
        let font = FontRef::new(file).ok()?;
        let (size, location) = (Size::unscaled(), LocationRef::default());
        Some(Self {
            letters: font.charmap(),
            metrics: font.glyph_metrics(size, location),
            outlines: font.outline_glyphs(),
            units: font.metrics(size, location).units_per_em.into(),
        })
    }
}

fn face(bold: bool) -> Option<&'static Face> {
    if bold {
        BOLD.as_ref()
    } else {
        REGULAR.as_ref()
    }
}

/// Width of a line of text in pixels, for letters of `size` pixels. A browser's own font may be
/// narrower or a little wider.
pub fn text_width(text: &str, size: f64, bold: bool) -> f64 {
    let Some(face) = face(bold) else { return 0.0 };
    let advances = text
        .chars()
        .filter_map(|letter| face.metrics.advance_width(face.letters.map(letter)?));
    advances.map(f64::from).sum::<f64>() * size / f64::from(face.units)
}

/// The outlines of a line of text whose base line begins at (`x`, `y`); nothing for spaces.
pub fn outline(text: &str, (x, y): (f64, f64), size: f64, bold: bool) -> Option<Path> {
    let face = face(bold)?;
    let mut pen = Pen {
        path: PathBuilder::new(),
        scale: size as f32 / face.units,
        origin: (x as f32, y as f32),
    };
    for letter in text.chars() {
        let Some(glyph) = face.letters.map(letter) else {
            continue;
        };
        if let Some(outline) = face.outlines.get(glyph) {
            let settings = DrawSettings::unhinted(Size::unscaled(), LocationRef::default());
            // A letter whose outline is damaged is left out.
            let _ = outline.draw(settings, &mut pen);
        }
        pen.origin.0 += face.metrics.advance_width(glyph).unwrap_or(0.0) * pen.scale;
    }
    pen.path.finish()
}

/// Letters grow upwards in their font and downwards in a picture.
struct Pen {
    path: PathBuilder,
    scale: f32,
    origin: (f32, f32),
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (
            self.origin.0 + x * self.scale,
            self.origin.1 - y * self.scale,
        )
    }
}

impl OutlinePen for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_grow_with_text_and_size() {
        assert_eq!(text_width("", 12.0, false), 0.0);
        let one = text_width("0", 12.0, false);
        assert!((5.0..9.0).contains(&one), "{one}");
        assert!((text_width("0000", 24.0, false) - 8.0 * one).abs() < 1e-9);
        assert!(text_width("word", 12.0, true) > text_width("word", 12.0, false));
    }

    /// An L is as high as capitals are, stands on the base line, and begins beside it.
    #[test]
    fn outlines_are_the_letters() {
        let path = outline("L", (10.0, 50.0), 100.0, false).expect("a letter");
        let bounds = path.bounds();
        assert!((bounds.height() - 71.4).abs() < 0.1, "{bounds:?}");
        assert_eq!(bounds.bottom(), 50.0);
        assert!((18.0..22.0).contains(&bounds.left()), "{bounds:?}");
        assert_eq!(path.points().len(), 6);
        assert_eq!(outline(" ", (0.0, 0.0), 12.0, false), None);
    }

    #[test]
    fn the_signs_of_the_figures_are_in_the_font() {
        for sign in "0123456789.,%×±–·≤…<>()/=+".chars() {
            for bold in [false, true] {
                let letters = &face(bold).expect("a font").letters;
                assert!(letters.map(sign).is_some(), "{sign}");
            }
        }
    }
}
