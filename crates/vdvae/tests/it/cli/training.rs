//! vdvae train.

use super::number;
use crate::support::{Lab, assert_same_state, floats, log_steps, tensors};

#[test]
fn a_run_is_a_folder_with_everything() {
    let lab = Lab::new();
    let trained = lab.train("--out run").succeeds();
    assert_eq!(trained.out, "", "progress goes to standard error");
    trained.tells(&[
        "62 training and 4 validation images",
        "bits/dim",
        "vdvae eval run",
    ]);
    let whole = [
        "config.toml",
        "log.jsonl",
        "curve.svg",
        "samples/step-0000006.png",
    ];
    let checkpoints = [
        "checkpoints/latest.safetensors",
        "checkpoints/best.safetensors",
    ];
    for file in whole.iter().chain(&checkpoints) {
        assert!(lab.path("run").join(file).is_file(), "{file}");
    }
    let config = String::from_utf8(lab.read("run/config.toml")).unwrap();
    assert!(
        config.contains("shift = -") && config.contains("scale = "),
        "computed and kept: {config}"
    );
    let steps = log_steps(&lab.path("run"));
    assert_eq!(steps["train"], [2, 4, 6]);
    assert_eq!(
        steps["valid"],
        [1, 2, 4, 6],
        "early powers of two, the cadence, the end"
    );
}

#[test]
fn train_tells_a_program_how_it_ended() {
    let lab = Lab::new();
    let report = lab.train("--out run --json").succeeds().json();
    assert_eq!(report["run"], "run");
    assert_eq!(report["step"], 6);
    assert_eq!(report["finished"], true);
    assert!(number(&report["best_valid_bits_per_dim"]) > 0.0);
}

#[test]
fn the_same_seed_gives_the_same_weights_with_any_number_of_threads() {
    let lab = Lab::new();
    lab.train("--out one --threads 1").succeeds();
    lab.train("--out two --threads 2").succeeds();
    lab.train("--out other --seed 5").succeeds();
    assert_same_state(&lab.path("one"), &lab.path("two"));
    let weights = |run: &str| tensors(&lab.path(run).join("checkpoints/latest.safetensors"));
    assert_ne!(weights("one"), weights("other"));
}

/// Accumulation changes the order of a few sums, nothing else: the noise of an image is a function of
/// its place.
#[test]
fn two_micro_batches_are_one_batch() {
    let lab = Lab::new();
    lab.train("--out whole --set train.n_batch=4").succeeds();
    lab.train("--out halves --set train.n_batch=2 --set train.accumulate=2")
        .succeeds();
    let weights = |run: &str| tensors(&lab.path(run).join("checkpoints/latest.safetensors"));
    let halves = weights("halves");
    for (name, whole) in weights("whole")
        .iter()
        .filter(|(name, _)| name.starts_with("model/"))
    {
        for (a, b) in floats(whole).zip(floats(&halves[name])) {
            assert!((a - b).abs() < 1e-5, "{name}: {a} and {b}");
        }
    }
}

#[test]
fn configurations_come_from_presets_files_and_single_values() {
    let lab = Lab::new();
    let tiny = "--set model.width=16 --set model.zdim=2 --set model.enc_blocks=32d2,16d16,1x1 \
                --set model.dec_blocks=1x1,16m1,32m16 --set model.num_mixtures=1";
    let train = format!("train --preset photos32 {tiny} --steps 2 --batch 2 --out photos");
    lab.run(&train).succeeds().tells(&["photos: ", "step 2"]);
    let config = String::from_utf8(lab.read("photos/config.toml")).unwrap();
    for line in [
        "source = \"photos\"",
        "width = 16",
        "steps = 2",
        "n_batch = 2",
        "flip = true",
    ] {
        assert!(
            config.lines().any(|found| found == line),
            "no `{line}` in {config}"
        );
    }
    for crop in 0..12 {
        lab.write_picture(&format!("pictures/{crop}.png"), 11 + crop, 13);
    }
    lab.train("--data folder:pictures --out folder --steps 1")
        .succeeds()
        .tells(&["10 training"]);
    let config = String::from_utf8(lab.read("folder/config.toml")).unwrap();
    let source = format!("folder:{}", lab.path("pictures").display());
    assert!(config.contains(&source), "{config}");
}

#[test]
fn without_out_a_run_is_called_like_its_configuration() {
    let lab = Lab::new();
    lab.train("--steps 1").succeeds();
    assert!(lab.path("runs/tiny/config.toml").is_file());
}
