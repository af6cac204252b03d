//! What general formats make of the same images.

mod encoder;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use rayon::prelude::*;
use serde::Serialize;
use vdvae_data::counted;

use encoder::Encoded;
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

/// What all encoders made.
#[derive(Debug)]
pub struct Comparison {
    /// Of each encoder that works, by format.
    pub rows: Vec<Compared>,
    /// What programs failed at, a sentence each.
    pub failures: Vec<String>,
}

/// Encodes every image by every encoder, each as a file of its own, and counts bytes and seconds. Where no program
/// of a format works, the encoder that is built in takes their place. Calls `progress` with the number of images
/// done.
///
/// # Errors
/// If an image cannot be read, or a file for an encoder not be written.
pub fn compare(
    images: &impl Images,
    encoders: &[Encoder],
    mut progress: impl FnMut(u64),
) -> Result<Comparison> {
    let folder = std::env::temp_dir();
    let scratch = Temporary::folder(&folder);
    let (scratch, _lock) =
        scratch.with_context(|| format!("{}: cannot make a folder there", folder.display()))?;
    let tallies = tally(images, encoders, scratch.path(), &mut progress)?;
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    let mut failed: Vec<(Format, &str)> = Vec::new();
    for (encoder, tally) in encoders.iter().zip(tallies) {
        let Some(program) = encoder.program() else {
            rows.push(tally.compared);
            continue;
        };
        let works = !tally.given_up && tally.compared.images > 0;
        let images = counted(tally.failed, "images");
        if let Some(why) = tally.why {
            let left_out = if works {
                ", which its row leaves out"
            } else {
                ", so that it is not compared"
            };
            let settings = &encoder.settings;
            failures.push(format!("{settings} failed at {images}{left_out}: {why}"));
        }
        if works {
            rows.push(tally.compared);
        } else {
            failed.push((encoder.format, program));
        }
    }
    failed.dedup_by_key(|(format, _)| *format);
    failed.retain(|(format, _)| rows.iter().all(|row| row.format != *format));
    if !failed.is_empty() {
        let built_in = failed.into_iter();
        let built_in = built_in.map(|(format, program)| Encoder::in_place_of(format, program));
        let built_in: Vec<Encoder> = built_in.collect();
        let tallies = tally(images, &built_in, scratch.path(), &mut progress)?;
        rows.extend(tallies.into_iter().map(|tally| tally.compared));
        rows.sort_by_key(|row| row.format);
    }
    Ok(Comparison { rows, failures })
}

/// What became of the images with one encoder.
struct Tally {
    compared: Compared,
    /// Images that a program made no file of.
    failed: usize,
    /// What is known of the first of them.
    why: Option<String>,
    /// Whether it took too long at one of them, and got no more.
    given_up: bool,
}

impl Tally {
    fn new(encoder: &Encoder) -> Self {
        Self {
            compared: Compared {
                format: encoder.format,
                encoder: encoder.settings.clone(),
                images: 0,
                dimensions: 0,
                bytes: 0,
                seconds: 0.0,
            },
            failed: 0,
            why: None,
            given_up: false,
        }
    }

    /// Counts an image of so many values.
    fn add(&mut self, values: u64, encoded: Encoded) {
        match encoded {
            Encoded::Len(bytes) => {
                self.compared.images += 1;
                self.compared.dimensions += values;
                self.compared.bytes += bytes;
            }
            Encoded::Refused => {}
            Encoded::Failed(why) | Encoded::GivenUp(why) => {
                self.failed += 1;
                self.why.get_or_insert(why);
            }
        }
    }
}

/// Encodes every image by every encoder; programs work in the folder `scratch`.
fn tally(
    images: &impl Images,
    encoders: &[Encoder],
    scratch: &Path,
    progress: &mut impl FnMut(u64),
) -> Result<Vec<Tally>> {
    let mut tallies: Vec<Tally> = encoders.iter().map(Tally::new).collect();
    for first in (0..images.len()).step_by(CHUNK) {
        let indices = first..(first + CHUNK).min(images.len());
        let end = indices.end;
        let chunk = indices
            .map(|index| Ok((index, images.read(index)?, images.shape(index))))
            .collect::<Result<Vec<_>>>()?;
        for (encoder, tally) in encoders.iter().zip(&mut tallies) {
            let start = Instant::now();
            let given_up = AtomicBool::new(tally.given_up);
            let files = chunk
                .par_iter()
                .filter(|_| !given_up.load(Ordering::Relaxed))
                .map(|(index, pixels, shape)| {
                    let name = index.to_string();
                    let encoded = encoder.encoded_len(pixels, *shape, scratch, &name)?;
                    if matches!(encoded, Encoded::GivenUp(_)) {
                        given_up.store(true, Ordering::Relaxed);
                    }
                    Ok((pixels.len() as u64, encoded))
                })
                .collect::<Result<Vec<_>>>()?;
            tally.given_up = given_up.into_inner();
            tally.compared.seconds += start.elapsed().as_secs_f64();
            for (values, encoded) in files {
                tally.add(values, encoded);
            }
        }
        progress(end as u64);
    }
    Ok(tallies)
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
        let rows = compare(&images, &Encoder::all("".as_ref()), |_| ())
            .unwrap()
            .rows;
        assert_eq!(rows[0].images, 2);
        assert_eq!((rows[2].images, rows[2].dimensions), (1, 108));
    }
}
