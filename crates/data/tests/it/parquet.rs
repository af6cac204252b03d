//! Images in Parquet files that Hugging Face's library and pyarrow wrote.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tempfile::tempdir;
use vdvae_data::{Collection, ItemRng, OpenOptions, Source, Split, open};

use crate::files::*;

fn source(path: impl AsRef<Path>) -> Source {
    Source::Parquet(path.as_ref().to_owned())
}

#[test]
fn files_of_hugging_face_are_split_by_their_names() {
    let folder = fixture("parquet");
    let options = OpenOptions::new(rgb(4));
    for pattern in ["", "*.parquet", "t*-0000?-of-*.parquet"] {
        let source = source(folder.join(pattern));
        let collection = Collection::split(&source, &options).unwrap();
        let open = |split| collection.open(split, &options).unwrap();
        let lengths =
            [Split::Train, Split::Valid, Split::Test, Split::All].map(|split| open(split).len());
        assert_eq!(lengths, [11, 1, 3, 15], "{pattern}");
        let (all, test) = (open(Split::All), open(Split::Test));
        // Files in the order of their names, of the first training file the last row of the second group.
        assert_eq!(item(&*all, 10), picture(4, 4, 7).into_raw());
        assert_eq!(item(&*all, 11), picture(4, 4, 100).into_raw());
        assert_eq!(item(&*test, 2), picture(4, 4, 202).into_raw());
        let name = all.name(10);
        assert!(
            name.ends_with("train-00000-of-00002.parquet row 7"),
            "{name}"
        );
    }
    let train = source(folder.join("train-{00000..00001}-of-00002.parquet"));
    assert_eq!(opened(train, Split::All, rgb(4)).unwrap().len(), 12);
}

#[test]
fn rows_are_read_in_any_order_from_many_pages_and_groups() {
    let options = OpenOptions {
        look_through: false,
        ..OpenOptions::new(rgb(4))
    };
    for step in [1, 7, 23, 49] {
        let dataset = open(&source(fixture("pages.parquet")), Split::All, &options).unwrap();
        assert_eq!(dataset.len(), 50);
        for row in (0..50).map(|row| row * step % 50) {
            assert_eq!(
                item(&*dataset, row),
                picture(4, 4, 10 + row as u8).into_raw(),
                "{row}"
            );
        }
    }
}

#[test]
fn rows_without_an_image_are_named_and_can_be_skipped() {
    let path = fixture("nulls.parquet");
    assert_says(
        &open_error(source(&path), Split::All, rgb(4)),
        &[
            "nulls.parquet row 1: is null",
            "nulls.parquet row 2: is null",
            "--skip-bad-images",
        ],
    );
    let options = OpenOptions {
        skip_bad_images: true,
        ..OpenOptions::new(rgb(4))
    };
    let rest = open(&source(&path), Split::All, &options).unwrap();
    assert_eq!((rest.len(), rest.skipped().len()), (2, 2));
    assert_eq!(item(&*rest, 1), picture(4, 4, 4).into_raw());
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempdir().unwrap();
    let error = |path: &Path| open_error(source(path), Split::All, rgb(4));
    assert_says(
        &error(&fixture("no-image.parquet")),
        &[
            "no-image.parquet: columns",
            "`image` or `img`",
            "found label, text",
        ],
    );
    assert_says(
        &error(&fixture("gzip.parquet")),
        &[
            "gzip.parquet: compression",
            "Snappy",
            "found GZIP",
            "write_table",
        ],
    );
    assert_says(
        &error(&folder.path().join("*.parquet")),
        &["expected parquet files, found none"],
    );
    assert_says(
        &error(&folder.path().join("a.parquet")),
        &["cannot open", "a.parquet"],
    );
    let path = folder.path().join("cut.parquet");
    let whole = fs::read(fixture("pages.parquet")).unwrap();
    for length in [0, 3, 100, whole.len() - 1] {
        write(&path, &whole[..length]);
        assert_says(
            &error(&path),
            &["cut.parquet: table", "a whole Parquet file"],
        );
    }
}

proptest! {
    /// Whatever the bytes are: images, or an error.
    #[test]
    fn damaged_files_are_errors(
        name in prop::sample::select(vec!["pages.parquet", "nulls.parquet", "parquet/test-00000-of-00001.parquet"]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let folder = tempdir().unwrap();
        let path = folder.path().join("damaged.parquet");
        let mut bytes = fs::read(fixture(name)).unwrap();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        write(&path, &bytes);
        let options = OpenOptions { look_through: false, ..OpenOptions::new(rgb(4)) };
        let all = match open(&source(&path), Split::All, &options) {
            Ok(all) => all,
            Err(error) => {
                prop_assert!(error.to_string().contains("damaged.parquet"), "{error}");
                return Ok(());
            }
        };
        let mut pixels = vec![0; all.image().len()];
        for row in 0..all.len() {
            if let Err(error) = all.read(row, &mut ItemRng::for_item(0, 0), &mut pixels) {
                prop_assert!(error.to_string().contains("damaged.parquet row"), "{error}");
            }
        }
    }
}
