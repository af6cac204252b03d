//! The outlines of letters, for pictures that are pixels.

use std::sync::LazyLock;

use tiny_skia::{Path, PathBuilder};
use ttf_parser::{Face, OutlineBuilder};

static REGULAR: LazyLock<Option<Face<'static>>> =
    LazyLock::new(|| Face::parse(notosans::REGULAR_TTF, 0).ok());
static BOLD: LazyLock<Option<Face<'static>>> =
    LazyLock::new(|| Face::parse(notosans::BOLD_TTF, 0).ok());

fn face(bold: bool) -> Option<&'static Face<'static>> {
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
        .filter_map(|letter| face.glyph_hor_advance(face.glyph_index(letter)?));
    advances.map(f64::from).sum::<f64>() * size / f64::from(face.units_per_em())
}

/// The outlines of a line of text whose base line begins at (`x`, `y`); nothing for spaces.
pub fn outline(text: &str, (x, y): (f64, f64), size: f64, bold: bool) -> Option<Path> {
    let face = face(bold)?;
    let mut pen = Pen {
        path: PathBuilder::new(),
        scale: size as f32 / f32::from(face.units_per_em()),
        origin: (x as f32, y as f32),
    };
    for letter in text.chars() {
        let Some(glyph) = face.glyph_index(letter) else {
            continue;
        };
        face.outline_glyph(glyph, &mut pen);
        pen.origin.0 += f32::from(face.glyph_hor_advance(glyph).unwrap_or(0)) * pen.scale;
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

impl OutlineBuilder for Pen {
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

    #[test]
    fn the_signs_of_the_figures_are_in_the_font() {
        for sign in "0123456789.,%×±–·≤…<>()/=+".chars() {
            for bold in [false, true] {
                assert!(
                    face(bold).expect("a font").glyph_index(sign).is_some(),
                    "{sign}"
                );
            }
        }
    }
}
