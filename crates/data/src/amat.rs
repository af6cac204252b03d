//! MNIST as Larochelle binarized it, once and for all: text files of zeros and ones, `amat:DIR`.
//!
//! Every line is an image of 28 x 28 pixels: 784 times 0 or 1, separated by spaces. A one becomes 255, so that
//! a Bernoulli likelihood, whose images are 255 with probability value / 255, sees what the file says.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vdvae_formats::gzip;

use crate::dataset::{Dataset, ImageShape, Joined};
use crate::error::DataError;
use crate::options::OpenOptions;
use crate::padded::PaddedImages;
use crate::split::Split;

const SIDE: usize = 28;
const PIXELS: usize = SIDE * SIDE;

/// So many bytes of a line are read: twice what the files have, which is a digit and a space for each pixel.
const LONGEST_LINE: u64 = 4 * PIXELS as u64;

/// Bytes of a wrong pixel that are shown.
const SHOWN: usize = 20;

/// Opens `amat:DIR`, which has a file for each split.
pub(crate) fn open(
    folder: &Path,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    let images = |part| -> Result<Arc<dyn Dataset>, DataError> {
        Ok(Arc::new(read_images(&find(folder, part)?, options.image)?))
    };
    match split {
        Split::Train => images("train"),
        Split::Valid => images("valid"),
        Split::Test => images("test"),
        Split::All => Ok(Arc::new(Joined {
            first: images("train")?,
            second: Arc::new(Joined {
                first: images("valid")?,
                second: images("test")?,
            }),
        })),
    }
}

/// The file of `part`, packed or not.
fn find(folder: &Path, part: &str) -> Result<PathBuf, DataError> {
    let name = format!("binarized_mnist_{part}.amat");
    let names = [name.clone(), format!("{name}.gz")];
    let found = names
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file());
    found.ok_or_else(|| DataError::Empty {
        place: folder.display().to_string(),
        expected: format!("the file {name} or {name}.gz"),
        remedy: "Give the folder that holds binarized_mnist_train.amat and the two others"
            .to_owned(),
    })
}

fn read_images(path: &Path, image: ImageShape) -> Result<PaddedImages, DataError> {
    let place = path.display().to_string();
    if image.size < SIDE {
        let remedy = "Set model.image_size = 32";
        return Err(DataError::mismatch(
            &place,
            "image_size",
            "at least 28",
            image.size,
            remedy,
        ));
    }
    let mut reader = BufReader::new(gzip::open(path)?);
    let (mut pixels, mut line) = (Vec::new(), Vec::new());
    for number in 1.. {
        line.clear();
        let mut limited = reader.by_ref().take(LONGEST_LINE);
        let read = limited.read_until(b'\n', &mut line);
        if read.map_err(DataError::io("read", path))? == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() {
            read_line(&line, &format!("{place} line {number}"), &mut pixels)?;
        }
    }
    if pixels.is_empty() {
        return Err(DataError::Empty {
            place,
            expected: "images, lines of 784 zeros and ones".to_owned(),
            remedy: "Download the file again".to_owned(),
        });
    }
    Ok(PaddedImages {
        pixels,
        rows: SIDE,
        columns: SIDE,
        image,
        place,
    })
}

/// Adds the image of a line to `pixels`.
fn read_line(line: &[u8], place: &str, pixels: &mut Vec<u8>) -> Result<(), DataError> {
    let bad = |field, expected: &str, found: String| {
        let remedy = "This is no line of the binarized MNIST: download the file again";
        DataError::mismatch(place, field, expected, found, remedy)
    };
    let start = pixels.len();
    let words = line.split(u8::is_ascii_whitespace);
    for word in words.filter(|word| !word.is_empty()) {
        pixels.push(match word {
            b"0" => 0,
            b"1" => 255,
            _ => {
                let found = format!(
                    "`{}`",
                    String::from_utf8_lossy(&word[..word.len().min(SHOWN)])
                );
                return Err(bad("pixel", "0 or 1", found));
            }
        });
    }
    match pixels.len() - start {
        PIXELS => Ok(()),
        found => Err(bad("pixels", "784, of 28 x 28", found.to_string())),
    }
}
