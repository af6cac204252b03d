//! What general formats make of the same images.

mod encoder;

use std::time::Instant;

use anyhow::{Context, Result};
use rayon::prelude::*;
use serde::Serialize;

pub use encoder::{Encoder, Format};

use super::Images;
use crate::files::Temporary;

/// Images in memory at once.
const CHUNK: usize = 64;

/// One encoder's result.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Which format.
    pub format: Format,
    /// Which encoder, with which settings.
    pub encoder: String,
    /// Images that it takes.
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

/// Encodes every image by every encoder, each as a file of its own, and counts bytes and seconds. Calls
/// `progress` with the number of images done.
///
/// # Errors
/// If an image cannot be read, or a file for an encoder not be written.
pub fn compare(
    images: &impl Images,
    encoders: &[Encoder],
    mut progress: impl FnMut(u64),
) -> Result<Vec<Compared>> {
    let folder = std::env::temp_dir();
    let scratch = Temporary::folder(&folder);
    let (scratch, _lock) =
        scratch.with_context(|| format!("{}: cannot make a folder there", folder.display()))?;
    let result = |encoder: &Encoder| Compared {
        format: encoder.format,
        encoder: encoder.settings.clone(),
        images: 0,
        dimensions: 0,
        bytes: 0,
        seconds: 0.0,
    };
    let mut results: Vec<Compared> = encoders.iter().map(result).collect();
    for first in (0..images.len()).step_by(CHUNK) {
        let indices = first..(first + CHUNK).min(images.len());
        let end = indices.end;
        let chunk = indices
            .map(|index| Ok((index, images.read(index)?, images.shape(index))))
            .collect::<Result<Vec<_>>>()?;
        for (encoder, result) in encoders.iter().zip(&mut results) {
            let start = Instant::now();
            let files = chunk
                .par_iter()
                .map(|(index, pixels, shape)| {
                    let name = index.to_string();
                    let len = encoder.encoded_len(pixels, *shape, scratch.path(), &name)?;
                    Ok(len.map(|len| (pixels.len() as u64, len)))
                })
                .collect::<Result<Vec<_>>>()?;
            result.seconds += start.elapsed().as_secs_f64();
            for (values, bytes) in files.into_iter().flatten() {
                result.images += 1;
                result.dimensions += values;
                result.bytes += bytes;
            }
        }
        progress(end as u64);
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::encoder::encode;
    use super::*;
    use crate::compress::Image;

    /// PNG and WebP are read back; of JPEG XL only the signature and that noise is not made small.
    #[test]
    fn files_hold_the_pixels() {
        for channels in [1, 3] {
            let shape = [5, 7, channels];
            let pixels: Vec<u8> = (0..35 * channels).map(|i| (i * 97 % 251) as u8).collect();
            for format in [Format::Png, Format::Webp] {
                let file = encode(format, &pixels, shape).expect("encoded");
                let image = image::load_from_memory(&file).expect("decoded");
                let found = match channels {
                    1 => image.to_luma8().into_raw(),
                    _ => image.to_rgb8().into_raw(),
                };
                assert_eq!(found, pixels);
            }
            let file = encode(Format::JpegXl, &pixels, shape).expect("encoded");
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
        let rows = compare(&images, &Encoder::all("".as_ref()), |_| ()).unwrap();
        assert_eq!(rows[0].images, 2);
        assert_eq!((rows[2].images, rows[2].dimensions), (1, 108));
    }
}
