//! photos and crops.

use std::collections::HashSet;
use std::path::Path;

use sha2::{Digest, Sha256};
use tempfile::tempdir;
use vdvae_data::{Dataset, ItemRng, OpenOptions, Source, Split, open};

use crate::files::*;

fn source(folder: &Path) -> Source {
    Source::Crops(folder.to_owned())
}

/// What the training split gives at a position of training.
fn drawn(dataset: &dyn Dataset, position: u64) -> Vec<u8> {
    let mut out = vec![0; dataset.image().len()];
    dataset
        .read(0, &mut ItemRng::for_item(9, position), &mut out)
        .unwrap();
    out
}

#[test]
fn the_photographs_in_the_program_have_the_known_numbers_of_crops() {
    for (split, crops) in [
        (Split::Train, 1192),
        (Split::Valid, 246),
        (Split::Test, 400),
        (Split::All, 1838),
    ] {
        for augment in [false, true] {
            let options = OpenOptions {
                augment,
                flip: true,
                ..OpenOptions::new(rgb(32))
            };
            assert_eq!(
                open(&Source::Photos, split, &options).unwrap().len(),
                crops,
                "{split}"
            );
        }
    }
    let test = opened(Source::Photos, Split::Test, rgb(32)).unwrap();
    assert_eq!(
        test.name(0),
        "photos/test/Picture_1A_by_freespace.webp crop 0"
    );
    assert_eq!(test.name(399), "photos/test/zimniPalace.webp crop 14");
}

/// The expected digests of all crops, one after the other, were computed with Pillow and NumPy.
#[test]
fn the_photographs_in_the_program_have_the_known_pixels() {
    for (split, digest) in [
        (
            Split::Train,
            "5223b0978789b934eb8a707cf9606d6dba183ad2d66ecd548530624cf6d09189",
        ),
        (
            Split::Test,
            "23f511be9e12c075eae26fa4e2b133a840f9f28a6474503a063c61c02e92476d",
        ),
    ] {
        let dataset = opened(Source::Photos, split, rgb(32)).unwrap();
        let crops: Vec<u8> = (0..dataset.len())
            .flat_map(|index| item(&*dataset, index))
            .collect();
        let found: String = Sha256::digest(&crops)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(found, digest, "{split}");
    }
}

#[test]
fn the_grid_is_that_of_crops_that_do_not_overlap() {
    let folder = tempdir().unwrap();
    write_picture(&folder.path().join("a.png"), 11, 9, 1); // 2 columns, 2 rows of 4 x 4
    write_picture(&folder.path().join("b.png"), 4, 13, 2); // 1 column, 3 rows
    let dataset = opened(source(folder.path()), Split::All, rgb(4)).unwrap();
    let corners: Vec<Vec<u8>> = (0..dataset.len())
        .map(|index| item(&*dataset, index)[..3].to_vec())
        .collect();
    assert_eq!(
        corners,
        [
            [0, 0, 1],
            [4, 0, 1],
            [0, 4, 1],
            [4, 4, 1],
            [0, 0, 2],
            [0, 4, 2],
            [0, 8, 2]
        ]
    );
    let whole = item(&*dataset, 3);
    assert_eq!(whole[45..], [7, 7, 1]);
    let b = folder.path().join("b.png").display().to_string();
    assert_eq!(dataset.name(5), format!("{b} crop 1"));
}

#[test]
fn training_crops_reach_every_place_in_proportion_to_the_pixels() {
    let folder = tempdir().unwrap();
    write_picture(&folder.path().join("train/a.png"), 6, 5, 1); // 30 pixels, 6 places
    write_picture(&folder.path().join("train/b.png"), 10, 9, 2); // 90 pixels, 42 places
    write_picture(&folder.path().join("valid/c.png"), 4, 4, 3);
    write_picture(&folder.path().join("test/d.png"), 4, 4, 4);
    let options = OpenOptions {
        augment: true,
        ..OpenOptions::new(rgb(4))
    };
    let dataset = open(&source(folder.path()), Split::Train, &options).unwrap();
    assert_eq!(dataset.len(), 1 + 4);
    let mut places = HashSet::new();
    let mut from_the_first = 0;
    for position in 0..4000 {
        let image = drawn(&*dataset, position);
        assert_eq!(image, drawn(&*dataset, position));
        assert_eq!(
            [image[45], image[46], image[47]],
            [image[0] + 3, image[1] + 3, image[2]]
        );
        from_the_first += u32::from(image[2] == 1);
        places.insert([image[0], image[1], image[2]]);
    }
    assert_eq!(places.len(), 6 + 42);
    // A quarter of 4000; six standard deviations are 164.
    assert!(from_the_first.abs_diff(1000) < 164, "{from_the_first}");
    assert_eq!(
        opened(source(folder.path()), Split::Train, rgb(4))
            .unwrap()
            .name(0)
            .matches("random")
            .count(),
        0
    );
}

