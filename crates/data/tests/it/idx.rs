//! MNIST and Fashion-MNIST.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::tempdir;
use vdvae_data::{Source, Split};

use crate::files::*;

/// Images of 28 x 28 whose corners hold their number, the rest 7.
fn idx(images: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    for size in [images, 28, 28] {
        bytes.extend_from_slice(&size.to_be_bytes());
    }
    for number in 0..images {
        let mut image = [7; 784];
        image[..2].copy_from_slice(&(number as u16).to_be_bytes());
        bytes.extend_from_slice(&image);
    }
    bytes
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn source(folder: &Path) -> Source {
    Source::Idx(folder.to_owned())
}

fn number(image: &[u8]) -> usize {
    // Two pixels to the right and below the corner of the 32 x 32 image.
    usize::from(image[2 * 32 + 2]) * 256 + usize::from(image[2 * 32 + 3])
}

#[test]
fn images_are_padded_and_5000_held_out() {
    let folder = tempdir().unwrap();
    write(
        &folder.path().join("train-images-idx3-ubyte.gz"),
        &gz(&idx(5200)),
    );
    write(&folder.path().join("t10k-images-idx3-ubyte"), &idx(30));
    let open = |split| opened(source(folder.path()), split, gray(32)).unwrap();
    let (train, valid, test) = (open(Split::Train), open(Split::Valid), open(Split::Test));
    assert_eq!(
        (train.len(), valid.len(), test.len(), open(Split::All).len()),
        (200, 5000, 30, 5230)
    );
    let mut numbers: Vec<usize> = (0..200)
        .map(|index| number(&item(&*train, index)))
        .collect();
    numbers.extend((0..5000).map(|index| number(&item(&*valid, index))));
    numbers.sort_unstable();
    assert_eq!(numbers, (0..5200).collect::<Vec<_>>());
    let image = item(&*test, 3);
    assert_eq!(image.len(), 1024);
    let is_border =
        |pixel: usize| !(2..30).contains(&(pixel / 32)) || !(2..30).contains(&(pixel % 32));
    for pixel in (0..1024).filter(|pixel| !matches!(pixel, 66 | 67)) {
        assert_eq!(
            image[pixel],
            if is_border(pixel) { 0 } else { 7 },
            "pixel {pixel}"
        );
    }
    let color = item(
        &*opened(source(folder.path()), Split::Test, rgb(32)).unwrap(),
        3,
    );
    assert_eq!(
        color
            .chunks_exact(3)
            .map(|pixel| pixel[1])
            .collect::<Vec<_>>(),
        image
    );
}

#[test]
fn bad_files_are_named() {
    let folder = tempdir().unwrap();
    let error = |shape| open_error(source(folder.path()), Split::Test, shape);
    assert_says(
        &error(gray(32)),
        &["expected the file t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz"],
    );
    let path = folder.path().join("t10k-images-idx3-ubyte");
    let whole = idx(30);
    let mut labels = whole.clone();
    labels[3] = 1;
    let mut enormous = whole.clone();
    enormous[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    for (bytes, says) in [
        (&whole[..whole.len() - 1], "truncated"),
        (&enormous, "expected 4294967295 images"),
        (&labels, "expected 00 00 08 03"),
        (&idx(0), "found 0 of 28 x 28"),
        (b"abc", "header"),
    ] {
        write(&path, bytes);
        assert_says(&error(gray(32)), &["t10k-images-idx3-ubyte: ", says]);
    }
    write(&path, &whole);
    assert_says(&error(gray(16)), &["at most 16 x 16", "model.image_size"]);
    write(&folder.path().join("train-images-idx3-ubyte"), &idx(5000));
    let too_few = open_error(source(folder.path()), Split::Train, gray(32));
    assert_says(&too_few, &["at least 5001 images", "found 5000"]);
    write(&folder.path().join("train-images-idx3-ubyte"), b"");
    std::fs::remove_file(folder.path().join("train-images-idx3-ubyte")).unwrap();
    write(
        &folder.path().join("train-images-idx3-ubyte.gz"),
        &gz(&whole)[..100],
    );
    assert_says(
        &open_error(source(folder.path()), Split::Train, gray(32)),
        &["train-images-idx3-ubyte.gz"],
    );
}
