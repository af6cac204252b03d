//! npy, imagenet32, imagenet64, ffhq256.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use tempfile::tempdir;
use vdvae_data::{Source, Split, legacy_permutation};

use crate::files::*;

#[test]
fn an_array_is_taken_whole_or_held_out_from() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.npy");
    write(&path, &numbered_npy(100, 4, 3));
    let source = Source::Npy(path.clone());
    let all = opened(source.clone(), Split::All, rgb(4)).unwrap();
    assert_eq!(all.len(), 100);
    assert_eq!(item(&*all, 42), vec![42; 48]);
    assert_eq!(all.name(42), format!("{} row 42", path.display()));
    let parts = [Split::Train, Split::Valid, Split::Test]
        .map(|split| opened(source.clone(), split, rgb(4)).unwrap());
    assert_eq!([0, 1, 2].map(|part| parts[part].len()), [90, 5, 5]);
    let values: HashSet<u8> = parts
        .iter()
        .flat_map(|part| (0..part.len()).map(|index| item(&**part, index)[0]))
        .collect();
    assert_eq!(values.len(), 100);
}

#[test]
fn what_numpy_wrote_is_read() {
    let array = opened(Source::Npy(fixture("array.npy")), Split::All, rgb(2)).unwrap();
    assert_eq!(array.len(), 4);
    assert_eq!(item(&*array, 3), (36..48).collect::<Vec<u8>>());
}

#[test]
fn gray_arrays_become_rgb_and_rgb_arrays_gray() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("gray.npy");
    let mut npy = npy_header(&[3, 2, 2]);
    npy.extend(0..12);
    write(&path, &npy);
    let source = Source::Npy(path);
    assert_eq!(
        item(&*opened(source.clone(), Split::All, gray(2)).unwrap(), 1),
        [4, 5, 6, 7]
    );
    assert_eq!(
        item(&*opened(source, Split::All, rgb(2)).unwrap(), 1),
        [4, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7, 7]
    );
    let array = opened(Source::Npy(fixture("array.npy")), Split::All, gray(2)).unwrap();
    assert_eq!(item(&*array, 0), [1, 4, 7, 10]); // of 0 1 2, 3 4 5, ...
}

#[test]
fn bad_arrays_are_named_with_what_to_do() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let whole = numbered_npy(10, 4, 3);
    let mut enormous = npy_header(&[usize::MAX / 64, 4, 4, 3]);
    enormous.extend_from_slice(&[0; 100]);
    for (bytes, says) in [
        (
            &whole[..whole.len() - 50],
            "found 430 bytes, which hold 8 images. The file is truncated",
        ),
        (&enormous, "expected"),
        (
            &numbered_npy(10, 8, 3),
            "expected images of 4 x 4 pixels, found 8 x 8",
        ),
        (&numbered_npy(10, 4, 2), "expected N x S x S x 3"),
        (&numbered_npy(0, 4, 3), "found none"),
        (b"", "magic"),
        (b"not an array at all", "magic"),
    ] {
        write(&path, bytes);
        assert_says(
            &open_error(Source::Npy(path.clone()), Split::All, rgb(4)),
            &["a.npy", says],
        );
    }
}

#[test]
fn missing_and_unreadable_paths_are_named() {
    let folder = tempdir().unwrap();
    let missing = folder.path().join("missing");
    let sources: [fn(std::path::PathBuf) -> Source; 9] = [
        Source::Crops,
        Source::Folder,
        Source::Npy,
        Source::Cifar10,
        Source::Imagenet32,
        Source::Imagenet64,
        Source::Ffhq256,
        Source::Ffhq1024,
        Source::Idx,
    ];
    for (source, size) in sources
        .into_iter()
        .zip([32, 32, 32, 32, 32, 64, 256, 1024, 32])
    {
        let source = source(missing.clone());
        assert_says(
            &open_error(source, Split::Train, rgb(size)),
            &[&missing.display().to_string()],
        );
    }
    let error = open_error(Source::Npy(folder.path().to_owned()), Split::All, rgb(4));
    assert_says(
        &error,
        &[
            &folder.path().display().to_string(),
            "is a folder, where a regular file was expected",
        ],
    );
}

#[test]
fn impossible_shapes_are_arguments_that_are_wrong() {
    assert_says(
        &open_error(Source::Photos, Split::All, rgb(0)),
        &["image_size: expected 1 to 32768, found 0"],
    );
    let shape = vdvae_data::ImageShape {
        size: 32,
        channels: 4,
    };
    assert_says(
        &open_error(Source::Photos, Split::All, shape),
        &["image_channels", "found 4"],
    );
}

