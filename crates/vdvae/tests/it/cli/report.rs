//! vdvae report.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::number;
use crate::support::Lab;

const FIGURES: [&str; 9] = [
    "loss",
    "speed",
    "gradients",
    "layers",
    "channels",
    "latents",
    "reconstructions",
    "samples",
    "neighbours",
];

fn page(lab: &Lab, folder: &str) -> String {
    String::from_utf8(lab.read(&format!("{folder}/index.html"))).expect("UTF-8")
}

fn numbers(lab: &Lab, folder: &str) -> Value {
    serde_json::from_slice(&lab.read(&format!("{folder}/report.json"))).expect("JSON")
}

/// The columns and the rows of a table without quoted fields.
fn csv(lab: &Lab, name: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let text = String::from_utf8(lab.read(name)).expect("UTF-8");
    assert!(!text.contains('"'), "{name}");
    let mut lines = text
        .lines()
        .map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let columns = lines.next().expect("columns");
    let rows: Vec<_> = lines.collect();
    assert!(rows.iter().all(|row| row.len() == columns.len()), "{name}");
    (columns, rows)
}

/// Nothing in the page or a figure is fetched from anywhere.
#[track_caller]
fn assert_self_contained(text: &str) {
    let text = text.replace("http://www.w3.org/2000/svg", "");
    for fetched in [
        "http:",
        "https:",
        "//",
        "@import",
        "url(",
        "<script",
        "<link rel=\"stylesheet",
    ] {
        // Base64 has slashes too, but only in the data of pictures.
        let outside: String = text
            .split("base64,")
            .enumerate()
            .map(|(index, part)| match index {
                0 => part,
                _ => part.split_once('"').expect("the end of the data").1,
            })
            .collect();
        assert!(!outside.contains(fetched), "{fetched}");
    }
}

