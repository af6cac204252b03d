//! Folders that are named after splits.

use crate::support::Lab;

#[test]
fn test_images_are_not_trained_on() {
    let lab = Lab::new();
    lab.fill("pictures/train", 20);
    lab.fill("pictures/Test", 5);
    lab.train("--out run --data folder:pictures")
        .succeeds()
        .tells(&[
            "folder:pictures: 19 images for training (train/), 1 for validation (held out), 5 for test (Test/)",
            "19 training and 1 validation image,",
        ]);
    assert_eq!(
        lab.run("eval run --json").succeeds().json()["images"],
        5,
        "of the test folder"
    );
    let all = lab.run("eval run --json --data folder:pictures").succeeds();
    all.tells(&["all 25 images", "of these the run was trained on 19 images"]);
}

#[test]
fn validation_images_are_not_called_test_images() {
    let lab = Lab::new();
    lab.fill("pictures/cats/training", 8);
    lab.fill("pictures/cats/val", 3);
    lab.train("--out run --data folder:pictures")
        .succeeds()
        .tells(&["8 images for training (*/training/), 3 for validation (*/val/), 0 for test"]);
    let report = lab.run("eval run --json").succeeds().tells(&[
        "no test images",
        "validation images, by which the best weights were chosen",
    ]);
    assert_eq!(report.json()["split"], "valid");
    lab.run("eval run --split test")
        .fails(2, &["the split test: expected images", "0 for test"]);
}

#[test]
fn an_ambiguous_layout_is_shown() {
    let lab = Lab::new();
    for folder in ["train", "test", "unlabeled"] {
        lab.fill(&format!("pictures/{folder}"), 4);
    }
    lab.train("--out run --data folder:pictures").fails(
        2,
        &[
            "pictures: some images are in folders named after splits and others are not",
            "unlabeled/",
            "4 images",
            "Name the folders train, valid and test",
        ],
    );
    lab.fill("coco/train2017", 4);
    lab.fill("coco/val2017", 4);
    lab.train("--out run --data crops:coco")
        .fails(2, &["look as if they were splits", "val2017/"]);
    assert!(!lab.path("run").exists());
}
