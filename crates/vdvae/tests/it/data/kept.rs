//! A run keeps the list of its images: what it was trained on stays training images.

use std::fs;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::{Finished, Lab, SIDE, images, npy};

/// What the run's own images cost, and what was said.
fn evaluated(lab: &Lab, more: &str) -> (Value, Finished) {
    let finished = lab.run(&format!("eval run --json {more}")).succeeds();
    let mut report = finished.json();
    report["data"] = Value::Null;
    (report, finished)
}

#[test]
fn images_that_come_and_go_leave_every_other_in_its_split() {
    let lab = Lab::new();
    lab.fill("pictures", 40);
    lab.train("--out run --data folder:pictures").succeeds();
    let (before, _) = evaluated(&lab, "");
    let list = String::from_utf8(lab.read("run/images.tsv")).unwrap();
    let of = |split: &str| {
        let lines = list.lines();
        let of_split = lines.filter(|line| line.starts_with(&format!("{split}\t")));
        let names = of_split.filter_map(|line| line.split('\t').nth(3));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        [of("train").len(), of("valid").len(), of("test").len()],
        [36, 2, 2]
    );

    lab.write_picture("pictures/0.png", 9, 9);
    fs::remove_file(lab.path("pictures").join(&of("train")[0])).unwrap();
    let (after, finished) = evaluated(&lab, "");
    assert_eq!(after, before);
    finished.tells(&[
        "1 image of the run is new since the run began, and in no split: 0.png",
        &format!(
            "1 image of the run is not there any more: {}",
            of("train")[0]
        ),
    ]);
    // Not even where the folder is given by another name.
    fs::rename(lab.path("pictures"), lab.path("moved")).unwrap();
    assert_eq!(
        evaluated(&lab, "--data folder:moved --split test").0,
        before
    );

    let resume = "train --resume --out run --data folder:moved --steps 9";
    lab.run(resume).fails(
        2,
        &[
            "1 image was not there when the run began: 0.png",
            "--new-images train",
        ],
    );
    lab.run(&format!("{resume} --new-images train"))
        .succeeds()
        .tells(&["36 training and 2 validation images"]);
    let list = String::from_utf8(lab.read("run/images.tsv")).unwrap();
    assert!(
        list.lines()
            .any(|line| line.starts_with("train\t") && line.ends_with("\t0.png"))
    );
    lab.run("train --resume --out run --steps 10").succeeds();
}

#[test]
fn images_that_were_left_out_are_not_asked_for_again() {
    let lab = Lab::new();
    lab.fill("pictures", 40);
    lab.train("--out run --data folder:pictures").succeeds();
    lab.write_picture("pictures/0.png", 9, 9);
    lab.run("train --resume --out run --steps 9 --new-images leave")
        .succeeds()
        .tells(&["36 training", "1 for nothing"]);
    lab.run("train --resume --out run --steps 12")
        .succeeds()
        .tells(&["36 training"]);
}

/// As uncompressed pictures of one camera have.
#[test]
fn files_of_the_same_names_and_sizes_are_known_by_their_contents() {
    let lab = Lab::new();
    for (folder, tag) in [("pictures", 1), ("others", 2)] {
        fs::create_dir(lab.path(folder)).unwrap();
        for number in 0..30 {
            let picture = image::RgbImage::from_pixel(8, 8, image::Rgb([tag, number, 0]));
            picture
                .save(lab.path(&format!("{folder}/{number}.bmp")))
                .unwrap();
        }
    }
    lab.train("--out run --data folder:pictures").succeeds();
    let list = || String::from_utf8(lab.read("run/images.tsv")).unwrap();
    let before = list();
    let resume = "train --resume --out run";
    lab.run(&format!("{resume} --steps 7 --data folder:others"))
        .fails(2, &["of its 30 there are 0, with 30 others"]);
    let trained = "the run was trained on 26 images";
    let all = |folder: &str| {
        lab.run(&format!("eval run --data folder:{folder}"))
            .succeeds()
    };
    assert!(all("pictures").err.contains(trained));
    assert!(!all("others").err.contains(trained));

    // As the program wrote it before.
    let lines = before.lines().skip(4).map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        format!("{}\t{}\t{}\n", fields[0], fields[1], fields[3])
    });
    let lines: String = lines.collect();
    let hash = Sha256::digest(format!("folder\n{lines}"));
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let title = before.lines().next().unwrap();
    lab.write(
        "run/images.tsv",
        format!("{title}\n# source folder\n# sha256 {hash}\n{lines}"),
    );
    lab.run(&format!("{resume} --steps 8"))
        .succeeds()
        .tells(&["26 training"]);
    assert_eq!(list(), before, "and now by their contents");

    fs::copy(lab.path("others/0.bmp"), lab.path("pictures/0.bmp")).unwrap();
    lab.run("eval run").succeeds().tells(&[
        "1 image of the run is another than when the run began, and stays in its split: 0.bmp",
    ]);
}

