//! Models that tell classes of images apart, of every family that has such: from folders to what they measure.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};
use vdvae::config::Config;
use vdvae::models::registry::FAMILIES;

use crate::support::{Finished, Lab, assert_same_state};

const CLASSES: [&str; 3] = ["cat", "dog", "emu"];
/// Images of each.
const EACH: usize = 12;

/// For each family that can tell three classes apart a folder with `tiny.toml` of such a model, and `animals`.
fn labs() -> Vec<Lab> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden");
    let lab = |text: String| {
        let lab = Lab::new();
        lab.write("tiny.toml", text);
        for (number, class) in CLASSES.into_iter().enumerate() {
            draw(&lab, &format!("animals/{class}"), number);
        }
        lab
    };
    let texts = FAMILIES.iter().map(|family| {
        let path = golden.join(family.name()).join("tiny.toml");
        let text = fs::read_to_string(path).expect("a tiny model");
        text.replace("\nclasses = 0\n", "\nclasses = 3\n")
    });
    let plan = |text: &String| {
        Config::from_toml(text, "tiny.toml")
            .unwrap()
            .plan()
            .unwrap()
    };
    let labs: Vec<Lab> = texts
        .filter(|text| plan(text).classes() == 3)
        .map(lab)
        .collect();
    assert!(!labs.is_empty(), "a family that tells classes apart");
    labs
}

/// Pictures of a class, which differ from those of others.
fn draw(lab: &Lab, folder: &str, class: usize) {
    for number in 0..EACH {
        let name = format!("{folder}/{number:02}.png");
        lab.write(&name, "");
        let pixel = |x: u32, y: u32| {
            let seed = 31 * x + 17 * y * (class as u32 + 1) + 5 * number as u32;
            Rgb([
                (80 * class as u32 + seed % 50) as u8,
                (7 * x) as u8,
                seed as u8,
            ])
        };
        RgbImage::from_fn(8, 8, pixel)
            .save(lab.path(&name))
            .expect("written");
    }
}

fn bits(lab: &Lab, options: &str) -> f64 {
    let report = lab
        .run(&format!("eval run --json {options}"))
        .succeeds()
        .json();
    report["bits_per_dim"].as_f64().expect("a number")
}

#[track_caller]
fn refused(finished: Finished, says: &[&str]) {
    assert!(finished.code.is_some_and(|code| code != 0), "{finished:#?}");
    finished.tells(says);
}

#[test]
fn images_are_learnt_and_measured_as_what_they_are() {
    for lab in labs() {
        lab.train("--data folder:animals --out run").succeeds();
        let config = String::from_utf8(lab.read("run/config.toml")).unwrap();
        assert!(
            config.contains(r#"classes = ["cat", "dog", "emu"]"#),
            "{config}"
        );
        let list = String::from_utf8(lab.read("run/images.tsv")).unwrap();
        assert!(list.contains("cat/00.png"), "{list}");

        // Longer in two parts, or at once.
        lab.run("train --resume --out run --steps 9").succeeds();
        lab.train("--data folder:animals --out whole --steps 9")
            .succeeds();
        assert_same_state(&lab.path("run"), &lab.path("whole"));

        // Parts of the images have the same numbers, with any batch.
        let whole = bits(&lab, "--data folder:animals");
        let part = |(number, class): (usize, &str)| {
            draw(&lab, &format!("part-{class}/{class}"), number);
            bits(&lab, &format!("--data folder:part-{class} --batch 5"))
        };
        let parts: f64 = CLASSES
            .into_iter()
            .enumerate()
            .map(|(number, class)| part((number, class)))
            .sum();
        assert!((whole - parts / 3.0).abs() < 1e-9, "{whole}, {parts}");

        // The same images as something else are less likely, or more, but not the same.
        for (number, class) in CLASSES.into_iter().enumerate() {
            draw(&lab, &format!("strange/{class}"), (number + 1) % 3);
        }
        let strange = bits(&lab, "--data folder:strange");
        assert!((strange - whole).abs() > 1e-6, "{strange}, {whole}");
    }
}

#[test]
fn images_whose_classes_are_not_known() {
    for lab in labs() {
        for class in ["cat", "dog"] {
            draw(&lab, &format!("two/{class}"), 1);
        }
        draw(&lab, "none", 0);
        for (source, says) in [
            (
                "photos",
                &[
                    "photos: expected images of known classes",
                    "found a source that tells none",
                    "folder:DIR",
                ][..],
            ),
            (
                "npy:images.npy",
                &["npy:images.npy: expected images of known classes"],
            ),
            (
                "folder:none",
                &["12 images in no folder of a class, such as 00.png"],
            ),
            (
                "folder:two",
                &["as many classes as the model tells apart, 3, found 2 in folder:two: cat, dog"],
            ),
        ] {
            let finished = lab.train(&format!("--data {source} --out run"));
            refused(finished, says);
            assert!(!lab.path("run").exists(), "{source}");
        }
        let two = r#"--set data.classes=["cat","dog"]"#;
        let finished = lab.train(&format!("--data folder:animals --out run {two}"));
        refused(finished, &["data.classes: expected 3 names"]);
        let others = r#"--set data.classes=["cat","dog","ape"]"#;
        let finished = lab.train(&format!("--data folder:animals --out run {others}"));
        refused(
            finished,
            &["the model knows (cat, dog, ape), found class `emu`"],
        );

        lab.train("--data folder:animals --out run").succeeds();
        draw(&lab, "more/ape", 0);
        let finished = lab.run("eval run --data folder:more");
        refused(
            finished,
            &["the model knows (cat, dog, emu), found class `ape`"],
        );
        let finished = lab.run("eval run --data folder:none");
        refused(finished, &["12 images in no folder of a class"]);
        let finished = lab.run(&format!("train --resume --out run --steps 9 {others}"));
        refused(
            finished,
            &["data.classes", "cannot change in the middle of a run"],
        );
    }
}

/// Numbers are those of the weights, whatever folders a run that starts from them learns.
#[test]
fn names_go_with_weights() {
    for lab in labs() {
        let order = r#"--set data.classes=["emu","cat","dog"]"#;
        lab.train(&format!("--data folder:animals --out run {order}"))
            .succeeds();
        draw(&lab, "dogs/dog/others", 1);
        lab.run("train --init run --data folder:dogs --out more")
            .succeeds();
        for run in ["run", "more"] {
            let config = String::from_utf8(lab.read(&format!("{run}/config.toml"))).unwrap();
            assert!(
                config.contains(r#"classes = ["emu", "cat", "dog"]"#),
                "{config}"
            );
        }
    }
}