#[test]
fn a_report_has_a_page_and_every_figure_as_files() {
    let lab = Lab::trained();
    let report = lab.run("report run --json").succeeds().json();
    assert_eq!(report["out"], "run/report");
    assert_eq!(report["missing"], 0);
    let html = page(&lab, "run/report");
    assert_self_contained(&html);
    for name in FIGURES {
        assert!(html.contains(&format!("<section id=\"{name}\">")), "{name}");
        let svg = String::from_utf8(lab.read(&format!("run/report/{name}.svg"))).expect("UTF-8");
        assert!(
            svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
            "{name}"
        );
        assert!(svg.contains("<title>") && svg.contains("<desc>"), "{name}");
        assert_self_contained(&svg);
        let png = image::open(lab.path(&format!("run/report/{name}.png"))).expect("a PNG");
        assert!(png.width() >= 800 && png.height() >= 100, "{name}");
    }
    let named = report["files"].as_array().expect("a list");
    let there = fs::read_dir(lab.path("run/report"))
        .expect("a folder")
        .count();
    assert_eq!(named.len(), there);
    for file in named {
        let file = Path::new(file.as_str().expect("a name"));
        assert!(lab.path("run/report").join(file).is_file(), "{file:?}");
    }
    for link in html
        .split("href=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().expect("an end"))
    {
        assert!(
            link == "data:," || lab.path(&format!("run/report/{link}")).is_file(),
            "{link}"
        );
    }
}

#[test]
fn the_numbers_are_those_of_eval_in_every_form() {
    let lab = Lab::trained();
    lab.run("report run --out r").succeeds();
    let run = numbers(&lab, "r")["runs"][0].clone();
    let evaluated = lab.run("eval run --json").succeeds().json();
    for field in [
        "images",
        "bits_per_dim",
        "stderr_bits_per_dim",
        "rate_nats_per_dim_per_layer",
    ] {
        assert_eq!(run["evaluation"][field], evaluated[field], "{field}");
    }
    let (columns, rows) = csv(&lab, "r/summary.csv");
    let column = |name| {
        columns
            .iter()
            .position(|column| column == name)
            .expect("a column")
    };
    let written: f64 = rows[0][column("bits/dim")].parse().expect("a number");
    let read = number(&evaluated["bits_per_dim"]);
    // The reader of JSON may round the last digit.
    assert!((written - read).abs() <= 1e-14 * read);
    assert_eq!(rows[0][column("parameters")], run["parameters"].to_string());
    assert_eq!(rows[0][column("stochastic depth")], "3");
    assert_eq!(rows[0][column("network evaluations per sample")], "1");
    let (_, rows) = csv(&lab, "r/layers.csv");
    let layers = run["layers"].as_array().expect("layers");
    assert_eq!(rows.len(), layers.len());
    let mut sum = 0.0;
    for (row, layer) in rows.iter().zip(layers) {
        sum += number(&layer["rate_bits_per_dim"]);
        let cumulative: f64 = row[4].parse().expect("a number");
        assert!((cumulative - sum).abs() < 1e-12);
        let own: f64 = row[3].parse().expect("a number");
        let difference = own - number(&layer["rate_bits_per_dim"]);
        assert!(difference.abs() <= 1e-14 * own);
    }
    // The rate is the sum over channels, images and layers.
    let (_, rows) = csv(&lab, "r/channels.csv");
    let nats: f64 = rows
        .iter()
        .map(|row| row[3].parse::<f64>().expect("a number"))
        .sum();
    let expected = number(&evaluated["rate_nats_per_dim"]) * (8.0 * 8.0 * 3.0);
    assert!(
        (nats - expected).abs() < 1e-4 * expected.max(1.0),
        "{nats} and {expected}"
    );
    let (_, rows) = csv(&lab, "r/loss.csv");
    let log = String::from_utf8(lab.read("run/log.jsonl")).expect("UTF-8");
    assert_eq!(rows.len(), log.lines().count());
    let (_, rows) = csv(&lab, "r/gradients.csv");
    assert_eq!(rows.len(), 1, "six updates are one window");
}

#[test]
fn several_runs_in_one_report() {
    let lab = Lab::trained();
    lab.train("--out other/run --set train.lr=5e-4").succeeds();
    lab.run("report run --compare other/run --out r").succeeds();
    let runs = numbers(&lab, "r")["runs"].clone();
    assert_eq!(runs[0]["name"], "run");
    assert_eq!(runs[1]["name"], "run (2)");
    let html = page(&lab, "r");
    assert!(html.contains("<section id=\"comparison\">"));
    assert!(html.contains("run (2)"));
    let (_, rows) = csv(&lab, "r/layers.csv");
    assert_eq!(rows.len(), 6, "three layers each");
    assert!(lab.path("r/comparison.svg").is_file());
}

#[test]
fn fewer_images_are_evaluated_where_that_is_asked() {
    let lab = Lab::trained();
    lab.run("report run --out r --images 2").succeeds();
    let evaluation = numbers(&lab, "r")["runs"][0]["evaluation"].clone();
    assert_eq!(evaluation["images"], 2);
    assert_eq!(evaluation["images_in_split"], 4);
    assert!(page(&lab, "r").contains("Not all images of the split"));
}

#[test]
fn a_report_depends_on_its_seed_only() {
    let lab = Lab::trained();
    let files = |folder: &str| {
        [
            "samples.png",
            "reconstructions.png",
            "channels.csv",
            "summary.csv",
        ]
        .map(|name| lab.read(&format!("{folder}/{name}")))
    };
    lab.run("report run --out a --batch 1 --threads 1")
        .succeeds();
    lab.run("report run --out b --batch 3 --threads 2")
        .succeeds();
    lab.run("report run --out c --seed 1").succeeds();
    assert!(files("a") == files("b"));
    assert!(files("a")[0] != files("c")[0]);
}

#[test]
fn a_run_whose_images_are_gone() {
    let lab = Lab::trained();
    fs::remove_file(lab.path("images.npy")).unwrap();
    let finished = lab.run("report run --out r").succeeds();
    finished.tells(&[
        "missing: evaluation",
        "images.npy",
        "missing: nearest training images",
    ]);
    let run = numbers(&lab, "r")["runs"][0].clone();
    assert_eq!(run["evaluation"], Value::Null);
    let html = page(&lab, "r");
    assert!(html.contains("Not in this report") && html.contains("images.npy"));
    assert!(lab.path("r/samples.png").is_file(), "samples need no data");
    assert!(lab.path("r/loss.png").is_file());
    assert!(!lab.path("r/layers.png").exists());
    // Other images do instead.
    let images = crate::support::npy(
        &[5, 8, 8, 3],
        &crate::support::images(5, crate::support::RGB),
    );
    lab.write("new.npy", images);
    lab.run("report run --out s --data npy:new.npy").succeeds();
    assert_eq!(numbers(&lab, "s")["runs"][0]["evaluation"]["images"], 5);
    assert!(lab.path("s/layers.png").is_file());
}

#[test]
fn a_run_that_has_just_begun() {
    let lab = Lab::trained();
    // As a killed process leaves it: half a line, and checkpoints to come.
    let log = lab.read("run/log.jsonl");
    lab.write("run/log.jsonl", &log[..log.len() / 2]);
    lab.run("report run --out r").succeeds();
    assert!(page(&lab, "r").contains("not finished: update"));
    fs::remove_dir_all(lab.path("run/checkpoints")).unwrap();
    fs::remove_file(lab.path("run/log.jsonl")).unwrap();
    let finished = lab.run("report run --out s").succeeds();
    finished.tells(&["missing: training history", "missing: trained model"]);
    let html = page(&lab, "s");
    assert_self_contained(&html);
    assert!(
        html.contains("<section id=\"latents\">"),
        "what the configuration tells"
    );
    assert!(!html.contains("NaN"));
}

#[test]
fn a_damaged_log_or_checkpoint_is_named_and_the_rest_comes() {
    let lab = Lab::trained();
    let log = lab.read("run/log.jsonl");
    lab.write("run/log.jsonl", [b"scribble\n", &log[..]].concat());
    let finished = lab.run("report run --out r").succeeds();
    finished.tells(&["missing: training history", "run/log.jsonl:1"]);
    assert!(lab.path("r/samples.png").is_file());
    lab.write("run/checkpoints/best.safetensors", "scribble");
    let finished = lab.run("report run --out s").succeeds();
    finished.tells(&["missing: trained model", "best.safetensors"]);
}

#[test]
fn what_cannot_be_reported() {
    let lab = Lab::trained();
    lab.run("report nowhere").fails(2, &["nowhere: not a run"]);
    lab.run("report run --compare nowhere")
        .fails(2, &["nowhere: not a run"]);
    lab.write("file", "");
    lab.run("report run --out file")
        .fails(2, &["--out file: expected a folder"]);
    lab.run("report run --out file/below")
        .fails(1, &["file/below"]);
    assert_eq!(lab.run("report run --images 0").code, Some(2));
    lab.run("report run --batch 0").fails(2, &["--batch"]);
    lab.run("report run --device toaster")
        .fails(2, &["toaster"]);
}
