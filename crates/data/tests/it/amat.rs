//! The binarized MNIST in text files.

use std::path::Path;

use tempfile::tempdir;
use vdvae_data::{Source, Split};

use crate::files::*;

fn source(folder: &Path) -> Source {
    Source::Amat(folder.to_owned())
}

/// `images` lines; of image n, pixel n is 1.
fn amat(images: usize) -> String {
    let line = |image: usize| -> String {
        (0..784)
            .map(|pixel| if pixel == image { "1 " } else { "0 " })
            .collect()
    };
    (0..images)
        .map(|image| line(image).trim_end().to_owned() + "\n")
        .collect()
}

#[test]
fn every_split_has_its_file() {
    let folder = tempdir().unwrap();
    for (part, images) in [("train", 5), ("valid", 2), ("test", 30)] {
        let path = folder.path().join(format!("binarized_mnist_{part}.amat"));
        write(&path, amat(images).as_bytes());
    }
    for (split, images) in [
        (Split::Train, 5),
        (Split::Valid, 2),
        (Split::Test, 30),
        (Split::All, 37),
    ] {
        let dataset = opened(source(folder.path()), split, gray(32)).unwrap();
        assert_eq!(dataset.len(), images, "{split}");
    }
    // Image 29 has its pixel in row 1, column 1, and a border of 2 around it.
    let test = opened(source(folder.path()), Split::Test, gray(32)).unwrap();
    let image = item(&*test, 29);
    let mut expected = vec![0; 1024];
    expected[3 * 32 + 3] = 255;
    assert_eq!(image, expected);
    assert!(
        test.name(29)
            .ends_with("binarized_mnist_test.amat image 29")
    );
}

#[test]
fn packed_files_and_other_ends_of_lines_are_read() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("binarized_mnist_test.amat.gz");
    let text = amat(3).replace('\n', " \r\n") + "\n";
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
    write(&path, &packed.finish().unwrap());
    let test = opened(source(folder.path()), Split::Test, gray(28)).unwrap();
    assert_eq!(test.len(), 3);
    assert_eq!(item(&*test, 2)[..4], [0, 0, 255, 0]);
}

#[test]
fn bad_lines_are_named() {
    let folder = tempdir().unwrap();
    let error = |size| open_error(source(folder.path()), Split::Test, gray(size));
    assert_says(
        &error(32),
        &["expected the file binarized_mnist_test.amat or binarized_mnist_test.amat.gz"],
    );
    let path = folder.path().join("binarized_mnist_test.amat");
    let good = amat(2);
    for (text, says) in [
        (
            good.replacen("0 1 0", "0 2 0", 1),
            "line 2: pixel: expected 0 or 1, found `2`",
        ),
        (
            good[..good.len() - 3].to_owned(),
            "line 2: pixels: expected 784, of 28 x 28, found 783",
        ),
        (
            good.replacen('\n', " ", 1),
            "line 1: pixels: expected 784, of 28 x 28, found 1568",
        ),
        (
            "0".repeat(100_000),
            "line 1: pixel: expected 0 or 1, found `00000000000000000000`",
        ),
        ("0 ".repeat(100_000), "line 1: pixels: expected 784"),
        (
            "\n\n".to_owned(),
            "expected images, lines of 784 zeros and ones, found none",
        ),
    ] {
        write(&path, text.as_bytes());
        assert_says(&error(32), &["binarized_mnist_test.amat", says]);
    }
    write(&path, good.as_bytes());
    assert_says(
        &error(16),
        &[
            "image_size: expected at least 28, found 16",
            "model.image_size = 32",
        ],
    );
}
