//! Files to test with, and short ways to open them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use vdvae_data::{DataError, Dataset, ImageShape, ItemRng, OpenOptions, Source, Split, open};

pub fn rgb(size: usize) -> ImageShape {
    ImageShape { size, channels: 3 }
}

pub fn gray(size: usize) -> ImageShape {
    ImageShape { size, channels: 1 }
}

/// Opens without augmentation, with seed 0.
pub fn opened(
    source: Source,
    split: Split,
    image: ImageShape,
) -> Result<Arc<dyn Dataset>, DataError> {
    open(&source, split, &OpenOptions::new(image))
}

/// The message of the error that opening ends with.
pub fn open_error(source: Source, split: Split, image: ImageShape) -> String {
    match opened(source, split, image) {
        Ok(_) => panic!("opened without an error"),
        Err(error) => error.to_string(),
    }
}

/// Asserts that a message has all the parts that a person needs.
pub fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
}

/// Item `index` as it is read with seed 0.
pub fn item(dataset: &dyn Dataset, index: usize) -> Vec<u8> {
    let mut out = vec![0; dataset.image().len()];
    dataset
        .read(index, &mut ItemRng::for_item(0, index as u64), &mut out)
        .unwrap();
    out
}

pub fn names(dataset: &dyn Dataset) -> Vec<String> {
    (0..dataset.len())
        .map(|index| dataset.name(index))
        .collect()
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A picture in which every pixel tells its place and `tag`.
pub fn picture(width: u32, height: u32, tag: u8) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, tag]))
}

pub fn write_picture(path: &Path, width: u32, height: u32, tag: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture(width, height, tag).save(path).unwrap();
}

pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 90)
        .encode_image(&picture(width, height, 99))
        .unwrap();
    bytes
}

/// A JPEG that ends in the middle, but whose header is good.
pub fn truncated_jpeg() -> Vec<u8> {
    let mut bytes = jpeg(64, 64);
    bytes.truncate(bytes.len() * 3 / 4);
    bytes
}

/// A PNG of a few bytes that says that it has `width` x `height` pixels.
pub fn png_that_claims(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for chunk in [&header[..], b"IDAT\x78\x9c", b"IEND"] {
        png.extend_from_slice(&(chunk.len() as u32 - 4).to_be_bytes());
        png.extend_from_slice(chunk);
        let mut crc = flate2::Crc::new();
        crc.update(chunk);
        png.extend_from_slice(&crc.sum().to_be_bytes());
    }
    png
}

/// A .npy header for bytes of the given shape.
pub fn npy_header(shape: &[usize]) -> Vec<u8> {
    let sides: Vec<String> = shape.iter().map(|side| format!("{side},")).collect();
    let dictionary = format!(
        "{{'descr': '|u1', 'fortran_order': False, 'shape': ({}), }}\n",
        sides.join(" ")
    );
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(dictionary.len() as u16).to_le_bytes());
    header.extend_from_slice(dictionary.as_bytes());
    header
}

/// A .npy file of N images, the values of image n being n mod 251.
pub fn numbered_npy(images: usize, size: usize, channels: usize) -> Vec<u8> {
    let mut npy = npy_header(&[images, size, size, channels]);
    for number in 0..images {
        npy.extend(std::iter::repeat_n(
            (number % 251) as u8,
            size * size * channels,
        ));
    }
    npy
}
