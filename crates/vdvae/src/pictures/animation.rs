//! Moving pictures: GIF (256 colours an image, shown everywhere) and WebP (exact).

use std::io::{self, Write};
use std::path::Path;

use image::codecs::gif::{GifEncoder, Repeat};
use image::codecs::webp::WebPEncoder;
use image::{Delay, DynamicImage, ExtendedColorType, Frame, RgbImage};

use crate::files;

/// The least side of the animation in pixels; smaller images are enlarged by a whole factor.
const LEAST_SIDE: usize = 256;
/// Of a frame, in milliseconds.
const MOVING: u32 = 80;
/// Of the frames at both ends.
const RESTING: u32 = 640;

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Graphics Interchange Format.
    Gif,
    /// Lossless WebP.
    Webp,
}

/// Square images one after the other, without end.
#[derive(Clone, Debug)]
pub struct Animation {
    /// With their time in milliseconds.
    frames: Vec<(RgbImage, u32)>,
}

impl Animation {
    /// Images [n, size, size, channels] from the first to the last and back, resting at both.
    ///
    /// # Panics
    /// If `images` does not consist of whole images with pixels of 1 (gray) or 3 channels.
    pub fn there_and_back(size: usize, channels: usize, images: &[u8]) -> Self {
        let each = size * size * channels;
        assert!(matches!(channels, 1 | 3), "{channels} channels, not 1 or 3");
        assert!(
            each > 0 && images.len().is_multiple_of(each),
            "whole images"
        );
        let there = images
            .chunks_exact(each)
            .map(|image| enlarged(size, channels, image));
        let there: Vec<RgbImage> = there.collect();
        let last = there.len().saturating_sub(1);
        let order = (0..there.len()).chain((1..last).rev());
        let time = |index| {
            if index == 0 || index == last {
                RESTING
            } else {
                MOVING
            }
        };
        Self {
            frames: order
                .map(|index| (there[index].clone(), time(index)))
                .collect(),
        }
    }

    /// Writes the file, atomically.
    ///
    /// # Errors
    /// What the file system returned; it does not name `path`.
    pub fn save(&self, path: &Path, format: Format) -> io::Result<()> {
        files::write_atomically(path, |writer| match format {
            Format::Gif => self.gif(writer),
            Format::Webp => writer.write_all(&self.webp()?),
        })
    }

    fn gif(&self, writer: &mut impl Write) -> io::Result<()> {
        let mut encoder = GifEncoder::new(writer);
        let result = encoder.set_repeat(Repeat::Infinite).and_then(|()| {
            encoder.encode_frames(self.frames.iter().map(|(image, time)| {
                let image = DynamicImage::ImageRgb8(image.clone()).into_rgba8();
                Frame::from_parts(image, 0, 0, Delay::from_numer_denom_ms(*time, 1))
            }))
        });
        result.map_err(io::Error::other)
    }

    /// The container of animations around single lossless images: `VP8X`, `ANIM`, one `ANMF` a frame
    /// (WebP Container Specification).
    fn webp(&self) -> io::Result<Vec<u8>> {
        const ANIMATED: u8 = 2;
        const DO_NOT_BLEND: u8 = 2;
        let (width, height) = self
            .frames
            .first()
            .map_or((1, 1), |(image, _)| image.dimensions());
        let size = [uint24(width - 1), uint24(height - 1)].concat();
        let mut chunks = b"WEBP".to_vec();
        chunk(
            &mut chunks,
            b"VP8X",
            &[&[ANIMATED, 0, 0, 0][..], &size].concat(),
        );
        let (background, for_ever) = ([0; 4], [0; 2]);
        chunk(&mut chunks, b"ANIM", &[&background[..], &for_ever].concat());
        for (image, time) in &self.frames {
            let mut still = Vec::new();
            WebPEncoder::new_lossless(&mut still)
                .encode(image, width, height, ExtendedColorType::Rgb8)
                .map_err(io::Error::other)?;
            // After `RIFF`, the size and `WEBP`, the file is the image's one chunk.
            let corner = [0; 6];
            let frame = [
                &corner[..],
                &size,
                &uint24(*time),
                &[DO_NOT_BLEND],
                &still[12..],
            ];
            chunk(&mut chunks, b"ANMF", &frame.concat());
        }
        let mut file = Vec::new();
        chunk(&mut file, b"RIFF", &chunks);
        Ok(file)
    }
}

/// One image, [size, size, channels], each pixel a square.
fn enlarged(size: usize, channels: usize, image: &[u8]) -> RgbImage {
    let factor = LEAST_SIDE.div_ceil(size);
    let side = (size * factor) as u32;
    RgbImage::from_fn(side, side, |x, y| {
        let pixel = (y as usize / factor * size + x as usize / factor) * channels;
        image::Rgb(std::array::from_fn(|colour| {
            image[pixel + colour % channels]
        }))
    })
}

fn uint24(number: u32) -> [u8; 3] {
    let [a, b, c, _] = number.to_le_bytes();
    [a, b, c]
}

/// Name, size, content, and a byte more where the size is odd.
fn chunk(file: &mut Vec<u8>, name: &[u8; 4], content: &[u8]) {
    file.extend(name);
    file.extend((content.len() as u32).to_le_bytes());
    file.extend(content);
    if !content.len().is_multiple_of(2) {
        file.push(0);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::BufReader;

    use image::AnimationDecoder;
    use image::codecs::gif::GifDecoder;
    use image::codecs::webp::WebPDecoder;

    use super::*;

    /// Of 5 gray images, 8 x 8.
    fn animation() -> Animation {
        let images: Vec<u8> = (0..5 * 64).map(|i| (i * 7 % 256) as u8).collect();
        Animation::there_and_back(8, 1, &images)
    }

    #[test]
    fn decoders_see_the_frames_there_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let open = || BufReader::new(File::open(&path).unwrap());
        let animation = animation();
        assert_eq!(animation.frames.len(), 8);
        assert_eq!(animation.frames[1], animation.frames[7]);
        for format in [Format::Gif, Format::Webp] {
            animation.save(&path, format).unwrap();
            let frames = match format {
                Format::Gif => GifDecoder::new(open()).unwrap().into_frames(),
                Format::Webp => WebPDecoder::new(open()).unwrap().into_frames(),
            };
            let frames = frames.collect_frames().unwrap();
            assert_eq!(frames.len(), 8, "{format:?}");
            for (frame, (image, time)) in frames.iter().zip(&animation.frames) {
                let milliseconds = frame.delay().numer_denom_ms();
                assert_eq!(milliseconds.0 / milliseconds.1, *time, "{format:?}");
                let found = DynamicImage::ImageRgba8(frame.buffer().clone()).into_rgb8();
                assert_eq!(found.dimensions(), (256, 256));
                let differ = found.iter().zip(image.iter()).map(|(a, b)| a.abs_diff(*b));
                let most = if format == Format::Webp { 0 } else { 8 };
                assert!(differ.max().unwrap() <= most, "{format:?}");
            }
        }
    }
}
