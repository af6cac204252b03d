//! vdvae bench.

use serde_json::Value;

use super::number;
use crate::support::Lab;

const BENCH: &str = "bench --config tiny.toml --batch 2 --steps 3 --warmup 1";

/// Every number of the report is one and above 0.
#[track_caller]
fn assert_positive(report: &Value, names: &[&str]) {
    for name in names {
        let value = number(&report[name]);
        assert!(value.is_finite() && value > 0.0, "{name} = {value}");
    }
}

#[test]
fn bench_reports_time_rate_and_peak_of_every_task() {
    let lab = Lab::new();
    let mut operations = Vec::new();
    for what in ["train", "eval", "sample", "sample --pixels"] {
        let command = format!("{BENCH} --what {what} --threads 2 --json");
        let report = lab.run(&command).succeeds().json();
        let (task, pixels) = (what.split(' ').next().unwrap(), what.ends_with("--pixels"));
        assert_eq!(report["what"], task);
        assert_eq!(report["pixels"], pixels);
        assert_eq!(report["preset"], "tiny.toml");
        assert_eq!(report["dtype"], "fp32");
        assert_eq!(report["batch"], 2);
        assert_eq!(report["threads"], 2);
        assert_positive(
            &report,
            &[
                "min_s",
                "median_s",
                "max_s",
                "images_per_s",
                "gflop",
                "gflops",
                "peak_gflops",
                "share_of_peak",
                "copy_gb_s",
            ],
        );
        if cfg!(target_os = "linux") {
            assert_positive(&report, &["peak_rss_mb"]);
        }
        let of = |name: &str| number(&report[name]);
        assert!(of("min_s") <= of("median_s") && of("median_s") <= of("max_s"));
        assert!((of("gflops") * of("median_s") / of("gflop") - 1.0).abs() < 1e-9);
        assert!((of("share_of_peak") * of("peak_gflops") / of("gflops") - 1.0).abs() < 1e-9);
        operations.push(of("gflop"));
    }
    let [train, eval, sample, pixels] = operations[..] else {
        panic!("four tasks")
    };
    assert!((train / eval - 3.0).abs() < 1e-9);
    assert!(sample < eval);
    assert_eq!(sample, pixels);
}

#[test]
fn bench_of_the_default_model_for_a_person() {
    let lab = Lab::new();
    let text = lab
        .run("bench --batch 1 --what sample --steps 1 --warmup 0")
        .succeeds()
        .out;
    for part in [
        "sampling, up to the parameters of the pixels: photos32, batch 1, fp32",
        "1 steps after 0",
        "seconds",
        "images/s",
        "share of peak",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    assert!(!lab.path("runs").exists());
}

#[test]
fn several_presets_are_one_table() {
    let lab = Lab::new();
    let small = "--set model.width=16 --batch 1 --steps 1 --warmup 0 --what sample";
    let command = format!("bench --presets photos32,vdvae/small32 {small}");
    let text = lab.run(&command).succeeds().out;
    for part in [
        "photos32",
        "vdvae/small32",
        "s/image",
        "parameters",
        "bound",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    let rows = lab.run(&format!("{command} --json")).succeeds().json();
    let rows = rows.as_array().expect("one row each");
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row["pixels"], true);
        assert_eq!(row["extrapolated"], false);
        assert_eq!(row["peak_rss_mb"], Value::Null);
        assert_positive(
            row,
            &[
                "s_per_image",
                "parameters",
                "network_evaluations_per_sample",
            ],
        );
    }
    lab.run("bench --presets photos32,foto32")
        .fails(2, &["foto32"]);
    lab.run("bench --presets photos32 --preset small32")
        .fails(2, &["--presets", "--preset"]);
}

#[test]
fn bench_measures_any_kind_of_model() {
    let lab = Lab::new();
    let binary = "--set model.likelihood=bernoulli --set model.image_channels=1";
    for what in ["train", "eval", "sample --pixels"] {
        let report = lab
            .run(&format!("{BENCH} {binary} --what {what} --json"))
            .succeeds()
            .json();
        assert_positive(&report, &["median_s"]);
    }
}

#[test]
fn a_profile_tells_where_all_the_time_goes() {
    let lab = Lab::new();
    for (what, expected) in [
        (
            "train",
            &[
                "bottleneck 8x8",
                "bottleneck 1x1 backward",
                "conv 3x3",
                "pool backward",
                "upsample",
                "draw with kl",
                "draw with kl backward",
                "dmol",
                "adamw",
                "sum of squares",
                "noise",
            ][..],
        ),
        ("eval", &["bottleneck 4x4", "prior and draw 4x4", "dmol"]),
        (
            "sample --pixels",
            &["bottleneck 4x4", "prior and draw 4x4", "dmol sample"],
        ),
    ] {
        let report = lab
            .run(&format!("{BENCH} --what {what} --profile --json"))
            .succeeds()
            .json();
        let rows = report["profile"].as_array().unwrap();
        let share: f64 = rows.iter().map(|row| number(&row["share"])).sum();
        assert!((share - 1.0).abs() < 1e-6, "{share}");
        let names: Vec<&str> = rows
            .iter()
            .map(|row| row["operation"].as_str().unwrap())
            .collect();
        assert_eq!(names.last(), Some(&"everything else"));
        for name in expected {
            assert!(names.contains(name), "no {name} in {names:?}");
        }
        for row in rows {
            assert_positive(row, &["seconds", "share"]);
            if row["operation"].as_str().unwrap().starts_with("bottleneck") {
                assert_positive(row, &["calls", "gflops", "gb_s", "share_of_limit"]);
            }
        }
    }
    let report = lab.run(&format!("{BENCH} --json")).succeeds().json();
    assert_eq!(report["profile"], Value::Null);
    let text = lab.run(&format!("{BENCH} --profile")).succeeds().out;
    for part in ["ms a step", "bottleneck 8x8", "everything else"] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
}

#[test]
fn bench_of_what_means_nothing() {
    let lab = Lab::new();
    for (options, parts) in [
        ("--batch 0", ["--batch", "at least 1", "found 0"]),
        ("--steps 0", ["--steps", "0", "1.."]),
        ("--what learn", ["--what", "learn", "train, eval, sample"]),
        ("--pixels", ["--pixels", "--what sample", "expected"]),
        ("--no-cache", ["--no-cache", "--what sample", "expected"]),
        ("--preset foto32", ["`foto32`", "did you mean", "photos32"]),
        (
            "--set model.widht=3",
            ["model.widht", "did you mean", "model.width"],
        ),
        (
            "--threads 2000",
            ["--threads", "at most 1024", "found 2000"],
        ),
        (
            "--device gpu",
            ["--device gpu", "expected one of cpu", "cargo features"],
        ),
    ] {
        lab.run(&format!("bench {options}")).fails(2, &parts);
    }
}
