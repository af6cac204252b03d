//! Pictures of images side by side, and single images, as PNG.

use std::io::{self, Write};
use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError, Rgb, RgbImage};

use super::text;
use crate::files;

/// Between images, in pixels.
const GAP: u32 = 2;
/// Around everything, and between a caption and its row.
const MARGIN: u32 = 8;
/// The least side of an image in the picture; smaller ones are enlarged by a whole factor.
const LEAST_SIDE: u32 = 96;
const BACKGROUND: Rgb<u8> = Rgb([Grid::BACKGROUND; 3]);
const INK: Rgb<u8> = Rgb([40; 3]);

/// Rows of equal-sized square images, each with a caption on its left.
///
/// Images are bytes, [n, size, size, channels], 1 (gray) or 3 (RGB) channels. Small ones are enlarged
/// by a whole factor, each pixel becoming a square, so that nothing is blurred.
#[derive(Clone, Debug)]
pub struct Grid {
    size: usize,
    channels: usize,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    caption: String,
    /// [n, size, size, channels].
    images: Vec<u8>,
}

impl Grid {
    /// The value of the background in all channels: an image of it is a gap.
    pub const BACKGROUND: u8 = 250;

    /// A grid without rows, for images [size, size, channels].
    ///
    /// # Panics
    /// If `size` is 0, or `channels` neither 1 nor 3.
    pub fn new(size: usize, channels: usize) -> Self {
        assert!(size > 0, "images without pixels");
        assert!(matches!(channels, 1 | 3), "{channels} channels, not 1 or 3");
        Self {
            size,
            channels,
            rows: Vec::new(),
        }
    }

    /// Images [n, size, size, channels] without captions, in rows so that the whole is nearly square.
    ///
    /// # Panics
    /// As [`Grid::new`] and [`Grid::row`].
    pub fn near_square(size: usize, channels: usize, images: &[u8]) -> Self {
        let grid = Self::new(size, channels);
        let columns = near_square_columns(images.len() / grid.bytes_per_image());
        let bytes_per_row = columns * grid.bytes_per_image();
        images
            .chunks(bytes_per_row)
            .fold(grid, |grid, row| grid.row("", row))
    }

    /// Adds a row below the others. `images`: [n, size, size, channels]; rows may differ in n, and an
    /// empty caption is none.
    ///
    /// # Panics
    /// If `images` does not consist of whole images.
    pub fn row(mut self, caption: impl Into<String>, images: &[u8]) -> Self {
        let each = self.bytes_per_image();
        assert!(
            images.len().is_multiple_of(each),
            "{} bytes are no whole number of images of {each} bytes",
            images.len()
        );
        self.rows.push(Row {
            caption: caption.into(),
            images: images.to_vec(),
        });
        self
    }

    /// Writes the picture as a PNG file, atomically.
    ///
    /// # Errors
    /// What the file system returned; it does not name `path`.
    pub fn save_png(&self, path: &Path) -> io::Result<()> {
        let picture = self.picture();
        let (width, height) = picture.dimensions();
        files::write_atomically(path, |writer| {
            encode(writer, &picture, width, height, ExtendedColorType::Rgb8)
        })
    }

    fn bytes_per_image(&self) -> usize {
        self.size * self.size * self.channels
    }

    /// How many picture pixels are the side of one image pixel.
    fn factor(&self) -> u32 {
        LEAST_SIDE.div_ceil(self.size as u32)
    }

    fn picture(&self) -> RgbImage {
        let side = self.size as u32 * self.factor();
        let pitch = side + GAP;
        let captions = self.rows.iter().map(|row| text::width(&row.caption)).max();
        let left = match captions {
            None | Some(0) => MARGIN,
            Some(width) => MARGIN + width + MARGIN,
        };
        let columns = self
            .rows
            .iter()
            .map(|row| row.images.len() / self.bytes_per_image())
            .max();
        let across = (columns.unwrap_or(0) as u32 * pitch).saturating_sub(GAP);
        let down = (self.rows.len() as u32 * pitch).saturating_sub(GAP);
        let mut picture =
            RgbImage::from_pixel(left + across + MARGIN, down + 2 * MARGIN, BACKGROUND);
        for (top, row) in (MARGIN..).step_by(pitch as usize).zip(&self.rows) {
            let middle = top + (side - text::HEIGHT) / 2;
            text::draw(&mut picture, &row.caption, MARGIN, middle, INK);
            let images = row.images.chunks_exact(self.bytes_per_image());
            for (left, image) in (left..).step_by(pitch as usize).zip(images) {
                self.draw_image(&mut picture, image, left, top);
            }
        }
        picture
    }

    /// Draws one image, [size, size, channels], enlarged, with its corner at (`left`, `top`).
    fn draw_image(&self, picture: &mut RgbImage, image: &[u8], left: u32, top: u32) {
        let factor = self.factor();
        for (y, row) in (0..).zip(image.chunks_exact(self.size * self.channels)) {
            for (x, pixel) in (0..).zip(row.chunks_exact(self.channels)) {
                // A gray pixel is its value in all three colours.
                let colour = Rgb(std::array::from_fn(|channel| {
                    pixel[channel % self.channels]
                }));
                for dy in 0..factor {
                    for dx in 0..factor {
                        picture.put_pixel(left + x * factor + dx, top + y * factor + dy, colour);
                    }
                }
            }
        }
    }
}

/// Writes one image, [size, size, channels], as a PNG file of just its pixels (gray for 1 channel).
///
/// # Errors
/// What the writer returned.
///
/// # Panics
/// If `channels` is neither 1 nor 3, or `image` is not of that shape.
pub fn write_png_image(
    writer: impl Write,
    image: &[u8],
    size: usize,
    channels: usize,
) -> io::Result<()> {
    let colour = match channels {
        1 => ExtendedColorType::L8,
        3 => ExtendedColorType::Rgb8,
        _ => panic!("{channels} channels, not 1 or 3"),
    };
    assert_eq!(image.len(), size * size * channels, "bytes of one image");
    encode(writer, image, size as u32, size as u32, colour)
}

fn encode(
    writer: impl Write,
    pixels: &[u8],
    width: u32,
    height: u32,
    colour: ExtendedColorType,
) -> io::Result<()> {
    let encoded = PngEncoder::new(writer).write_image(pixels, width, height, colour);
    encoded.map_err(|error| match error {
        ImageError::IoError(error) => error,
        other => io::Error::other(other),
    })
}

/// The least number of columns with which n images need no more rows than columns.
fn near_square_columns(n: usize) -> usize {
    let root = n.isqrt();
    if root * root < n {
        root + 1
    } else {
        root.max(1)
    }
}

#[cfg(test)]
mod tests;
