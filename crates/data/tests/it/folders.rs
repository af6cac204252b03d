//! folder, ffhq1024, and single image files.

use std::fs;
use std::path::Path;

use tempfile::tempdir;
use vdvae_data::{DataError, OpenOptions, Source, Split, load_images, open};

use crate::files::*;

fn source(folder: &Path) -> Source {
    Source::Folder(folder.to_owned())
}

#[test]
fn images_of_all_formats_and_sizes_in_folders_of_classes() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_picture(&at("cats/b.png"), 20, 8, 1);
    write_picture(&at("cats/a.webp"), 8, 8, 2);
    write(&at("dogs/nested/c.JPG"), &jpeg(16, 16));
    write(&at("dogs/d.jpeg"), &jpeg(7, 30));
    write(&at("dogs/notes.txt"), b"no image");
    write(&at(".hidden.png"), b"no image");
    let dataset = opened(source(folder.path()), Split::All, rgb(8)).unwrap();
    let expected = [
        "cats/a.webp",
        "cats/b.png",
        "dogs/d.jpeg",
        "dogs/nested/c.JPG",
    ];
    assert_eq!(
        names(&*dataset),
        expected.map(|name| at(name).display().to_string())
    );
    let exact = item(&*dataset, 0);
    assert_eq!(exact, picture(8, 8, 2).into_raw());
    // The centre of 20 x 8 starts at x = 6, and is not resized.
    let cropped = item(&*dataset, 1);
    assert_eq!((cropped[0], cropped[2]), (6, 1));
    assert_eq!(cropped[7 * 3], 13);
    // 7 x 30 is enlarged: its centre starts at y = 11.
    let enlarged = item(&*dataset, 2);
    assert!(
        enlarged[1].abs_diff(11) <= 4 && enlarged[7 * 24 + 1].abs_diff(17) <= 4,
        "{enlarged:?}"
    );
}

/// What is measured on the embedded photographs, which are such files, can be compared with other programs' numbers
/// to the byte. JPEG is another matter: see `findings/jpeg_decoders.sh`.
#[test]
fn lossy_webp_is_decoded_to_the_bytes_of_pillow() {
    let folder = tempdir().unwrap();
    fs::copy(fixture("lossy.webp"), folder.path().join("lossy.webp")).unwrap();
    let dataset = opened(source(folder.path()), Split::All, rgb(40)).unwrap();
    let pillow = image::open(fixture("lossy.png")).unwrap().into_rgb8();
    assert!(item(&*dataset, 0) == pillow.into_raw());
}

#[test]
fn grayscale_transparent_and_deep_images_become_bytes() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    image::GrayImage::from_pixel(4, 4, image::Luma([77]))
        .save(at("a.png"))
        .unwrap();
    image::RgbaImage::from_pixel(4, 4, image::Rgba([1, 2, 3, 9]))
        .save(at("b.png"))
        .unwrap();
    image::ImageBuffer::<image::Rgb<u16>, _>::from_pixel(
        4,
        4,
        image::Rgb([257 * 5, 257 * 6, 257 * 7]),
    )
    .save(at("c.png"))
    .unwrap();
    let dataset = opened(source(folder.path()), Split::All, rgb(4)).unwrap();
    let pixels: Vec<Vec<u8>> = (0..3)
        .map(|index| item(&*dataset, index)[..3].to_vec())
        .collect();
    // 1 * 9 / 255 + 255 * 246 / 255, and so on.
    assert_eq!(pixels, [[77, 77, 77], [246, 246, 246], [5, 6, 7]]);
    let dataset = opened(source(folder.path()), Split::All, gray(4)).unwrap();
    assert_eq!(item(&*dataset, 0), [77; 16]);
}

