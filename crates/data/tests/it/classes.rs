//! Which class each image is of, and what is said where that is not known.

use std::path::Path;
use std::sync::Arc;

use tempfile::tempdir;
use vdvae_data::{
    Batch, Batches, Collection, DataError, Dataset, ImageList, OpenOptions, Source, Split,
};

use crate::files::*;

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn options(classes: &[String]) -> OpenOptions<'_> {
    OpenOptions {
        classes,
        ..OpenOptions::new(rgb(4))
    }
}

fn labelled(
    source: &Source,
    split: Split,
    classes: &[String],
) -> Result<Arc<dyn Dataset>, DataError> {
    vdvae_data::open(source, split, &options(classes))
}

fn classes_of(source: &Source) -> Result<Vec<String>, DataError> {
    Collection::split(source, &options(&[]))?.classes()
}

fn write_pictures(folder: &Path, names: &[&str]) {
    for (number, name) in names.iter().enumerate() {
        write_picture(&folder.join(name), 4, 4, number as u8);
    }
}

/// Of each image of a data set: the last folder that it is in, and its class.
fn pairs(dataset: &dyn Dataset) -> Vec<(String, Option<usize>)> {
    let pair = |index| {
        let name = dataset.name(index);
        let folder = name.rsplit('/').nth(1).unwrap().to_owned();
        (folder, dataset.class(index))
    };
    (0..dataset.len()).map(pair).collect()
}

#[test]
fn folders_are_classes_in_the_order_of_their_names() {
    let folder = tempdir().unwrap();
    write_pictures(
        folder.path(),
        &["dog/1.png", "cat/2.png", "emu/3.png", "cat/4.png"],
    );
    let source = Source::Folder(folder.path().to_owned());
    let classes = classes_of(&source).unwrap();
    assert_eq!(classes, ["cat", "dog", "emu"]);
    let all = labelled(&source, Split::All, &classes).unwrap();
    let number = |name: &str, number| (name.to_owned(), Some(number));
    let expected = [
        number("cat", 0),
        number("cat", 0),
        number("dog", 1),
        number("emu", 2),
    ];
    assert_eq!(pairs(&*all), expected);
    let batch = Batch::read(&*all, &[3, 0]).unwrap();
    assert_eq!(batch.classes, [2, 0]);
    // A model knows them by its own numbers, and perhaps more of them.
    let other = strings(&["emu", "dog", "ape", "cat"]);
    let all = labelled(&source, Split::All, &other).unwrap();
    let batches = Batches::sequential(all, 3, 2).unwrap();
    let batches: Vec<Batch> = batches.map(Result::unwrap).collect();
    assert_eq!(batches[0].classes, [3, 3, 1]);
    assert_eq!(batches[1].classes, [0]);
    // Where they are not asked for, images have none.
    let plain = opened(source, Split::All, rgb(4)).unwrap();
    assert_eq!(plain.class(0), None);
    assert!(Batch::read(&*plain, &[0]).unwrap().classes.is_empty());
}

#[test]
fn folders_of_classes_below_those_of_splits() {
    let folder = tempdir().unwrap();
    let names = [
        "data/train/cat/a.png",
        "data/train/dog/more/b.png",
        "data/train/cat/c.png",
        "data/val/dog/d.png",
        "data/val/emu/e.png",
    ];
    write_pictures(folder.path(), &names);
    let source = Source::Folder(folder.path().to_owned());
    let classes = classes_of(&source).unwrap();
    assert_eq!(classes, ["cat", "dog", "emu"]);
    let class = |split| {
        let dataset = labelled(&source, split, &classes).unwrap();
        (0..dataset.len())
            .map(|index| dataset.class(index).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(class(Split::Train), [0, 0, 1]);
    assert_eq!(class(Split::Valid), [1, 2]);
}

/// A class stays what it is where a bad image is left out, images are mirrored, and a run goes by its list.
#[test]
fn classes_stay_with_their_images() {
    let folder = tempdir().unwrap();
    let names: Vec<String> = (0..40)
        .map(|number| format!("{}/{number:02}.png", ["cat", "dog"][number / 20]))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    write_pictures(folder.path(), &names);
    write(&folder.path().join("cat/07.png"), b"broken");
    let source = Source::Folder(folder.path().to_owned());
    let classes = classes_of(&source).unwrap();
    let options = OpenOptions {
        skip_bad_images: true,
        augment: true,
        flip: true,
        ..options(&classes)
    };
    let collection = Collection::split(&source, &options).unwrap();
    let list = collection.list(&options).unwrap().to_text();
    let check = |collection: &Collection| {
        for split in [Split::Train, Split::Valid, Split::Test] {
            let dataset = collection.open(split, &options).unwrap();
            for (folder, class) in pairs(&*dataset) {
                assert_eq!(classes[class.unwrap()], folder);
            }
        }
    };
    check(&collection);
    let list = ImageList::from_text(&list, "list").unwrap();
    let (recorded, _) = Collection::recorded(&source, &list, &options).unwrap();
    check(&recorded);
}

#[test]
fn images_in_no_folder_of_a_class() {
    for names in [
        ["a.png", "b.png", "cat/c.png", "cat/d.png"],
        [
            "train/a.png",
            "train/b.png",
            "train/cat/c.png",
            "val/cat/d.png",
        ],
    ] {
        let folder = tempdir().unwrap();
        write_pictures(folder.path(), &names);
        let error = classes_of(&Source::Folder(folder.path().to_owned())).unwrap_err();
        let place = folder.path().display().to_string();
        assert_says(
            &error.to_string(),
            &[
                &place,
                "2 images in no folder of a class",
                names[0],
                "cifar10:PATH",
            ],
        );
    }
}

#[test]
fn sources_without_classes() {
    let folder = tempdir().unwrap();
    write_pictures(folder.path(), &["cat/1.png", "cat/2.png", "dog/3.png"]);
    let npy = folder.path().join("a.npy");
    write(&npy, &numbered_npy(9, 4, 3));
    for source in [
        Source::Photos,
        Source::Crops(folder.path().to_owned()),
        Source::Npy(npy),
    ] {
        let text = source.to_string();
        let parts = [&*text, "found a source that tells none", "folder:DIR"];
        assert_says(&classes_of(&source).unwrap_err().to_string(), &parts);
        let classes = strings(&["cat", "dog"]);
        let error = labelled(&source, Split::Train, &classes).err().unwrap();
        assert_says(&error.to_string(), &parts);
    }
}

#[test]
fn a_class_that_a_model_does_not_know() {
    let folder = tempdir().unwrap();
    write_pictures(folder.path(), &["cat/1.png", "emu/2.png", "dog/3.png"]);
    let source = Source::Folder(folder.path().to_owned());
    let classes = strings(&["cat", "dog"]);
    let error = labelled(&source, Split::All, &classes).err().unwrap();
    assert_says(&error.to_string(), &["cat, dog", "found class `emu`"]);
    let many: Vec<String> = (0..100).map(|number| format!("class {number}")).collect();
    let error = labelled(&source, Split::All, &many).err().unwrap();
    assert_says(
        &error.to_string(),
        &["class 9 and 90 more", "found class `cat`"],
    );
}
