//! vdvae sweep, and the ablations through all commands.

use std::fs;

use serde_json::{Value, json};

use super::{assert_close, number};
use crate::support::{Finished, Lab, assert_same_state};

/// With `set/a.toml` and `set/b.toml`, the latter without residual connections and one layer deeper.
fn lab() -> Lab {
    let lab = Lab::new();
    let tiny = String::from_utf8(lab.read("tiny.toml")).unwrap();
    lab.write("set/a.toml", &tiny);
    let deeper = tiny.replace("8m4\"", "8m4,8x1\"\ntopdown_residual = false");
    assert_ne!(deeper, tiny);
    lab.write("set/b.toml", deeper);
    lab.write("set/notes.txt", "not a configuration");
    lab
}

fn table(lab: &Lab) -> Value {
    serde_json::from_slice(&lab.read("out/table.json")).expect("JSON")
}

/// `name-seed` of every row.
fn names(table: &Value) -> Vec<String> {
    let rows = table["runs"].as_array().expect("rows");
    let name = |row: &Value| format!("{}-{}", row["name"].as_str().unwrap(), row["seed"]);
    rows.iter().map(name).collect()
}

fn sweep(lab: &Lab, options: &str) -> Finished {
    lab.run(&format!("sweep set --out out {options}"))
}