/// Writes an array of images that are all zero but for the number in their first four bytes.
fn write_sparse(path: &Path, images: u32, size: usize) {
    let header = npy_header(&[images as usize, size, size, 3]);
    let stride = (size * size * 3) as u64;
    let mut file = File::create(path).unwrap();
    file.write_all(&header).unwrap();
    file.set_len(header.len() as u64 + u64::from(images) * stride)
        .unwrap();
    // One image in a hundred is enough, and keeps the file small on the disk.
    for number in (0..images).step_by(100) {
        let place = header.len() as u64 + u64::from(number) * stride;
        file.seek(SeekFrom::Start(place)).unwrap();
        file.write_all(&number.to_le_bytes()).unwrap();
    }
}

fn number(pixels: &[u8]) -> u32 {
    u32::from_le_bytes(pixels[..4].try_into().unwrap())
}

#[test]
fn imagenet_is_split_as_published() {
    for (size, source) in [
        (32, Source::Imagenet32 as fn(_) -> _),
        (64, Source::Imagenet64),
    ] {
        let folder = tempdir().unwrap();
        let count = 5300;
        let train_file = folder.path().join(format!("imagenet{size}-train.npy"));
        write_sparse(&train_file, count, size);
        write_sparse(
            &folder.path().join(format!("imagenet{size}-valid.npy")),
            7,
            size,
        );
        let open = |path: &Path, split| opened(source(path.to_owned()), split, rgb(size)).unwrap();
        let (train, valid) = (
            open(folder.path(), Split::Train),
            open(&train_file, Split::Valid),
        );
        assert_eq!((train.len(), valid.len()), (300, 5000));
        let order = legacy_permutation(42, count);
        for (index, &expected) in order
            .iter()
            .enumerate()
            .filter(|(_, number)| *number % 100 == 0)
        {
            let (part, index) = if index < 300 {
                (&train, index)
            } else {
                (&valid, index - 300)
            };
            assert_eq!(number(&item(&**part, index)), expected);
            assert_eq!(
                part.name(index),
                format!("{} row {expected}", train_file.display())
            );
        }
        assert_eq!(open(folder.path(), Split::Test).len(), 7);
        let all = open(folder.path(), Split::All);
        assert_eq!(all.len(), 5307);
        assert!(
            all.name(5306).ends_with("valid.npy row 6"),
            "{}",
            all.name(5306)
        );
    }
}

#[test]
fn imagenet_that_is_not_there_or_too_small_is_named() {
    let folder = tempdir().unwrap();
    let source = Source::Imagenet32(folder.path().to_owned());
    assert_says(
        &open_error(source.clone(), Split::Train, rgb(32)),
        &["imagenet32-train.npy"],
    );
    write(
        &folder.path().join("imagenet32-train.npy"),
        &numbered_npy(20, 32, 3),
    );
    assert_says(
        &open_error(source.clone(), Split::Train, rgb(32)),
        &["more than 5000 images", "found 20"],
    );
    assert_says(
        &open_error(source.clone(), Split::Test, rgb(32)),
        &["imagenet32-valid.npy"],
    );
    assert_says(
        &open_error(source, Split::Train, rgb(64)),
        &["image_size", "model.image_size = 32"],
    );
}

#[test]
fn ffhq256_is_split_as_published() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ffhq-256.npy");
    write_sparse(&path, 70_000, 256);
    let open = |split| opened(Source::Ffhq256(folder.path().to_owned()), split, rgb(256)).unwrap();
    let (train, valid, test) = (open(Split::Train), open(Split::Valid), open(Split::Test));
    assert_eq!((train.len(), valid.len(), test.len()), (63_000, 7000, 7000));
    assert_eq!(open(Split::All).len(), 70_000);
    let order = legacy_permutation(5, 70_000);
    for index in [0, 1, 62_999] {
        assert_eq!(
            train.name(index),
            format!("{} row {}", path.display(), order[index])
        );
    }
    let index = order[63_000..]
        .iter()
        .position(|number| number % 100 == 0)
        .unwrap();
    assert_eq!(number(&item(&*valid, index)), order[63_000 + index]);
    assert_eq!(names(&*valid), names(&*test));

    fs::write(&path, numbered_npy(3, 256, 3)).unwrap();
    let error = open_error(Source::Ffhq256(path), Split::Train, rgb(256));
    assert_says(&error, &["ffhq-256.npy: images: expected 70000, found 3"]);
}
