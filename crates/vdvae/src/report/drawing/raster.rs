//! A drawing as pixels, in its light colours.

use std::io;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use tiny_skia::{
    Color, FillRule, FilterQuality, Paint, PathBuilder, Pixmap, PixmapPaint, Rect, Shader, Stroke,
    StrokeDash, Transform,
};

use super::font::{outline, text_width};
use super::{AFTER, Anchor, Ink, Mark, Scene, Style, Tile};

/// Picture pixels per pixel of the drawing: sharp on today's screens and in print.
const SCALE: f32 = 2.0;

/// The drawing as a PNG file.
///
/// # Errors
/// If the drawing has no pixels or too many, or the encoder fails.
pub fn png(scene: &Scene) -> io::Result<Vec<u8>> {
    let side = |length: f64| (length as f32 * SCALE).ceil() as u32;
    let mut canvas = Pixmap::new(side(scene.width), side(scene.height)).ok_or_else(|| {
        io::Error::other(format!(
            "a picture of {} x {} pixels is not possible",
            scene.width, scene.height
        ))
    })?;
    canvas.fill(colour(Ink::SURFACE));
    for mark in &scene.marks {
        draw(&mut canvas, mark);
    }
    let rgb: Vec<u8> = canvas
        .pixels()
        .iter()
        .flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()])
        .collect();
    encode(&rgb, canvas.width(), canvas.height())
}

/// Pixels [height, width, 3] as a PNG file.
///
/// # Errors
/// If the encoder fails.
pub fn encode(rgb: &[u8], width: u32, height: u32) -> io::Result<Vec<u8>> {
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(rgb, width, height, ExtendedColorType::Rgb8)
        .map_err(io::Error::other)?;
    Ok(file)
}

fn colour(ink: Ink) -> Color {
    let [red, green, blue] = ink.light;
    Color::from_rgba8(red, green, blue, 255)
}

fn paint(ink: Ink) -> Paint<'static> {
    Paint {
        shader: Shader::SolidColor(colour(ink)),
        ..Paint::default()
    }
}

fn draw(canvas: &mut Pixmap, mark: &Mark) {
    let scaled = Transform::from_scale(SCALE, SCALE);
    match mark {
        Mark::Line {
            points,
            ink,
            width,
            dash,
        } => draw_line(canvas, points, *ink, *width, dash),
        Mark::Bar {
            corner, size, ink, ..
        } => {
            let (x, y) = (corner.0 as f32, corner.1 as f32);
            if let Some(bar) = Rect::from_xywh(x, y, size.0 as f32, size.1 as f32) {
                canvas.fill_rect(bar, &paint(*ink), scaled, None);
            }
        }
        Mark::Dot {
            at,
            radius,
            ink,
            hollow,
            ..
        } => {
            let Some(path) = PathBuilder::from_circle(at.0 as f32, at.1 as f32, *radius as f32)
            else {
                return;
            };
            if *hollow {
                let stroke = Stroke {
                    width: 1.5,
                    ..Stroke::default()
                };
                canvas.stroke_path(&path, &paint(*ink), &stroke, scaled, None);
            } else {
                canvas.fill_path(&path, &paint(*ink), FillRule::Winding, scaled, None);
            }
        }
        Mark::Text {
            at,
            text,
            after,
            style,
        } => {
            draw_text(canvas, *at, text, style);
            let right = at.0 + text_width(text, style.size, style.bold) + AFTER;
            draw_text(canvas, (right, at.1), after, &Style::SMALL);
        }
        Mark::Picture { corner, side, tile } => draw_tile(canvas, *corner, *side, tile),
    }
}

fn draw_line(canvas: &mut Pixmap, points: &[(f64, f64)], ink: Ink, width: f64, dash: &[f64]) {
    let mut path = PathBuilder::new();
    for (index, &(x, y)) in points.iter().enumerate() {
        if index == 0 {
            path.move_to(x as f32, y as f32);
        } else {
            path.line_to(x as f32, y as f32);
        }
    }
    let stroke = Stroke {
        width: width as f32,
        line_join: tiny_skia::LineJoin::Round,
        dash: StrokeDash::new(dash.iter().map(|&length| length as f32).collect(), 0.0),
        ..Stroke::default()
    };
    if let Some(path) = path.finish() {
        let scaled = Transform::from_scale(SCALE, SCALE);
        canvas.stroke_path(&path, &paint(ink), &stroke, scaled, None);
    }
}