#[test]
fn a_sweep_is_its_runs_and_their_evaluations() {
    let lab = lab();
    let finished = sweep(&lab, "--json").succeeds();
    let table = table(&lab);
    assert_eq!(finished.json(), table);
    assert_eq!(names(&table), ["a-0", "b-0", "a-1", "b-1"]);
    assert_eq!(table["failed"], json!([]));
    finished.tells(&[
        "run 1 of 4: a, seed 0",
        "run 4 of 4: b, seed 1, about",
        "left",
    ]);

    let row = &table["runs"][3];
    let report = lab.run("eval out/b-seed1 --json").succeeds().json();
    for key in ["bits_per_dim", "stderr_bits_per_dim"] {
        assert_close(number(&row[key]), number(&report[key]));
    }
    assert_eq!(
        (&row["depth"], &row["variant"]),
        (&json!(4), &json!("no residual"))
    );
    assert_eq!((&row["steps"], &row["images"]), (&json!(6), &json!(4)));
    let info = lab.run("info set/b.toml --json").succeeds().json();
    assert_eq!(row["parameters"], info["parameters"]);
    let parts = ["distortion_bits_per_dim", "rate_bits_per_dim"].map(|part| number(&row[part]));
    assert_close(parts[0] + parts[1], number(&row["bits_per_dim"]));
    let layers = row["rate_bits_per_dim_per_layer"].as_array().unwrap();
    let used = layers
        .iter()
        .filter(|&rate| number(rate) * 192.0 * std::f64::consts::LN_2 >= 1.0);
    assert_eq!(row["used_layers"], used.count());

    let csv = String::from_utf8(lab.read("out/table.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(lines[0].starts_with("name,seed,parameters,depth,bits_per_dim,stderr,"));
    assert!(lines[4].starts_with("b,1,"), "{csv}");
    let columns = |line: &str| line.split(',').count();
    assert!(lines.iter().all(|line| columns(line) == columns(lines[0])));
    let figure = String::from_utf8(lab.read("out/figure.svg")).unwrap();
    assert_eq!(figure.matches("<circle").count(), 4);
    assert!(figure.contains("@media (prefers-color-scheme:dark)"));

    lab.train("--out alone --seed 1 --set data.split_seed=0")
        .succeeds();
    assert_same_state(&lab.path("out/a-seed1"), &lab.path("alone"));
}

#[test]
fn finished_runs_are_not_made_again() {
    let lab = lab();
    let first = sweep(&lab, "--seeds 0").succeeds();
    assert!(first.out.contains("used_layers") && first.out.lines().count() == 3);
    let kept = lab.read("out/table.json");
    // Were it trained or evaluated again, this could not be read.
    lab.write("out/a-seed0/checkpoints/latest.safetensors", "damaged");
    lab.write("out/a-seed0/checkpoints/best.safetensors", "damaged");
    let again = sweep(&lab, "--seeds 0").succeeds();
    assert!(!again.err.contains("run 1 of 2"), "{again:#?}");
    assert_eq!(lab.read("out/table.json"), kept);
    assert_eq!(again.out, first.out);
    let more = sweep(&lab, "--seeds 1,0,1").succeeds();
    more.tells(&["run 3 of 4: a, seed 1", "run 4 of 4: b, seed 1"]);
    assert_eq!(names(&table(&lab)), ["a-0", "b-0", "a-1", "b-1"]);
}

#[test]
fn all_runs_hold_out_the_same_images() {
    let lab = lab();
    for number in 0..40 {
        lab.write_picture(&format!("pictures/{number}.png"), 8, 8);
    }
    let data = "--data folder:pictures --steps 1";
    sweep(&lab, data).succeeds();
    let list = |run: &str| lab.read(&format!("{run}/images.tsv"));
    let first = list("out/a-seed0");
    for run in ["out/b-seed0", "out/a-seed1", "out/b-seed1"] {
        assert_eq!(list(run), first, "{run}");
    }
    lab.train(&format!("--out alone --seed 1 {data}"))
        .succeeds();
    assert_ne!(list("alone"), first);
    let tiny = String::from_utf8(lab.read("tiny.toml")).unwrap();
    lab.write(
        "other/c.toml",
        tiny.replace("[data]", "[data]\nsplit_seed = 3"),
    );
    lab.run("sweep set other --out mixed").fails(
        2,
        &[
            "other/c.toml",
            "set/a.toml",
            "by the seed 0, found 3",
            "data.split_seed",
        ],
    );
}

/// What a killed sweep leaves: a run in the middle, one without an evaluation, one not begun.
#[test]
fn a_sweep_that_was_cut_off_goes_on_bit_for_bit() {
    let lab = lab();
    sweep(&lab, "").succeeds();
    let whole = table(&lab);
    fs::rename(lab.path("out"), lab.path("whole")).unwrap();
    let part = "--config set/a.toml --out out/a-seed0 --seed 0 --steps 3";
    lab.run(&format!("train {part}")).succeeds();
    let config = lab.path("whole/a-seed0/config.toml");
    fs::copy(config, lab.path("out/a-seed0/config.toml")).unwrap();
    lab.run("train --config set/b.toml --out out/b-seed0")
        .succeeds();
    sweep(&lab, "")
        .succeeds()
        .tells(&["step 3 of 6", "step 6 of 6", "step 0 of 6"]);
    for run in ["a-seed0", "b-seed0", "a-seed1", "b-seed1"] {
        let [cut, uncut] = ["out", "whole"].map(|sweep| lab.path(&format!("{sweep}/{run}")));
        assert_same_state(&cut, &uncut);
    }
    let mut rows = [table(&lab), whole];
    for row in rows
        .iter_mut()
        .flat_map(|table| table["runs"].as_array_mut().unwrap())
    {
        row["seconds"] = Value::Null;
    }
    assert_eq!(rows[0], rows[1]);
}

#[test]
fn what_fails_is_kept_apart_and_tried_again() {
    let lab = lab();
    let tiny = String::from_utf8(lab.read("tiny.toml")).unwrap();
    let gray = tiny.replace("width = 16", "width = 16\nimage_channels = 1");
    lab.write(
        "set/aa-gray.toml",
        gray.replace("npy:images.npy", "npy:gray.npy"),
    );
    let finished = sweep(&lab, "--seeds 4");
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    assert!(
        finished.out.contains("failed: aa-gray, seed 4: "),
        "{finished:#?}"
    );
    let table_with = table(&lab);
    assert_eq!(names(&table_with), ["a-4", "b-4"]);
    let failed = &table_with["failed"][0];
    assert_eq!(
        (&failed["name"], &failed["seed"]),
        (&json!("aa-gray"), &json!(4))
    );
    assert!(
        failed["error"].as_str().unwrap().contains("gray.npy"),
        "{failed}"
    );
    finished.tells(&["1 of 3 runs failed; the same command tries them again"]);

    let images = crate::support::images(60, 64);
    lab.write("gray.npy", crate::support::npy(&[60, 8, 8], &images));
    sweep(&lab, "--seeds 4")
        .succeeds()
        .tells(&["run 2 of 3: aa-gray"]);
    assert_eq!(names(&table(&lab)), ["a-4", "aa-gray-4", "b-4"]);
}

#[test]
fn a_sweep_that_cannot_mean_anything() {
    let lab = lab();
    let fails = |arguments: &str, parts: &[&str]| {
        lab.run(arguments).fails(2, parts);
    };
    fs::create_dir(lab.path("empty")).unwrap();
    fails(
        "sweep empty",
        &["empty", "expected a folder of configurations"],
    );
    fails("sweep none.toml", &["none.toml"]);
    lab.write("other/a.toml", lab.read("set/a.toml"));
    fails(
        "sweep set other",
        &["other/a.toml", "set/a.toml", "different names"],
    );
    lab.write("broken.toml", "[model]\nwidht = 3\n");
    fails(
        "sweep set broken.toml",
        &["broken.toml:2", "did you mean `model.width`?"],
    );
    fails("sweep set --seeds 0,x", &["invalid value 'x'"]);
    assert!(!lab.path("runs").exists(), "nothing began");
    sweep(&lab, "--seeds 0").succeeds();
    let longer = "sweep set --out out --seeds 0 --steps 9";
    let difference = "train.steps (9, other 6)";
    fails(longer, &["out/a-seed0", difference, "Choose another --out"]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_the_run_and_the_table() {
    use std::process::{Command, Stdio};
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    let lab = lab();
    sweep(&lab, "--seeds 0").succeeds();
    fs::remove_dir_all(lab.path("out/b-seed0")).unwrap();
    let tiny = String::from_utf8(lab.read("set/b.toml")).unwrap();
    lab.write(
        "set/b.toml",
        tiny.replace("steps = 6", "steps = 1000000000"),
    );
    let arguments = "sweep set --out out --seeds 0";
    let mut command = lab.command(arguments);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (log, began) = (lab.path("out/b-seed0/log.jsonl"), Instant::now());
    while fs::read_to_string(&log).map_or(0, |text| text.lines().count()) < 3 {
        assert!(began.elapsed() < Duration::from_secs(60), "never got there");
        sleep(Duration::from_millis(2));
    }
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let finished = Finished::new(arguments, &child.wait_with_output().unwrap());
    assert_eq!(finished.code, Some(130), "{finished:#?}");
    finished.tells(&["stopped and saved, 1 of 2 runs are finished; the same command goes on"]);
    assert_eq!(names(&table(&lab)), ["a-0"]);
    assert!(
        lab.path("out/b-seed0/checkpoints/latest.safetensors")
            .exists()
    );
}

#[test]
fn ablations_pass_through_every_command() {
    let lab = Lab::new();
    let options = "--set model.upsample=conv --set model.topdown_residual=false";
    lab.train(&format!("--out whole {options}")).succeeds();
    lab.train(&format!("--out run {options} --steps 3"))
        .succeeds();
    lab.run("train --resume --out run --steps 6").succeeds();
    assert_same_state(&lab.path("run"), &lab.path("whole"));
    lab.run("sample run -n 2").succeeds();
    lab.run("reconstruct run -n 2").succeeds();
    // Two 1x1 convolutions of 16 channels, 4m1 and 8m4, beside the 7080 of the published kind.
    let info = lab.run("info run --json").succeeds().json();
    assert_eq!(info["parameters"], 7080 + 2 * 17 * 16);
    let details = info["details"].as_array().expect("a list");
    for detail in [
        json!(["top-down state", "replaced by each layer (not residual)"]),
        json!(["upsampling", "learned 1x1 convolutions"]),
    ] {
        assert!(details.contains(&detail), "no {detail} in {details:?}");
    }
    let text = lab.run("info run").succeeds().out;
    assert!(
        text.contains("replaced by each layer") && text.contains("learned 1x1"),
        "{text}"
    );
    lab.train("--out published").succeeds();
    lab.run("eval published --checkpoint run/checkpoints/best.safetensors")
        .fails(1, &["run/checkpoints/best.safetensors", "upsample"]);
}