#[test]
fn another_source_is_refused() {
    let lab = Lab::new();
    lab.fill("pictures", 30);
    lab.fill("others/x", 30);
    lab.train("--out run --data folder:pictures").succeeds();
    for other in ["folder:others", "crops:pictures", "npy:images.npy"] {
        lab.run(&format!(
            "train --resume --out run --steps 9 --data {other}"
        ))
        .fails(
            2,
            &["expected the images that the run was begun with", "--out"],
        );
    }
    lab.train("--out array").succeeds();
    let mut pixels = images(70, 3 * SIDE * SIDE);
    lab.write("copy.npy", npy(&[70, SIDE, SIDE, 3], &pixels));
    let resume = "train --resume --out array --steps 8 --data npy:";
    lab.run(&format!("{resume}copy.npy")).succeeds();
    pixels[0] ^= 1;
    lab.write("other.npy", npy(&[70, SIDE, SIDE, 3], &pixels));
    lab.run(&format!("{resume}other.npy"))
        .fails(2, &["as many images, with other pixels"]);
    lab.write(
        "copy.npy",
        npy(&[71, SIDE, SIDE, 3], &images(71, 3 * SIDE * SIDE)),
    );
    lab.run("eval array")
        .fails(2, &["71 images, where it had 70", "--data"]);
    lab.run("eval array --data npy:copy.npy").succeeds();
}

#[test]
fn a_list_that_was_changed_is_refused_and_one_that_is_missing_said() {
    let lab = Lab::new();
    lab.fill("pictures", 30);
    lab.train("--out run --data folder:pictures").succeeds();
    let list = String::from_utf8(lab.read("run/images.tsv")).unwrap();
    lab.write("run/images.tsv", list.replacen("test\t", "train\t", 1));
    lab.run("eval run")
        .fails(1, &["run/images.tsv: contents", "SHA-256"]);
    fs::remove_file(lab.path("run/images.tsv")).unwrap();
    lab.run("eval run")
        .succeeds()
        .tells(&["run/images.tsv is missing", "drawn anew"]);
}

#[test]
fn a_run_finds_its_images_from_any_folder() {
    let lab = Lab::new();
    lab.fill("pictures", 30);
    lab.train("--out run --data folder:pictures").succeeds();
    let here = lab.run("eval run --json").succeeds().out;
    fs::create_dir(lab.path("elsewhere")).unwrap();
    let output = lab
        .command("eval ../run --json")
        .current_dir(lab.path("elsewhere"))
        .output()
        .unwrap();
    assert_eq!(Finished::new("eval ../run", &output).succeeds().out, here);
    // The same data, written from here, are the same data.
    lab.train("--out run --data folder:pictures")
        .fails(2, &["this run exists", "--resume"]);
}

#[test]
fn a_run_that_starts_from_anothers_weights_tests_on_none_of_its_training_images() {
    let lab = Lab::new();
    lab.fill("pictures", 40);
    lab.train("--out run --data folder:pictures").succeeds();
    let tested = |run: &str| {
        let list = String::from_utf8(lab.read(&format!("{run}/images.tsv"))).unwrap();
        let lines = list.lines().filter(|line| line.starts_with("test\t"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    lab.write_picture("pictures/0.png", 9, 9);
    lab.run("train --init run --out fine --seed 5 --steps 1")
        .succeeds()
        .tells(&["for what they were in the run that the weights are from; for training also 1 new image"]);
    assert_eq!(tested("fine"), tested("run"));
    lab.fill("others", 45);
    lab.run("train --init run --out other --data folder:others --steps 1")
        .succeeds();
}
