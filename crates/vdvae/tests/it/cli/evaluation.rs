//! vdvae eval.

use serde_json::{Value, json};

use super::{assert_close, number};
use crate::support::{Lab, RGB, SIDE, images, npy};

#[test]
fn eval_reports_every_part_of_the_bound() {
    let lab = Lab::trained();
    let report = lab.run("eval run --json").succeeds().json();
    assert_eq!(report["images"], 4);
    let data = format!("npy:{}", lab.path("images.npy").display());
    assert_eq!(report["data"], data);
    assert_eq!(report["split"], "test");
    assert_eq!(report["step"], 6);
    assert_eq!(report["iw_bits_per_dim"], Value::Null, "one draw");
    let nats = number(&report["nats_per_dim"]);
    assert_close(
        number(&report["bits_per_dim"]) * std::f64::consts::LN_2,
        nats,
    );
    let rate = number(&report["rate_nats_per_dim"]);
    assert_close(number(&report["distortion_nats_per_dim"]) + rate, nats);
    let layers = report["rate_nats_per_dim_per_layer"].as_array().unwrap();
    assert_eq!(layers.len(), 3);
    assert_close(layers.iter().map(number).sum(), rate);
    assert!(number(&report["stderr_bits_per_dim"]) > 0.0);
    let text = lab.run("eval run").succeeds().out;
    assert!(
        text.contains("images.npy, test split: 4 images, weights of step 6"),
        "{text}"
    );
    assert!(
        text.contains("rate per layer") && text.contains("8x8"),
        "{text}"
    );
}

/// 70 images: batches of 3 and 7 and 64 end with an incomplete one or not.
#[test]
fn eval_is_the_same_for_any_batch_and_number_of_threads() {
    let lab = Lab::trained();
    for options in ["", "--latents mean", "--samples 3"] {
        let eval = |machine: &str| {
            let command = format!("eval run --split all --json --seed 3 {options} {machine}");
            lab.run(&command).succeeds().out
        };
        let first = eval("--batch 1 --threads 1");
        assert_eq!(serde_json::from_str::<Value>(&first).unwrap()["images"], 70);
        for machine in [
            "--batch 1 --threads 2",
            "--batch 3",
            "--batch 7 --threads 1",
            "--batch 64",
            "",
        ] {
            assert_eq!(eval(machine), first, "{options} {machine}");
        }
    }
}

#[test]
fn eval_draws_by_its_seed_and_not_with_means() {
    let lab = Lab::trained();
    let bits = |options: &str| {
        number(
            &lab.run(&format!("eval run --json {options}"))
                .succeeds()
                .json()["bits_per_dim"],
        )
    };
    assert_ne!(bits("--seed 1"), bits("--seed 2"));
    assert_eq!(
        bits("--seed 1 --latents mean"),
        bits("--seed 2 --latents mean")
    );
}

#[test]
fn several_draws_tighten_the_bound() {
    let lab = Lab::trained();
    let report = lab
        .run("eval run --samples 4 --json --split all")
        .succeeds()
        .json();
    let (bound, weighted) = (
        number(&report["bits_per_dim"]),
        number(&report["iw_bits_per_dim"]),
    );
    assert!(
        weighted < bound && weighted > 0.9 * bound,
        "{weighted} {bound}"
    );
}

#[test]
fn splits_are_disjoint_parts_of_the_whole() {
    let lab = Lab::trained();
    let images = |options: &str| {
        lab.run(&format!("eval run --json {options}"))
            .succeeds()
            .json()
    };
    for (split, count) in [("train", 62), ("valid", 4), ("test", 4), ("all", 70)] {
        assert_eq!(images(&format!("--split {split}"))["images"], count);
    }
    let other = images("--data npy:images.npy");
    assert_eq!(
        (&other["images"], &other["split"]),
        (&json!(70), &json!("all"))
    );
    let sum: f64 = [("train", 62.0), ("valid", 4.0), ("test", 4.0)]
        .iter()
        .map(|(split, count)| {
            let report = images(&format!("--latents mean --split {split}"));
            count * number(&report["bits_per_dim"])
        })
        .sum();
    assert_close(
        sum / 70.0,
        number(&images("--latents mean --split all")["bits_per_dim"]),
    );
}

#[test]
fn eval_of_a_named_checkpoint() {
    let lab = Lab::trained();
    lab.run("train --resume --out run --steps 9").succeeds();
    let step = |checkpoint: &str| {
        let command =
            format!("eval run --json --checkpoint run/checkpoints/{checkpoint}.safetensors");
        lab.run(&command).succeeds().json()["step"].clone()
    };
    assert_eq!(step("latest"), 9);
    std::fs::copy(
        lab.path("run/checkpoints/best.safetensors"),
        lab.path("kept.safetensors"),
    )
    .unwrap();
    lab.run("eval run --checkpoint kept.safetensors").succeeds();
}

/// The spread of one image is not known, and not 0: neither in `eval` nor in training's validation.
#[test]
fn one_image_has_no_standard_error() {
    let lab = Lab::new();
    lab.write("few.npy", npy(&[20, SIDE, SIDE, 3], &images(20, RGB)));
    let training = lab.train("--data npy:few.npy --out run").succeeds();
    assert!(
        training.err.contains("bits/dim (distortion"),
        "{training:#?}"
    );
    assert!(!training.err.contains("+-"), "{training:#?}");
    let log = String::from_utf8(lab.read("run/log.jsonl")).unwrap();
    assert!(
        log.contains(r#""images":1,"#) && log.contains(r#""stderr_bits_per_dim":null"#),
        "{log}"
    );
    let report = lab.run("eval run --json").succeeds().json();
    assert_eq!(
        (&report["images"], &report["stderr_bits_per_dim"]),
        (&json!(1), &Value::Null)
    );
    let text = lab.run("eval run").succeeds().out;
    assert!(
        text.contains("bits/dim = distortion") && !text.contains("+-"),
        "{text}"
    );
    lab.run("report run --images 1").succeeds();
    let summary = String::from_utf8(lab.read("run/report/summary.csv")).unwrap();
    let line = |number| summary.lines().nth(number).unwrap().split(',');
    let mut cells = line(0).zip(line(1));
    let error = cells.find(|(column, _)| *column == "standard error");
    assert_eq!(error, Some(("standard error", "")), "{summary}");
    let page = String::from_utf8(lab.read("run/report/index.html")).unwrap();
    assert!(!page.contains("± "), "a standard error on the page");
}