fn draw_text(canvas: &mut Pixmap, (x, y): (f64, f64), text: &str, style: &Style) {
    let width = text_width(text, style.size, style.bold);
    let left = match style.anchor {
        Anchor::Start => x,
        Anchor::Middle => x - width / 2.0,
        Anchor::End => x - width,
    };
    if let Some(path) = outline(text, (left, y), style.size, style.bold) {
        let scaled = Transform::from_scale(SCALE, SCALE);
        canvas.fill_path(&path, &paint(style.ink), FillRule::Winding, scaled, None);
    }
}

fn draw_tile(canvas: &mut Pixmap, (x, y): (f64, f64), side: f64, tile: &Tile) {
    let pixels = tile.side as u32;
    let Some(mut image) = Pixmap::new(pixels, pixels) else {
        return;
    };
    for (to, from) in image
        .data_mut()
        .chunks_exact_mut(4)
        .zip(tile.rgb().chunks_exact(3))
    {
        to[..3].copy_from_slice(from);
        to[3] = 255;
    }
    // Squares where pixels grow; a smooth mean where they shrink.
    let factor = side as f32 * SCALE / pixels as f32;
    let quality = if factor >= 1.0 {
        FilterQuality::Nearest
    } else {
        FilterQuality::Bilinear
    };
    let paint = PixmapPaint {
        quality,
        ..PixmapPaint::default()
    };
    let place = Transform::from_row(factor, 0.0, 0.0, factor, x as f32 * SCALE, y as f32 * SCALE);
    canvas.draw_pixmap(0, 0, image.as_ref(), &paint, place, None);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixel(scene: &Scene, x: u32, y: u32) -> [u8; 3] {
        let picture = image::load_from_memory(&png(scene).expect("encoded")).expect("a PNG");
        picture.to_rgb8().get_pixel(x, y).0
    }

    #[test]
    fn marks_leave_their_colour_where_they_are() {
        let mut scene = Scene::new(20.0, 20.0);
        scene.bar((2.0, 2.0), (4.0, 4.0), Ink::NAMED[0], String::new());
        scene.dot((15.0, 5.0), 3.0, Ink::NAMED[1], String::new());
        scene.line(vec![(0.0, 15.0), (20.0, 15.0)], Ink::TEXT, 2.0, &[]);
        let tile = Tile {
            pixels: vec![10, 200, 30, 40],
            side: 2,
        };
        scene.picture((10.0, 16.0), 4.0, tile);
        assert_eq!(pixel(&scene, 8, 8), Ink::NAMED[0].light);
        assert_eq!(pixel(&scene, 30, 10), Ink::NAMED[1].light);
        assert_eq!(pixel(&scene, 10, 30), Ink::TEXT.light);
        assert_eq!(pixel(&scene, 26, 34), [200; 3]);
        assert_eq!(pixel(&scene, 0, 0), [255; 3]);
    }

    #[test]
    fn text_is_drawn_where_its_anchor_says() {
        for (anchor, columns) in [
            (Anchor::Start, 40..80),
            (Anchor::Middle, 20..60),
            (Anchor::End, 0..40),
        ] {
            let mut scene = Scene::new(40.0, 20.0);
            let style = Style {
                anchor,
                ..Style::SMALL
            };
            scene.text(20.0, 15.0, "00", style);
            let picture = image::load_from_memory(&png(&scene).expect("encoded")).expect("a PNG");
            let inked = picture
                .to_rgb8()
                .enumerate_pixels()
                .all(|(x, _, pixel)| pixel.0 == [255; 3] || columns.contains(&x));
            assert!(inked, "{anchor:?}");
        }
    }

    #[test]
    fn a_drawing_without_pixels_is_an_error() {
        png(&Scene::new(0.0, 10.0)).expect_err("no pixels");
    }
}
