//! Images in tar files.

use std::fs;
use std::path::Path;

use tempfile::tempdir;
use vdvae_data::{Collection, OpenOptions, Source, Split};

use crate::files::*;

/// A tar file as WebDataset writes it: `images` pictures, each with a label beside it.
fn write_shard(path: &Path, images: u8, tag: u8) {
    let mut archive = tar::Builder::new(fs::File::create(path).unwrap());
    let mut add = |name: String, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes).unwrap();
    };
    for number in 0..images {
        let mut png = std::io::Cursor::new(Vec::new());
        let rgb = picture(4, 4, tag + number);
        rgb.write_to(&mut png, image::ImageFormat::Png).unwrap();
        add(format!("./{number:04}.png"), png.get_ref());
        add(format!("./{number:04}.cls"), b"7");
    }
    archive.finish().unwrap();
}

fn source(path: impl AsRef<Path>) -> Source {
    Source::Tar(path.as_ref().to_owned())
}

#[test]
fn images_are_read_from_their_places_and_labels_passed_over() {
    let folder = tempdir().unwrap();
    write_shard(&folder.path().join("b-0.tar"), 20, 100);
    write_shard(&folder.path().join("b-1.tar"), 20, 200);
    let options = OpenOptions::new(rgb(4));
    for pattern in ["", "b-{0..1}.tar", "b-*.tar", "b-?.tar"] {
        let source = source(folder.path().join(pattern));
        let collection = Collection::split(&source, &options).unwrap();
        assert_eq!(
            collection.passed_over().unwrap().to_string(),
            "40 files: 40 .cls"
        );
        let all = collection.open(Split::All, &options).unwrap();
        assert_eq!(all.len(), 40, "{pattern}");
        assert_eq!(item(&*all, 23), picture(4, 4, 203).into_raw());
        assert!(
            all.name(23).ends_with("b-1.tar/0003.png"),
            "{}",
            all.name(23)
        );
        let lengths = [Split::Train, Split::Valid, Split::Test]
            .map(|split| collection.open(split, &options).unwrap().len());
        assert_eq!(lengths, [36, 2, 2]);
    }
    let one = source(folder.path().join("b-0.tar"));
    assert_eq!(opened(one, Split::All, rgb(4)).unwrap().len(), 20);
}

#[test]
fn shards_are_split_by_their_names() {
    let folder = tempdir().unwrap();
    for (name, images) in [
        ("imagenet-train-000.tar", 20),
        ("imagenet-train-001.tar", 20),
        ("imagenet-val-000.tar", 5),
    ] {
        write_shard(&folder.path().join(name), images, 0);
    }
    let len = |split| opened(source(folder.path()), split, rgb(4)).map_or(0, |part| part.len());
    let lengths = [Split::Train, Split::Valid, Split::Test, Split::All].map(len);
    assert_eq!(lengths, [40, 5, 0, 45]);
    let train = source(folder.path().join("imagenet-train-{000..001}.tar"));
    assert_eq!(opened(train, Split::Valid, rgb(4)).unwrap().len(), 2);
}

#[test]
fn tar_files_that_are_missing_damaged_or_compressed_are_named() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.tar");
    let error = || open_error(source(&path), Split::All, rgb(4));
    assert_says(&error(), &["cannot open", "a.tar"]);
    assert_says(
        &open_error(source(folder.path().join("*.tar")), Split::All, rgb(4)),
        &["expected tar files, found none", "train-{000..146}.tar"],
    );
    write_shard(&path, 3, 0);
    let whole = fs::read(&path).unwrap();
    write(&path, &whole[..600]);
    assert_says(&error(), &["a.tar: archive"]);
    write(&path, b"\x1f\x8b\x08hello");
    assert_says(&error(), &["a.tar", "compressed with gzip", "gunzip"]);
    write(&path, &[b'x'; 2000]);
    assert_says(&error(), &["a.tar: archive"]);
    let mut empty = tar::Builder::new(fs::File::create(&path).unwrap());
    empty.finish().unwrap();
    assert_says(&error(), &["expected images in tar files, found none"]);
}

#[cfg(not(feature = "parquet"))]
#[test]
fn without_its_feature_parquet_says_how_to_get_it() {
    let error = open_error(Source::Parquet("a.parquet".into()), Split::All, rgb(4));
    assert_says(&error, &["parquet:a.parquet", "--features vdvae/parquet"]);
}

#[test]
fn every_image_has_a_name_of_its_own() {
    let folder = tempdir().unwrap();
    let options = OpenOptions::new(rgb(4));
    // A member that was added again takes the place of the one before.
    let path = folder.path().join("again.tar");
    let mut archive = tar::Builder::new(fs::File::create(&path).unwrap());
    for (name, tag) in [("a", 1), ("b", 2), ("c", 3), ("b", 9)] {
        let mut png = std::io::Cursor::new(Vec::new());
        let rgb = picture(4, 4, tag);
        rgb.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(png.get_ref().len() as u64);
        archive
            .append_data(&mut header, format!("{name}.png"), &png.get_ref()[..])
            .unwrap();
    }
    archive.finish().unwrap();
    let collection = Collection::split(&source(&path), &options).unwrap();
    let all = collection.open(Split::All, &options).unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(item(&*all, 1), picture(4, 4, 9).into_raw());

    for part in ["a", "b"] {
        fs::create_dir(folder.path().join(part)).unwrap();
        write_shard(&folder.path().join(part).join("0.tar"), 3, 0);
    }
    let both = source(folder.path().join("{a,b}/0.tar"));
    let error = Collection::split(&both, &options)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("a/0.tar and ") && error.contains("Rename one"),
        "{error}"
    );
}