#[test]
fn flips_happen_half_of_the_time_in_training_alone() {
    let folder = tempdir().unwrap();
    for name in ["train", "valid", "test"] {
        write_picture(&folder.path().join(name).join("a.png"), 4, 4, 1);
    }
    let options = OpenOptions {
        augment: true,
        flip: true,
        ..OpenOptions::new(rgb(4))
    };
    let mirrored = |options: &OpenOptions, split| {
        let dataset = open(&source(folder.path()), split, options).unwrap();
        (0..1000)
            .filter(|&position| drawn(&*dataset, position)[0] == 3)
            .count()
    };
    let flips = mirrored(&options, Split::Train);
    assert!(flips.abs_diff(500) < 95, "{flips}"); // six standard deviations
    assert_eq!(mirrored(&options, Split::Valid), 0);
    assert_eq!(
        mirrored(
            &OpenOptions {
                flip: false,
                ..options
            },
            Split::Train
        ),
        0
    );
    assert_eq!(
        mirrored(
            &OpenOptions {
                augment: false,
                ..options
            },
            Split::Train
        ),
        0
    );
}

#[test]
fn photographs_are_held_out_whole() {
    let folder = tempdir().unwrap();
    let photograph = |number: u8| folder.path().join(format!("{number}.png"));
    for number in 0..2 {
        write_picture(&photograph(number), 8, 8, number);
    }
    let error = open_error(source(folder.path()), Split::Train, rgb(4));
    assert_says(&error, &["at least 3 photographs", "found 2"]);
    for number in 2..6 {
        write_picture(&photograph(number), 8, 8, number);
    }
    let tags = |split| -> HashSet<u8> {
        let dataset = opened(source(folder.path()), split, rgb(4)).unwrap();
        (0..dataset.len())
            .map(|index| item(&*dataset, index)[2])
            .collect()
    };
    let (train, valid, test) = (tags(Split::Train), tags(Split::Valid), tags(Split::Test));
    assert_eq!((train.len(), valid.len(), test.len()), (4, 1, 1));
    assert_eq!(&(&train | &valid) | &test, (0..6).collect());
}

#[test]
fn a_photograph_smaller_than_the_crop_is_named_or_skipped() {
    let folder = tempdir().unwrap();
    write_picture(&folder.path().join("large.png"), 64, 64, 0);
    write_picture(&folder.path().join("small.png"), 100, 31, 0);
    let error = open_error(source(folder.path()), Split::All, rgb(32));
    assert_says(
        &error,
        &[
            "small.png",
            "at least 32 x 32",
            "found 100 x 31",
            "--skip-bad-images",
        ],
    );
    let options = OpenOptions {
        skip_bad_images: true,
        ..OpenOptions::new(rgb(32))
    };
    let dataset = open(&source(folder.path()), Split::All, &options).unwrap();
    assert_eq!((dataset.len(), dataset.skipped().len()), (4, 1));
    let photos = open_error(Source::Photos, Split::Train, rgb(1024));
    assert_says(&photos, &["photos/train/", "at least 1024 x 1024"]);
}

#[test]
fn gray_crops_are_those_of_the_luma() {
    let folder = tempdir().unwrap();
    write_picture(&folder.path().join("a.png"), 4, 4, 200);
    let dataset = opened(source(folder.path()), Split::All, gray(4)).unwrap();
    let expected = |x: f64, y: f64| (0.299 * x + 0.587 * y + 0.114 * 200.0).round() as u8;
    assert_eq!(item(&*dataset, 0)[6], expected(2.0, 1.0));
}
