//! What images are for: folders by their names, what is held out, and what a run keeps.

use std::fs;
use std::path::Path;

use tempfile::tempdir;
use vdvae_data::{Collection, OpenOptions, Source, Split};

use crate::files::*;

fn source(folder: &Path) -> Source {
    Source::Folder(folder.to_owned())
}

/// The names of each split's files, without their folder.
fn parts(folder: &Path) -> [Vec<String>; 3] {
    [Split::Train, Split::Valid, Split::Test].map(|split| {
        let dataset = opened(source(folder), split, rgb(2)).unwrap();
        let root = format!("{}/", folder.display());
        let names = names(&*dataset);
        names.iter().map(|name| name.replace(&root, "")).collect()
    })
}

/// `count` pictures in each folder.
fn fill(root: &Path, folders: &[&str], count: u8) {
    for folder in folders {
        for number in 0..count {
            write_picture(&root.join(format!("{folder}/{number}.png")), 2, 2, number);
        }
    }
}

#[test]
fn folders_named_after_splits_are_these() {
    for [train, valid, test] in [
        ["train", "validation", "test"],
        ["Training", "dev", "Testing"],
        ["TRAIN", "Val", "eval"],
        ["cats/train", "cats/valid", "cats/test"],
    ] {
        let folder = tempdir().unwrap();
        fill(folder.path(), &[train, valid, test], 4);
        for (found, name) in parts(folder.path()).iter().zip([train, valid, test]) {
            assert_eq!(found.len(), 4, "{name}");
            assert!(found.iter().all(|file| file.starts_with(name)), "{found:?}");
        }
        let all = opened(source(folder.path()), Split::All, rgb(2)).unwrap();
        assert_eq!(all.len(), 12);
    }
}

#[test]
fn a_missing_validation_split_is_held_out_of_training_images_alone() {
    let folder = tempdir().unwrap();
    fill(folder.path(), &["train/a", "train/b", "test/a"], 20);
    let [train, valid, test] = parts(folder.path());
    assert_eq!([train.len(), valid.len(), test.len()], [38, 2, 20]);
    assert!(valid.iter().all(|file| file.starts_with("train/")));
    assert!(test.iter().all(|file| file.starts_with("test/")));
    assert!(train.iter().all(|file| !valid.contains(file)));
    fs::remove_dir_all(folder.path().join("test")).unwrap();
    assert_eq!(parts(folder.path()).map(|part| part.len()), [36, 2, 2]);
}

/// Not even the validation images, which chose the checkpoint, are taken for test images.
#[test]
fn there_is_no_test_split_where_there_is_one_for_validation_alone() {
    let folder = tempdir().unwrap();
    fill(folder.path(), &["train", "val"], 5);
    let error = open_error(source(folder.path()), Split::Test, rgb(2));
    assert_says(
        &error,
        &[
            "the split test",
            "5 images for training (train/), 5 for validation (val/), 0 for test",
            "--split",
        ],
    );
}

#[test]
fn an_ambiguous_layout_is_shown_but_can_be_taken_whole() {
    let folder = tempdir().unwrap();
    fill(folder.path(), &["train", "test", "unlabeled"], 3);
    for split in [Split::Train, Split::Valid, Split::Test] {
        let error = open_error(source(folder.path()), split, rgb(2));
        assert_says(&error, &["train/", "unlabeled/", "3 images", "--split all"]);
    }
    let all = opened(source(folder.path()), Split::All, rgb(2)).unwrap();
    assert_eq!(all.len(), 9);
}

#[test]
fn a_collection_says_what_it_took_for_what() {
    let folder = tempdir().unwrap();
    fill(folder.path(), &["train", "test"], 20);
    write(&folder.path().join("train/labels.csv"), b"");
    write(&folder.path().join("train/a.avif"), b"");
    write(&folder.path().join("train/b.AVIF"), b"");
    let options = OpenOptions::new(rgb(2));
    let collection = Collection::split(&source(folder.path()), &options).unwrap();
    assert_says(
        &collection.describe(Split::Train),
        &["19 images for training (train/), 1 for validation (held out), 20 for test (test/)"],
    );
    assert_says(&collection.describe(Split::All), &["all 40 images"]);
    let passed_over = collection.passed_over().unwrap();
    assert_eq!(passed_over.to_string(), "3 files: 2 .avif, 1 .csv");
    assert_eq!(passed_over.pictures().to_string(), "2 files: 2 .avif");
}

#[test]
fn a_list_keeps_every_image_in_its_split() {
    let folder = tempdir().unwrap();
    fill(folder.path(), &["a", "b"], 30);
    let options = OpenOptions::new(rgb(2));
    let fresh = Collection::split(&source(folder.path()), &options).unwrap();
    let list = fresh.list(&options).unwrap();
    let read = |collection: &Collection, split| names(&*collection.open(split, &options).unwrap());
    let before = [Split::Train, Split::Valid, Split::Test].map(|split| read(&fresh, split));

    let gone = before[1][0].clone();
    fs::remove_file(&gone).unwrap();
    let changed = before[0][0].clone();
    write_picture(Path::new(&changed), 9, 9, 0);
    write_picture(&folder.path().join("0/new.png"), 2, 2, 0);
    let (mut collection, changes) =
        Collection::recorded(&source(folder.path()), &list, &options).unwrap();
    let below = |path: &str| path.replace(&format!("{}/", folder.path().display()), "");
    assert_eq!(changes.new, ["0/new.png"]);
    assert_eq!(changes.missing, [below(&gone)]);
    assert_eq!(changes.changed, [below(&changed)]);
    assert_eq!(read(&collection, Split::Train), before[0]);
    assert_eq!(read(&collection, Split::Valid), before[1][1..]);
    assert_eq!(read(&collection, Split::Test), before[2]);
    assert_eq!(read(&collection, Split::All).len(), 60);
    collection.train_on_new();
    assert_eq!(read(&collection, Split::Train).len(), before[0].len() + 1);

    let other = tempdir().unwrap();
    fill(other.path(), &["c"], 30);
    let error = Collection::recorded(&source(other.path()), &list, &options).err();
    assert_says(
        &error.unwrap().to_string(),
        &["of its 60 there are 0, with 30 others", "--data"],
    );
    let crops = Source::Crops(folder.path().to_owned());
    let error = Collection::recorded(&crops, &list, &options).err();
    assert_says(&error.unwrap().to_string(), &["a source crops:"]);
}

#[test]
fn an_array_is_known_again_by_its_pixels() {
    let folder = tempdir().unwrap();
    let [path, moved] = ["a.npy", "b.npy"].map(|name| folder.path().join(name));
    write(&path, &numbered_npy(40, 4, 3));
    write(&moved, &numbered_npy(40, 4, 3));
    let options = OpenOptions::new(rgb(4));
    let list = Collection::split(&Source::Npy(path.clone()), &options)
        .and_then(|collection| collection.list(&options))
        .unwrap();
    let recorded =
        |path: &Path| Collection::recorded(&Source::Npy(path.to_owned()), &list, &options);
    assert!(recorded(&moved).is_ok());
    write(&path, &numbered_npy(41, 4, 3));
    let error = recorded(&path).err().unwrap().to_string();
    assert_says(&error, &["41 images, where it had 40"]);
    let mut other = numbered_npy(40, 4, 3);
    other.iter_mut().rev().take(48).for_each(|value| *value = 9);
    write(&path, &other);
    let error = recorded(&path).err().unwrap().to_string();
    assert_says(&error, &["other pixels"]);
}
