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

/// More steps stretch a decay that was at its end: the rate rises again, which is said, and can be avoided.
#[test]
fn a_decay_that_more_steps_stretch() {
    let lab = Lab::new();
    let decay = "--set train.lr_decay=cosine --set train.warmup_iters=0 --steps 20";
    lab.train(&format!("--out run {decay}")).succeeds();
    let told = lab
        .run("train --resume --out run --steps 40 --json")
        .succeeds();
    let rates = "warning: the learning rate was 6.2e-6 and goes on at 5.0e-4";
    told.tells(&[
        rates,
        "step 20",
        "40",
        "--set train.lr_decay=none --set train.lr=6.156e-6",
    ]);
    lab.train(&format!("--out again {decay}")).succeeds();
    let steady = "--set train.lr_decay=none --set train.lr=6.156e-6";
    let quiet = lab
        .run(&format!("train --resume --out again --steps 40 {steady}"))
        .succeeds();
    assert!(!quiet.err.contains("warning"), "{quiet:#?}");
    let log = String::from_utf8(lab.read("again/log.jsonl")).unwrap();
    assert!(
        log.contains(r#""step":40,"#) && log.contains(r#""learning_rate":6.156e-6"#),
        "{log}"
    );
    lab.train("--out plain").succeeds();
    let quiet = lab.run("train --resume --out plain --steps 9").succeeds();
    assert!(!quiet.err.contains("warning"), "{quiet:#?}");
}

/// An exponential decay knows no end: more steps change none of its rates, and nothing is said of them.
#[test]
fn an_exponential_decay_that_goes_on() {
    let lab = Lab::new();
    let recipe = "--set train.optimizer=adam --set train.lr_decay=exponential --set train.lr_rate=0.5 \
                  --set train.warmup_iters=0 --set train.log_every=1";
    lab.train(&format!("--out run {recipe} --steps 2"))
        .succeeds();
    let longer = lab.run("train --resume --out run --steps 4").succeeds();
    assert!(!longer.err.contains("warning"), "{longer:#?}");
    lab.train(&format!("--out whole {recipe} --steps 4"))
        .succeeds();
    assert_same_state(&lab.path("run"), &lab.path("whole"));
    let log = String::from_utf8(lab.read("run/log.jsonl")).unwrap();
    for (step, rate) in [(1, "0.0005"), (2, "0.00025"), (4, "0.0000625")] {
        let line = log
            .lines()
            .find(|line| line.contains("train") && line.contains(&format!(r#""step":{step},"#)));
        let told = format!(r#""learning_rate":{rate}"#);
        assert!(line.is_some_and(|line| line.contains(&told)), "{log}");
    }
    let config = String::from_utf8(lab.read("run/config.toml")).unwrap();
    assert!(config.contains("lr_rate = 0.5") && config.contains(r#"optimizer = "adam""#));
}

#[test]
fn names_of_classes_that_a_model_does_not_tell_apart() {
    let lab = Lab::new();
    let finished = lab.train(r#"--out run --set data.classes=["cat","dog"]"#);
    assert_eq!(finished.code, Some(2), "{finished:#?}");
    finished.tells(&[
        "data.classes: expected none, as the model tells no classes apart, found 2 names",
    ]);
    let finished = lab.train("--out run --set data.classes=cat");
    assert_eq!(finished.code, Some(2), "{finished:#?}");
    finished.tells(&[
        r#"data.classes: expected a list of strings, such as ["cat", "dog"], found `cat`"#,
    ]);
    assert!(!lab.path("run").exists());
}

#[test]
fn skipped_updates_are_seen() {
    let lab = Lab::new();
    let trained = lab
        .train("--out run --set train.skip_threshold=1e-6")
        .succeeds();
    trained.tells(&["bits/dim  2 of 2 updates skipped  "]);
    let trained = lab.train("--out quiet").succeeds();
    assert!(!trained.err.contains("skipped"), "{trained:#?}");
}

#[test]
fn a_seed_that_could_not_be_read_again() {
    let lab = Lab::new();
    for option in [
        "--seed 18446744073709551615",
        "--set train.seed=18446744073709551615",
    ] {
        let finished = lab.train(&format!("--out run {option}"));
        assert_eq!(finished.code, Some(2), "{finished:#?}");
        assert!(finished.err.contains("train.seed"), "{finished:#?}");
        assert!(!lab.path("run").exists());
    }
    lab.run("sweep tiny.toml --seeds 18446744073709551615")
        .fails(2, &["train.seed: expected 9223372036854775807 or less"]);
}