#[test]
fn a_photograph_that_lies_on_its_side_is_turned_upright() {
    // Exif with the single entry "orientation: 6", which is a turn by 90 degrees.
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let bytes = jpeg(64, 32);
    let mut turned = vec![0xFF, 0xD8, 0xFF, 0xE1];
    turned.extend_from_slice(&(exif.len() as u16 + 2).to_be_bytes());
    turned.extend_from_slice(exif);
    turned.extend_from_slice(&bytes[2..]);
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    write(&path, &turned);
    let options = OpenOptions::new(rgb(32));
    let crops = open(
        &Source::Crops(folder.path().to_owned()),
        Split::All,
        &options,
    )
    .unwrap();
    assert_eq!(crops.len(), 2);
    // 32 wide and 64 high, with x of the file running downwards.
    let (upper, lower) = (item(&*crops, 0), item(&*crops, 1));
    let red = |image: &[u8], x: usize, y: usize| image[(y * 32 + x) * 3];
    assert!(red(&upper, 5, 30).abs_diff(30) < 8 && red(&lower, 5, 30).abs_diff(62) < 8);
}

#[test]
fn splits_by_folder_and_by_seed() {
    let folder = tempdir().unwrap();
    for number in 0..40 {
        write_picture(
            &folder.path().join(format!("{number:02}.png")),
            2,
            2,
            number,
        );
    }
    let part = |split, seed| {
        let options = OpenOptions {
            seed,
            ..OpenOptions::new(rgb(2))
        };
        names(&*open(&source(folder.path()), split, &options).unwrap())
    };
    let lengths =
        [Split::Train, Split::Valid, Split::Test, Split::All].map(|split| part(split, 3).len());
    assert_eq!(lengths, [36, 2, 2, 40]);
    assert_eq!(part(Split::Valid, 3), part(Split::Valid, 3));
    assert_ne!(part(Split::Valid, 3), part(Split::Valid, 4));

    let split = tempdir().unwrap();
    for (name, images) in [("train", 5), ("val", 2), ("test", 3)] {
        for number in 0..images {
            write_picture(
                &split.path().join(format!("{name}/{number}.png")),
                2,
                2,
                number,
            );
        }
    }
    let len = |part| opened(source(split.path()), part, rgb(2)).unwrap().len();
    assert_eq!(
        [Split::Train, Split::Valid, Split::Test, Split::All].map(len),
        [5, 2, 3, 10]
    );
}

#[test]
fn a_truncated_jpeg_is_named_or_skipped() {
    let folder = tempdir().unwrap();
    for number in 0..3 {
        write(
            &folder.path().join(format!("good{number}.jpg")),
            &jpeg(64, 64),
        );
    }
    write(&folder.path().join("bad.jpg"), &truncated_jpeg());
    let error = open_error(source(folder.path()), Split::All, rgb(8));
    assert_says(&error, &["bad.jpg", "truncated", "--skip-bad-images"]);
    let options = OpenOptions {
        skip_bad_images: true,
        ..OpenOptions::new(rgb(8))
    };
    let dataset = open(&source(folder.path()), Split::All, &options).unwrap();
    assert_eq!(dataset.len(), 3);
    assert_eq!(dataset.skipped().len(), 1);
    assert_says(&dataset.skipped()[0], &["bad.jpg", "truncated"]);
}

#[test]
fn every_kind_of_bad_image_is_named() {
    let png = {
        let folder = tempdir().unwrap();
        write_picture(&folder.path().join("a.png"), 64, 64, 1);
        fs::read(folder.path().join("a.png")).unwrap()
    };
    let webp = {
        let folder = tempdir().unwrap();
        write_picture(&folder.path().join("a.webp"), 64, 64, 1);
        fs::read(folder.path().join("a.webp")).unwrap()
    };
    for (name, bytes) in [
        ("truncated.png", &png[..png.len() / 2]),
        ("truncated.webp", &webp[..webp.len() / 2]),
        ("header.jpg", &jpeg(64, 64)[..30]),
        ("empty.jpg", b""),
        ("text.png", b"this is no image"),
        (
            "enormous.png",
            &png_that_claims(2_000_000_000, 2_000_000_000),
        ),
        ("large.png", &png_that_claims(60_000, 60_000)),
    ] {
        let folder = tempdir().unwrap();
        write(&folder.path().join(name), bytes);
        assert_says(
            &open_error(source(folder.path()), Split::All, rgb(8)),
            &[name, "--skip-bad-images"],
        );
        let options = OpenOptions {
            skip_bad_images: true,
            ..OpenOptions::new(rgb(8))
        };
        let error = open(&source(folder.path()), Split::All, &options)
            .err()
            .unwrap()
            .to_string();
        assert_says(
            &error,
            &["expected images that can be used, found none", name],
        );
        for crops in [false, true] {
            let options = OpenOptions {
                skip_bad_images: crops,
                ..options
            };
            let crops = open(
                &Source::Crops(folder.path().to_owned()),
                Split::All,
                &options,
            );
            assert_says(&crops.err().unwrap().to_string(), &[name]);
        }
    }
    let folder = tempdir().unwrap();
    write(
        &folder.path().join("large.png"),
        &png_that_claims(60_000, 60_000),
    );
    let error = open_error(source(folder.path()), Split::All, rgb(8));
    assert_says(&error, &["claims 60000 x 60000 pixels"]);
}

