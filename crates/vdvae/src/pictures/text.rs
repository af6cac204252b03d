//! Small text in pictures.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

const WEIGHT: FontWeight = FontWeight::Regular;
const SIZE: RasterHeight = RasterHeight::Size16;

/// Height of a line of text, in pixels.
pub const HEIGHT: u32 = SIZE.val() as u32;

/// Width of the text on one line, in pixels.
pub fn width(text: &str) -> u32 {
    text.chars().count() as u32 * get_raster_width(WEIGHT, SIZE) as u32
}

/// Blends the text in `colour` over the picture; (`left`, `top`) is its corner. A character that the
/// font lacks (it has ASCII) becomes a question mark. What would lie outside the picture is left out.
pub fn draw(picture: &mut RgbImage, text: &str, left: u32, top: u32, colour: Rgb<u8>) {
    let advance = get_raster_width(WEIGHT, SIZE) as u32;
    for (index, character) in (0..).zip(text.chars()) {
        let raster = get_raster(character, WEIGHT, SIZE).or_else(|| get_raster('?', WEIGHT, SIZE));
        let rows = raster.iter().flat_map(|raster| raster.rows());
        for (y, row) in (top..).zip(rows) {
            for (x, &opacity) in (left + index * advance..).zip(row) {
                if let Some(pixel) = picture.get_pixel_mut_checked(x, y) {
                    blend(pixel, colour, opacity);
                }
            }
        }
    }
}

fn blend(pixel: &mut Rgb<u8>, colour: Rgb<u8>, opacity: u8) {
    for (under, over) in pixel.0.iter_mut().zip(colour.0) {
        let (a, b) = (u32::from(*under), u32::from(over));
        let opacity = u32::from(opacity);
        *under = ((a * (255 - opacity) + b * opacity + 127) / 255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Rgb<u8> = Rgb([255; 3]);
    const BLACK: Rgb<u8> = Rgb([0; 3]);

    fn drawn(text: &str) -> RgbImage {
        let mut picture = RgbImage::from_pixel(width(text), HEIGHT, WHITE);
        draw(&mut picture, text, 0, 0, BLACK);
        picture
    }

    #[test]
    fn letters_leave_ink_where_they_stand_and_spaces_none() {
        let picture = drawn("a b");
        let advance = picture.width() / 3;
        let ink = |columns: std::ops::Range<u32>| {
            let pixels = picture.enumerate_pixels();
            pixels
                .filter(|(x, _, pixel)| columns.contains(x) && pixel.0[0] < 128)
                .count()
        };
        assert!(ink(0..advance) > 10, "a");
        assert_eq!(ink(advance..2 * advance), 0, "space");
        assert!(ink(2 * advance..3 * advance) > 10, "b");
    }

    #[test]
    fn a_character_that_the_font_lacks_is_a_question_mark() {
        assert_eq!(drawn("\u{4e16}"), drawn("?"));
    }

    #[test]
    fn text_beyond_the_edge_is_cut() {
        let mut picture = RgbImage::from_pixel(10, 12, WHITE);
        draw(&mut picture, "wide", 4, 2, BLACK);
        assert_eq!(picture.dimensions(), (10, 12));
        assert!(picture.pixels().any(|pixel| pixel.0[0] < 128));
    }
}
