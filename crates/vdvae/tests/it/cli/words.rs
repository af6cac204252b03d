//! vdvae info, --help, and what is said to whom.

use std::process::Stdio;

use clap::{CommandFactory, Parser};
use serde_json::json;
use vdvae::cli::Cli;
use vdvae::models::registry::presets;

use super::number;
use crate::support::{Lab, log_steps};

/// The parameters to the digit.
#[test]
fn info_of_the_published_presets() {
    let lab = Lab::new();
    for (preset, parameters, depth) in [
        ("cifar10", 39_145_700, 43),
        ("imagenet32", 119_280_868, 78),
        ("imagenet64", 125_005_860, 75),
        ("ffhq256", 114_874_852, 66),
        ("ffhq1024", 109_366_904, 70),
    ] {
        let info = lab.run(&format!("info {preset} --json")).succeeds().json();
        assert_eq!(
            (&info["parameters"], &info["depth"]),
            (&json!(parameters), &json!(depth))
        );
        assert!(number(&info["training_memory_bytes"]) > 16.0 * f64::from(parameters));
        assert!(number(&info["operations_per_image"]["training"]) > 1e11);
        let latents = info["latents"].as_array().unwrap();
        assert_eq!(latents.last().unwrap()["cumulative_share"], 1.0);
    }
}

#[test]
fn info_of_a_run_a_file_and_everything() {
    let lab = Lab::trained();
    let run = lab.run("info run --json").succeeds().out;
    assert_eq!(lab.run("info tiny.toml --json").succeeds().out, run);
    let text = lab.run("info run").succeeds().out;
    for part in [
        "parameters        7080",
        "stochastic depth  3 layers",
        "GiB",
        "GFLOP",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    let wider = lab
        .run("info tiny.toml --set model.width=32 --json")
        .succeeds()
        .json();
    assert!(number(&wider["parameters"]) > 2.0 * 7080.0);
    let list = lab.run("info").succeeds().out;
    assert!(
        list.contains("photos32") && list.contains("39145700"),
        "{list}"
    );
    let list = lab.run("info --json").succeeds().json();
    let names: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|preset| &preset["preset"])
        .collect();
    assert!(
        names.contains(&&json!("vdvae/photos32")) && names.len() == presets().count(),
        "{names:?}"
    );
}

#[test]
fn one_of_a_thing_is_said_in_the_singular() {
    let lab = Lab::trained();
    lab.write_picture("cat.png", 8, 8);
    for (command, says) in [
        ("sample run -n 1 --out x.png", "1 sample at temperature 1 "),
        (
            "reconstruct run cat.png --layers 1",
            "1 image, reconstructed from [1] of 3 layers: ",
        ),
        ("encode run cat.png --out z.npz", "1 image, layers 0..3, "),
        (
            "decode run z.npz --layers 1 --out y.png",
            "1 image, 1 layer as given, 2 from the prior: ",
        ),
        (
            "features run cat.png --layer 0 --out f.npz",
            "\n1 image: f.npz",
        ),
    ] {
        let out = lab.run(command).succeeds().out;
        assert!(out.contains(says), "no {says:?} of {command} in {out}");
    }
    lab.train("--out short --steps 1")
        .succeeds()
        .tells(&["1 step in "]);
}

#[test]
fn a_printed_configuration_is_one_to_start_from() {
    let lab = Lab::new();
    let toml = lab
        .run("info photos32 --toml --set model.width=32")
        .succeeds()
        .out;
    lab.write("mine.toml", toml);
    let of_file = lab.run("info mine.toml --json").succeeds().out;
    assert_eq!(
        lab.run("info photos32 --set model.width=32 --json")
            .succeeds()
            .out,
        of_file
    );
}

#[test]
fn every_command_teaches_by_examples_that_are_right() {
    let lab = Lab::new();
    let names: Vec<_> = Cli::command()
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "train",
            "eval",
            "sample",
            "reconstruct",
            "encode",
            "decode",
            "interpolate",
            "features",
            "sweep",
            "report",
            "compress",
            "decompress",
            "info",
            "bench",
            "import",
            "export",
            "verify",
            "completions"
        ]
    );
    for command in std::iter::once("").chain(names.iter().map(String::as_str)) {
        let help = lab.run(&format!("{command} --help")).succeeds();
        assert_eq!(help.err, "");
        // An example may be continued on the next line, as in a shell.
        let joined = help.out.replace(" \\\n      ", " ");
        let examples: Vec<&str> = joined
            .lines()
            .filter(|line| line.starts_with("  vdvae "))
            .collect();
        assert!(examples.len() >= 3, "{}", help.out);
        for line in examples {
            // The example, two spaces or more, what it does.
            let example = line.trim_start().split("  ").next().unwrap_or_default();
            if let Err(error) = Cli::try_parse_from(example.split(' ')) {
                panic!("{example}: {error}");
            }
        }
    }
    lab.run("--version").succeeds();
}

/// `vdvae info | head -1`, and a terminal that was closed.
#[test]
fn a_reader_that_has_gone_away_is_no_error() {
    let lab = Lab::trained();
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    for arguments in [
        "info",
        "info run",
        "info run --json",
        "info run --toml",
        "eval run",
        "eval run --json",
        "sample run -n 1",
        "reconstruct run",
        "--help",
        "info --help",
    ] {
        let output = lab.command(arguments).stdout(closed()).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments}: {err}");
        assert_eq!(err, "", "{arguments}");
    }
    let train = "train --resume --out run --steps 9";
    assert_eq!(
        lab.command(train).stderr(closed()).status().unwrap().code(),
        Some(0)
    );
    assert_eq!(log_steps(&lab.path("run"))["train"].last(), Some(&9));
    assert_eq!(
        lab.command("eval nowhere")
            .stderr(closed())
            .status()
            .unwrap()
            .code(),
        Some(2)
    );
}