#[test]
fn several_bad_images_are_counted() {
    let folder = tempdir().unwrap();
    for name in ["a.jpg", "b.jpg", "c.jpg"] {
        write(&folder.path().join(name), &truncated_jpeg());
    }
    let error = open_error(source(folder.path()), Split::All, rgb(8));
    assert_says(&error, &["a.jpg", "and 2 more images"]);
}

#[test]
fn an_empty_folder_is_an_error() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("inner")).unwrap();
    write(&folder.path().join("inner/notes.txt"), b"no image");
    let error = open_error(source(folder.path()), Split::Train, rgb(8));
    assert_says(
        &error,
        &[
            &folder.path().display().to_string(),
            "expected PNG, JPEG, WebP, GIF, BMP or TIFF images, found none",
        ],
    );
}

#[test]
fn a_file_in_place_of_a_folder_is_an_error() {
    let error = open_error(source(&fixture("array.npy")), Split::Train, rgb(8));
    assert_says(&error, &["cannot read folder", "array.npy"]);
}

#[cfg(unix)]
#[test]
fn folders_that_link_to_each_other_are_walked_once() {
    let folder = tempdir().unwrap();
    write_picture(&folder.path().join("inner/a.png"), 4, 4, 0);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("inner/loop")).unwrap();
    assert_eq!(
        opened(source(folder.path()), Split::All, rgb(4))
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn ffhq1024_takes_validation_for_test() {
    let folder = tempdir().unwrap();
    let source = Source::Ffhq1024(folder.path().to_owned());
    assert_says(
        &open_error(source.clone(), Split::Train, rgb(1024)),
        &["`train` and `valid`"],
    );
    for (name, images) in [("train", 2), ("valid", 1)] {
        for number in 0..images {
            let flat = image::RgbImage::from_pixel(1024, 1024, image::Rgb([number, 0, 0]));
            let path = folder.path().join(name).join(format!("{number}.png"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            flat.save(path).unwrap();
        }
    }
    let len = |split| opened(source.clone(), split, rgb(1024)).unwrap().len();
    assert_eq!(
        [Split::Train, Split::Valid, Split::Test, Split::All].map(len),
        [2, 1, 1, 3]
    );
    assert_says(
        &open_error(source, Split::Train, rgb(256)),
        &["image_size", "folder:DIR"],
    );
}

#[test]
fn single_files_are_loaded_or_named() {
    let folder = tempdir().unwrap();
    let (good, wide, bad) = (
        folder.path().join("a.png"),
        folder.path().join("b.png"),
        folder.path().join("c.png"),
    );
    write_picture(&good, 8, 8, 1);
    write_picture(&wide, 16, 8, 2);
    let (batch, _) = load_images(&[wide.clone(), good.clone()], rgb(8)).unwrap();
    assert_eq!((batch.len(), &batch.indices[..]), (2, &[0, 1][..]));
    assert_eq!(batch.images[..3], [4, 0, 2]);
    assert_eq!(batch.images[192..], *picture(8, 8, 1).into_raw());
    let error = load_images(&[good, bad.clone()], rgb(8)).unwrap_err();
    assert!(matches!(&error, DataError::Image { name, .. } if *name == bad.display().to_string()));
    assert_says(&error.to_string(), &["c.png: cannot be read"]);
    write(&bad, &truncated_jpeg());
    assert_says(
        &load_images(&[bad], rgb(8)).unwrap_err().to_string(),
        &["c.png: the JPEG is truncated"],
    );
}
