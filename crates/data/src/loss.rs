//! What a picture loses when it is read as 8-bit gray or RGB values.

use std::fmt;

use image::{DynamicImage, Rgb, RgbImage, RgbaImage};

/// What transparent pixels are laid over: white.
const GROUND: u32 = 255;

/// Something that a file holds and 8-bit gray or RGB values do not. What is no part of the pixels (EXIF,
/// colour profiles, comments) is not among these, and pictures that EXIF turns upright lose nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// Pixels that are not opaque.
    Transparency,
    /// CMYK or YCCK colours.
    Cmyk,
    /// Values of more than 8 bits that need them.
    Depth,
    /// More than one frame of an animation, or page.
    Frames,
}

impl Loss {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 4] = [Self::Transparency, Self::Cmyk, Self::Depth, Self::Frames];

    /// What a file with it holds.
    pub fn holds(self) -> &'static str {
        match self {
            Self::Transparency => "transparent pixels",
            Self::Cmyk => "CMYK colours",
            Self::Depth => "more than 8 bits per channel",
            Self::Frames => "more than one frame or page",
        }
    }

    /// What becomes of it.
    pub fn becomes(self) -> &'static str {
        match self {
            Self::Transparency => "laid over white",
            Self::Cmyk => "converted to RGB",
            Self::Depth => "rounded to 8 bits",
            Self::Frames => "the first is taken",
        }
    }
}

/// Any number of [`Loss`]es.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses(u8);

impl Losses {
    /// Whether the values are all that there is.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `loss` is among them.
    pub fn contains(self, loss: Loss) -> bool {
        self.0 & (1 << loss as u8) != 0
    }

    /// Each once.
    pub fn iter(self) -> impl Iterator<Item = Loss> {
        Loss::ALL
            .into_iter()
            .filter(move |&loss| self.contains(loss))
    }

    pub(crate) fn insert(&mut self, loss: Loss) {
        self.0 |= 1 << loss as u8;
    }

    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    pub(crate) fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

impl fmt::Display for Losses {
    /// What the file holds: "transparent pixels, more than 8 bits per channel".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, loss) in self.iter().enumerate() {
            f.write_str(if place > 0 { ", " } else { "" })?;
            f.write_str(loss.holds())?;
        }
        Ok(())
    }
}

/// How many files lost what, in the order of [`Loss::ALL`]; nothing where none did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossCounts([usize; Loss::ALL.len()]);

impl LossCounts {
    /// Counts a file.
    pub fn add(&mut self, losses: Losses) {
        losses.iter().for_each(|loss| self.0[loss as usize] += 1);
    }

    /// Those of other files.
    pub fn merge(&mut self, others: Self) {
        self.0
            .iter_mut()
            .zip(others.0)
            .for_each(|(count, more)| *count += more);
    }

    /// A sentence for each loss: "3 images have transparent pixels: laid over white".
    pub fn sentences(self) -> impl Iterator<Item = String> {
        let counts = Loss::ALL.into_iter().zip(self.0);
        let counts = counts.filter(|&(_, count)| count > 0);
        counts.map(|(loss, count)| {
            let images = if count == 1 {
                "image has"
            } else {
                "images have"
            };
            format!("{count} {images} {}: {}", loss.holds(), loss.becomes())
        })
    }
}

impl std::iter::Sum for LossCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut all, counts| {
            all.merge(counts);
            all
        })
    }
}

/// A picture in 8 bits per channel, gray or RGB, with what that loses of its pixels.
///
/// Transparent pixels are laid over white, in the values as they are (of sRGB, not of light).
pub(crate) fn opaque_bytes(image: DynamicImage, losses: &mut Losses) -> DynamicImage {
    if is_deep(&image) {
        losses.insert(Loss::Depth);
    }
    let color = image.color();
    let gray = !color.has_color();
    if !color.has_alpha() {
        return match gray {
            true => image.into_luma8().into(),
            false => image.into_rgb8().into(),
        };
    }
    let rgba = image.into_rgba8();
    if rgba.pixels().any(|pixel| pixel[3] < 255) {
        losses.insert(Loss::Transparency);
    }
    let rgb = DynamicImage::from(over_white(&rgba));
    if gray { rgb.into_luma8().into() } else { rgb }
}

/// Whether values differ from those that 8 bits stand for: the multiples of 257 of 16 bits.
fn is_deep(image: &DynamicImage) -> bool {
    let deep = |values: &[u16]| values.iter().any(|value| value % 257 != 0);
    match image {
        DynamicImage::ImageLuma16(image) => deep(image),
        DynamicImage::ImageLumaA16(image) => deep(image),
        DynamicImage::ImageRgb16(image) => deep(image),
        DynamicImage::ImageRgba16(image) => deep(image),
        _ => false,
    }
}

fn over_white(image: &RgbaImage) -> RgbImage {
    let mut out = RgbImage::new(image.width(), image.height());
    for (Rgb(out), pixel) in out.pixels_mut().zip(image.pixels()) {
        let alpha = u32::from(pixel[3]);
        for (out, &value) in out.iter_mut().zip(&pixel.0) {
            *out = ((u32::from(value) * alpha + GROUND * (255 - alpha) + 127) / 255) as u8;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Luma, LumaA, Rgba};

    fn read(image: impl Into<DynamicImage>) -> (Vec<u8>, Vec<Loss>) {
        let mut losses = Losses::default();
        let bytes = opaque_bytes(image.into(), &mut losses).into_bytes();
        (bytes, losses.iter().collect())
    }

    #[test]
    fn transparent_pixels_are_laid_over_white_and_opaque_ones_kept() {
        let image = RgbaImage::from_fn(3, 1, |x, _| Rgba([10, 20, 30, [0, 128, 255][x as usize]]));
        let (pixels, losses) = read(image);
        assert_eq!(pixels, [255, 255, 255, 132, 137, 142, 10, 20, 30]);
        assert_eq!(losses, [Loss::Transparency]);
        let opaque = RgbaImage::from_pixel(2, 1, Rgba([1, 2, 3, 255]));
        assert_eq!(read(opaque), (vec![1, 2, 3, 1, 2, 3], vec![]));
        let gray = ImageBuffer::from_pixel(1, 1, LumaA([77u8, 255]));
        assert_eq!(read(gray), (vec![77], vec![]));
    }

    #[test]
    fn only_bits_that_are_used_are_lost() {
        let image = |value| ImageBuffer::from_pixel(1, 1, Luma([value]));
        assert_eq!(read(image(257_u16 * 9)), (vec![9], vec![]));
        assert_eq!(read(image(257_u16 * 9 + 1)), (vec![9], vec![Loss::Depth]));
    }

    #[test]
    fn counts_are_told_as_sentences() {
        let mut losses = Losses::default();
        losses.insert(Loss::Frames);
        losses.insert(Loss::Transparency);
        assert_eq!(
            losses.to_string(),
            "transparent pixels, more than one frame or page"
        );
        let mut counts = LossCounts::default();
        assert_eq!(counts.sentences().count(), 0);
        counts.add(losses);
        counts.add(Losses::from_bits(losses.bits() & 1));
        let sentences: Vec<String> = counts.sentences().collect();
        assert_eq!(
            sentences,
            [
                "2 images have transparent pixels: laid over white",
                "1 image has more than one frame or page: the first is taken"
            ]
        );
    }
}
