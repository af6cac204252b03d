//! What general formats make of the same images.

use std::io::Cursor;
use std::time::Instant;

use anyhow::Result;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};
use rayon::prelude::*;
use serde::Serialize;
use zune_core::bit_depth::BitDepth;
use zune_core::colorspace::ColorSpace;
use zune_core::options::EncoderOptions;
use zune_jpegxl::JxlSimpleEncoder;

use super::Images;

/// Images in memory at once.
const CHUNK: usize = 64;

/// A lossless format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// PNG, at the highest compression, filters chosen row by row.
    Png,
    /// WebP, lossless.
    Webp,
    /// JPEG XL, lossless, by a fast encoder: the reference encoder at its highest effort makes smaller
    /// files in far more time.
    JpegXl,
}

impl Format {
    /// Those compared with.
    pub const ALL: [Self; 3] = [Self::Png, Self::Webp, Self::JpegXl];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Webp => "WebP",
            Self::JpegXl => "JPEG XL",
        }
    }

    /// A file of `pixels` [height, width, channels], channels being 1 or 3; `None` if the encoder
    /// refuses them.
    pub fn encode(self, pixels: &[u8], shape: [usize; 3]) -> Option<Vec<u8>> {
        let [height, width, channels] = shape;
        let [rows, columns] = [height, width].map(u32::try_from);
        let (rows, columns) = (rows.ok()?, columns.ok()?);
        let color = if channels == 1 {
            ExtendedColorType::L8
        } else {
            ExtendedColorType::Rgb8
        };
        let mut file = Cursor::new(Vec::new());
        match self {
            Self::Png => {
                PngEncoder::new_with_quality(
                    &mut file,
                    CompressionType::Best,
                    FilterType::Adaptive,
                )
                .write_image(pixels, columns, rows, color)
                .ok()?;
            }
            Self::Webp => WebPEncoder::new_lossless(&mut file)
                .write_image(pixels, columns, rows, color)
                .ok()?,
            Self::JpegXl => {
                let color = if channels == 1 {
                    ColorSpace::Luma
                } else {
                    ColorSpace::RGB
                };
                let options = EncoderOptions::new(width, height, color, BitDepth::Eight)
                    .set_effort(127)
                    .set_num_threads(1);
                JxlSimpleEncoder::new(pixels, options)
                    .encode(&mut file)
                    .ok()?;
            }
        }
        Some(file.into_inner())
    }
}

/// One format's result.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Which.
    pub format: Format,
    /// Images that its encoder takes.
    pub images: usize,
    /// Values of these.
    pub dimensions: u64,
    /// Of all files, one per image.
    pub bytes: u64,
    /// Wall time of encoding on all threads.
    pub seconds: f64,
}

impl Compared {
    /// `NaN` if no image was taken.
    pub fn bits_per_dim(&self) -> f64 {
        8.0 * self.bytes as f64 / self.dimensions as f64
    }
}

/// Encodes every image in every format, each as a file of its own, and counts bytes and seconds. Calls
/// `progress` with the number of images done.
///
/// # Errors
/// If an image cannot be read.
pub fn compare(images: &impl Images, mut progress: impl FnMut(u64)) -> Result<Vec<Compared>> {
    let mut results = Format::ALL.map(|format| Compared {
        format,
        images: 0,
        dimensions: 0,
        bytes: 0,
        seconds: 0.0,
    });
    for first in (0..images.len()).step_by(CHUNK) {
        let indices = first..(first + CHUNK).min(images.len());
        let end = indices.end;
        let chunk = indices
            .map(|index| Ok((images.read(index)?, images.shape(index))))
            .collect::<Result<Vec<_>>>()?;
        for result in &mut results {
            let start = Instant::now();
            let files: Vec<(u64, u64)> = chunk
                .par_iter()
                .filter_map(|(pixels, shape)| {
                    let file = result.format.encode(pixels, *shape)?;
                    Some((pixels.len() as u64, file.len() as u64))
                })
                .collect();
            result.seconds += start.elapsed().as_secs_f64();
            result.images += files.len();
            for (values, bytes) in files {
                result.dimensions += values;
                result.bytes += bytes;
            }
        }
        progress(end as u64);
    }
    Ok(results.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::Image;

    /// PNG and WebP are read back; of JPEG XL only the signature and that noise is not made small.
    #[test]
    fn files_hold_the_pixels() {
        for channels in [1, 3] {
            let shape = [5, 7, channels];
            let pixels: Vec<u8> = (0..35 * channels).map(|i| (i * 97 % 251) as u8).collect();
            for format in [Format::Png, Format::Webp] {
                let file = format.encode(&pixels, shape).expect("encoded");
                let image = image::load_from_memory(&file).expect("decoded");
                let found = match channels {
                    1 => image.to_luma8().into_raw(),
                    _ => image.to_rgb8().into_raw(),
                };
                assert_eq!(found, pixels);
            }
            let file = Format::JpegXl.encode(&pixels, shape).expect("encoded");
            assert_eq!(file[..2], [0xff, 0x0a]);
            assert!(file.len() > pixels.len() / 2);
        }
    }

    #[test]
    fn what_an_encoder_refuses_is_not_counted() {
        let image = |shape: [usize; 3]| Image {
            name: String::new(),
            shape,
            pixels: vec![9; shape.iter().product()],
        };
        let images = vec![image([1, 1, 3]), image([6, 6, 3])];
        let rows = compare(&images, |_| ()).unwrap();
        assert_eq!(rows[0].images, 2);
        assert_eq!((rows[2].images, rows[2].dimensions), (1, 108));
    }
}
