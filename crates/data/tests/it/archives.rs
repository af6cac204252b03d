//! .npz files.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use rawzip::{CompressionMethod, ZipArchiveWriter};
use tempfile::tempdir;
use vdvae_data::{Source, Split};

use crate::files::*;

fn npz(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut archive = ZipArchiveWriter::new(&mut bytes);
    for (name, contents) in entries {
        let builder = archive
            .new_file(name)
            .compression_method(CompressionMethod::DEFLATE);
        let (mut entry, config) = builder.start().unwrap();
        let mut writer = config.wrap(DeflateEncoder::new(&mut entry, Compression::fast()));
        writer.write_all(contents).unwrap();
        let (encoder, descriptor) = writer.finish().unwrap();
        encoder.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    bytes
}

#[test]
fn what_numpy_wrote_is_read() {
    for file in ["stored.npz", "deflated.npz"] {
        let array = opened(Source::Npy(fixture(file)), Split::All, rgb(2)).unwrap();
        assert_eq!(array.len(), 4, "{file}");
        assert_eq!(item(&*array, 2), (24..36).collect::<Vec<u8>>(), "{file}");
    }
    let array = opened(Source::Npy(fixture("stored.npz")), Split::All, rgb(2)).unwrap();
    assert!(
        array.name(0).ends_with("stored.npz[images] row 0"),
        "{}",
        array.name(0)
    );
}

#[test]
fn the_array_is_the_only_one_that_can_be_images() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let images = numbered_npy(3, 2, 3);
    let mut labels = npy_header(&[3, 1]);
    labels.extend([1, 2, 3]);
    for (entries, chosen) in [
        (&[("whatever.npy", &images[..])][..], "[whatever]"),
        (
            &[("labels.npy", &labels), ("arr_0.npy", &images)],
            "[arr_0]",
        ),
        (&[("y.npy", &labels), ("data.npy", &images)], "[data]"),
    ] {
        write(&path, &npz(entries));
        let array = opened(Source::Npy(path.clone()), Split::All, rgb(2)).unwrap();
        assert_eq!(array.len(), 3);
        assert!(array.name(0).contains(chosen), "{}", array.name(0));
    }
    for (entries, found) in [
        (
            &[("arr_0.npy", &images[..]), ("arr_1.npy", &images)][..],
            "found arr_0, arr_1",
        ),
        (
            &[("x.npy", &images[..]), ("x_test.npy", &images)],
            "found x, x_test",
        ),
        (&[("readme.txt", b"hello")], "found no array"),
    ] {
        write(&path, &npz(entries));
        let error = open_error(Source::Npy(path.clone()), Split::All, rgb(2));
        assert_says(
            &error,
            &["a.npz: arrays: expected one array", found, "npz:FILE[NAME]"],
        );
    }
}

#[test]
fn damaged_archives_are_named() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let whole = npz(&[("x.npy", &numbered_npy(30, 8, 3))]);
    let mut flipped = whole.clone();
    flipped[60] ^= 0x10;
    let mut unknown_method = whole.clone();
    for signature in [&b"PK\x03\x04"[..], b"PK\x01\x02"] {
        let at = whole
            .windows(4)
            .position(|window| window == signature)
            .unwrap();
        unknown_method[at + if signature[2] == 3 { 8 } else { 10 }] = 99;
    }
    for bytes in [
        &whole[..whole.len() / 2],
        &flipped,
        &unknown_method,
        b"PK",
        b"",
    ] {
        write(&path, bytes);
        assert_says(
            &open_error(Source::Npy(path.clone()), Split::All, rgb(8)),
            &["a.npz"],
        );
    }
    assert!({
        write(&path, &whole);
        opened(Source::Npy(path), Split::All, rgb(8)).is_ok()
    });
}

#[test]
fn an_archive_that_claims_to_be_enormous_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let mut claims = npy_header(&[1 << 40, 2, 2, 3]);
    claims.extend_from_slice(&[0; 24]);
    write(&path, &npz(&[("x.npy", &claims)]));
    let error = open_error(Source::Npy(path.clone()), Split::All, rgb(2));
    assert_says(
        &error,
        &[
            "a.npz[x]: data: expected 13194139533312 bytes",
            "found 24 bytes",
        ],
    );

    // The same claim by the archive itself, in the 4 bytes of the unpacked size.
    let mut lying = npz(&[("x.npy", &numbered_npy(3, 2, 3))]);
    let directory = lying
        .windows(4)
        .position(|window| window == b"PK\x01\x02")
        .unwrap();
    lying[directory + 24..directory + 28].copy_from_slice(&0xFFFF_FFF0_u32.to_le_bytes());
    write(&path, &lying);
    assert_says(
        &open_error(Source::Npy(path), Split::All, rgb(2)),
        &["a.npz[x]: data", "damaged"],
    );
}

#[test]
fn arrays_named_after_splits_are_these() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let [train, valid, test] = [40, 4, 3].map(|images| numbered_npy(images, 4, 3));
    let lengths = |source: &Source, size| {
        [Split::Train, Split::Valid, Split::Test, Split::All].map(|split| {
            opened(source.clone(), split, rgb(size)).map_or(0, |dataset| dataset.len())
        })
    };
    let source = Source::Npz(path.clone());
    let medmnist = [
        ("train_images.npy", &train[..]),
        ("val_images.npy", &valid),
        ("test_images.npy", &test),
    ];
    write(&path, &npz(&medmnist));
    assert_eq!(lengths(&source, 4), [40, 4, 3, 47]);
    assert_eq!(lengths(&Source::Npy(path.clone()), 4), [40, 4, 3, 47]);
    // As MNIST, with a border.
    let padded = opened(source.clone(), Split::Valid, gray(8)).unwrap();
    let image = item(&*padded, 3);
    assert_eq!((image[0], image[2 * 8 + 2], image[5 * 8 + 5]), (0, 3, 3));
    assert_eq!(image.iter().filter(|&&value| value == 3).count(), 16);

    write(
        &path,
        &npz(&[("x_train.npy", &train), ("x_test.npy", &test)]),
    );
    assert_eq!(lengths(&source, 4), [38, 2, 3, 43]);
    write(
        &path,
        &npz(&[("x_train.npy", &train), ("x_val.npy", &valid)]),
    );
    assert_eq!(lengths(&source, 4), [40, 4, 0, 44]);
    let named = Source::Npz(folder.path().join("a.npz[x_val]"));
    assert_eq!(lengths(&named, 4), [2, 1, 1, 4]);
    let wrong = Source::Npz(folder.path().join("a.npz[y]"));
    let error = open_error(wrong, Split::All, rgb(4));
    assert_says(&error, &["a.npz: arrays: expected y, found x_train, x_val"]);
}
