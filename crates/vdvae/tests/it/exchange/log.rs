//! The published training log.

use crate::support::{Lab, log_steps};

/// With a restart from step 20, words in between, and the numbers that Python writes and JSON lacks.
const LOG: &str = r#"{"type": "hparam", "key": "lr", "value": 0.0002, "time": "now"}
{"message": "training model", "time": "now"}
{"type": "train_loss", "model": "x", "lr": 0.001, "epoch": 1, "step": 10, "elbo": 2.0, "elbo_filtered": 1.5, "distortion": 1.25, "rate": 0.75, "grad_norm": 3.5, "skipped_updates": 2, "distortion_nans": 0, "rate_nans": 0, "iter_time": 0.5}
{"type": "train_loss", "model": "x", "lr": 0.001, "epoch": 2, "step": 20, "elbo": NaN, "elbo_filtered": Infinity, "distortion": NaN, "rate": 1.0, "grad_norm": 0.0, "skipped_updates": 10, "distortion_nans": 3, "rate_nans": 0, "iter_time": 0.5}
{"type": "eval_loss", "model": "x", "epoch": 2, "step": 20, "n_batches": 5, "filtered_elbo": 1.0, "elbo": 0.6931471805599453, "distortion": 0.5, "rate": 0.1931471805599453}
{"type": "train_loss", "model": "x", "lr": 0.001, "epoch": 9, "step": 90, "elbo": 1.0, "elbo_filtered": 1.0, "distortion": 0.5, "rate": 0.5, "grad_norm": 1.0, "skipped_updates": 0, "distortion_nans": 0, "rate_nans": 0, "iter_time": 0.5}
{"type": "train_loss", "model": "x", "epoch": 3, "step": 30, "elbo": 1.0, "elbo_filtered": 1.0, "distortion": 0.5, "rate": 0.5, "grad_norm": 1.0, "skipped_updates": 0, "distortion_nans": 0, "rate_nans": 0, "iter_time": 0.25}
"#;

#[test]
fn the_last_line_of_training_tells_the_step() {
    let lab = Lab::new();
    lab.train("--out part --steps 1").succeeds();
    lab.run("export part --format openai").succeeds();
    lab.write("log.jsonl", LOG);
    let files = "part-model.th --optimizer part-opt.th --log log.jsonl";
    let import = format!("import --config part/config.toml {files} --out run --json");
    let report = lab.run(&import).succeeds().json();
    assert_eq!(
        (&report["step"], &report["updates"]),
        (&30.into(), &1.into())
    );
    let steps = log_steps(&lab.path("run"));
    assert_eq!(
        (&steps["train"], &steps["valid"]),
        (&vec![10, 20, 30], &vec![20])
    );

    let log = String::from_utf8(lab.read("run/log.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ln_2 = std::f64::consts::LN_2;
    let number = |line: usize, key: &str| lines[line][key].as_f64().expect("a number");
    assert!((number(0, "elbo_bits_per_dim") - 2.0 / ln_2).abs() < 1e-12);
    assert!(lines[1]["elbo_bits_per_dim"].is_null());
    assert_eq!(number(1, "nan_distortions"), 3.0);
    assert!((number(2, "bits_per_dim") - 1.0).abs() < 1e-12);
    assert_eq!(number(3, "seconds"), 10.0 + 10.0 * 0.25);

    lab.run("train --resume --out run --steps 32").succeeds();
    assert_eq!(log_steps(&lab.path("run"))["train"], [10, 20, 30, 32]);
}

#[test]
fn logs_that_tell_nothing() {
    let lab = Lab::with_files(&["zip.th"]);
    lab.write("words.jsonl", "{\"message\": \"hello\"}\n\n");
    lab.import("zip.th --log words.jsonl --out run")
        .fails(1, &["words.jsonl: expected a line of type train_loss"]);
    lab.write("torn.jsonl", format!("{LOG}{{\"type\": \"tra"));
    lab.import("zip.th --log torn.jsonl --out run").fails(
        1,
        &["torn.jsonl:8: expected a JSON object", "leave out --log"],
    );
    lab.import("zip.th --log missing.jsonl --out run")
        .fails(1, &["missing.jsonl: cannot read the log"]);
    assert!(!lab.path("run").exists());
}
