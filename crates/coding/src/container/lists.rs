//! What is much the same from image to image, deflated: the header's lists.
//!
//! length before deflating 4, then deflated:
//! shapes, in runs of equal ones: count, width, height, channels;
//! names, each up to a line feed, unless they are numbers;
//! of each stream, unless images are dealt in turn: the number of its images, then each less the one before.
//! Numbers are of variable length; differences are doubled, and negative ones are 1 less than doubled.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::reader::{Reader, put_varint};
use super::{ContainerError, ImageEntry};

/// Lists are at most so many times longer than deflated: a header cannot make a reader take more memory. What
/// deflates better is written as it is.
const MOST_DEFLATED: usize = 64;

/// The lists as they are written.
#[derive(Default)]
pub struct Lists(Vec<u8>);

impl Lists {
    pub fn shapes(&mut self, images: &[ImageEntry]) {
        let shape = |image: &ImageEntry| (image.width, image.height, image.channels);
        for run in images.chunk_by(|a, b| shape(a) == shape(b)) {
            let (width, height, channels) = shape(&run[0]);
            put_varint(&mut self.0, run.len() as u64);
            put_varint(&mut self.0, width.into());
            put_varint(&mut self.0, height.into());
            self.0.push(channels);
        }
    }

    pub fn names(&mut self, images: &[ImageEntry]) {
        for image in images {
            self.0.extend(image.name.as_bytes());
            self.0.push(b'\n');
        }
    }

    pub fn numbers(&mut self, numbers: &[u32]) {
        put_varint(&mut self.0, numbers.len() as u64);
        let mut before = 0;
        for &number in numbers {
            let step = i64::from(number) - before;
            put_varint(&mut self.0, ((step << 1) ^ (step >> 63)) as u64);
            before = number.into();
        }
    }

    /// As the header holds them.
    pub fn packed(self) -> Result<Vec<u8>, ContainerError> {
        let len = u32::try_from(self.0.len()).map_err(|_| ContainerError::Field {
            what: "length of the header",
            expected: "less than 4 GiB".into(),
            found: self.0.len().to_string(),
        })?;
        let mut deflated = deflate(&self.0, Compression::best())?;
        if self.0.len() > MOST_DEFLATED * deflated.len() {
            deflated = deflate(&self.0, Compression::none())?;
        }
        Ok([&len.to_le_bytes()[..], &deflated].concat())
    }
}

fn deflate(bytes: &[u8], level: Compression) -> std::io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), level);
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// The bytes of which [`Lists::packed`] made `packed`.
pub fn unpack(packed: &[u8]) -> Result<Vec<u8>, ContainerError> {
    let mut reader = Reader::new(packed);
    let len = reader.u32("length of the lists")? as usize;
    let deflated = reader.rest();
    let wrong = |found: String| ContainerError::Field {
        what: "length of the header's lists",
        expected: len.to_string(),
        found,
    };
    if len > MOST_DEFLATED.saturating_mul(deflated.len()) {
        return Err(wrong(format!("{} bytes, deflated", deflated.len())));
    }
    let mut lists = Vec::new();
    let mut decoder = DeflateDecoder::new(deflated);
    // One more would be too many.
    let read = (&mut decoder)
        .take(len as u64 + 1)
        .read_to_end(&mut lists)
        .map_err(|error| wrong(error.to_string()))?;
    if read != len || decoder.total_in() != deflated.len() as u64 {
        return Err(wrong(read.to_string()));
    }
    Ok(lists)
}

/// Images without names, one for each of the checks, of 2 bytes each.
pub fn shapes(reader: &mut Reader, checks: &[u8]) -> Result<Vec<ImageEntry>, ContainerError> {
    let count = checks.len() / 2;
    let mut checks = checks.chunks_exact(2);
    let mut images = Vec::new();
    while images.len() < count {
        let left = (count - images.len()) as u64;
        let run = reader.varint("images of a shape")?;
        if !(1..=left).contains(&run) {
            return Err(ContainerError::Field {
                what: "number of images of a shape",
                expected: format!("1 to {left}"),
                found: run.to_string(),
            });
        }
        let image = ImageEntry {
            name: String::new(),
            width: reader.varint32("width of an image")?,
            height: reader.varint32("height of an image")?,
            channels: reader.u8("channels of an image")?,
            check: 0,
        };
        let run = (&mut checks).take(run as usize);
        images.extend(run.map(|check| ImageEntry {
            check: u16::from_le_bytes([check[0], check[1]]),
            ..image.clone()
        }));
    }
    Ok(images)
}

/// The next name.
pub fn name(reader: &mut Reader) -> Result<String, ContainerError> {
    let what = "image name";
    let len = reader.rest().iter().position(|&byte| byte == b'\n');
    // Without an end all that is left is too short.
    let len = len.unwrap_or(reader.rest().len());
    let name = reader.string(what, len)?;
    reader.u8(what)?;
    Ok(name)
}

/// The numbers that [`Lists::numbers`] wrote.
pub fn numbers(reader: &mut Reader) -> Result<Vec<u32>, ContainerError> {
    let what = "images of a stream";
    let count = reader.varint(what)?;
    let mut numbers = Vec::new();
    let mut before = 0_i64;
    for _ in 0..count {
        let step = reader.varint(what)?;
        let step = (step >> 1) as i64 ^ -((step & 1) as i64);
        before = before.saturating_add(step);
        numbers.push(u32::try_from(before).map_err(|_| ContainerError::Field {
            what: "image of a stream",
            expected: "a number below 2^32".into(),
            found: before.to_string(),
        })?);
    }
    Ok(numbers)
}
