//! Several jobs in one folder, signals, and what they leave.

#![cfg(unix)]

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::resume::{lines, start, wait_for};
use crate::support::{Finished, Lab, SIDE, assert_same_state, images, log_steps, npy, tensors};

fn signal(name: &str, child: &Child) {
    let status = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status();
    assert!(status.expect("kill starts").success());
}

/// The hidden files of a folder.
fn hidden(lab: &Lab, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(lab.path(folder)).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("UTF-8"));
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn a_second_job_in_a_folder_is_refused() {
    let lab = Lab::new();
    let for_ever = "--config tiny.toml --out run --steps 1000000000";
    let mut first = start(&lab, &format!("train {for_ever}"));
    wait_for("the log", || lines(&lab.path("run/log.jsonl")) > 2);
    let process = format!("--out run: process {} on ", first.id());
    let parts = [&process[..], "is at work there", "another --out"];
    lab.run("train --resume --out run").fails(2, &parts);
    lab.run(&format!("train --resume --out run --steps {}", u32::MAX))
        .fails(2, &parts);
    first.kill().expect("killed");
    let _ = first.wait_with_output();
    // Whether or not it came to the one step before it was killed.
    lab.run("train --resume --out run --steps 1")
        .tells(&[&process, "has ended without a word"]);
}

#[test]
fn a_second_sweep_in_a_folder_is_refused() {
    let lab = Lab::new();
    let sweep = "sweep tiny.toml --seeds 0 --steps 1000000000 --out set";
    let first = start(&lab, sweep);
    wait_for("the log", || {
        lines(&lab.path("set/tiny-seed0/log.jsonl")) > 2
    });
    let process = format!("process {} on ", first.id());
    lab.run(sweep)
        .fails(2, &["--out set: ", &process, "is at work there"]);
    lab.run("train --resume --out set/tiny-seed0")
        .fails(2, &["--out set/tiny-seed0: ", &process]);
    signal("-TERM", &first);
    let finished = Finished::new(sweep, &first.wait_with_output().expect("an end"));
    assert_eq!(finished.code, Some(130), "{finished:#?}");
    let again = lab.run("train --resume --out set/tiny-seed0 --steps 1");
    assert!(!again.err.contains("without a word"), "{again:#?}");
}

#[test]
fn half_written_files_are_gone_after_signals() {
    let lab = Lab::trained();
    let commands = [
        ("-TERM", 143, "sample run -n 100000000 --out x.npy", "."),
        (
            "-INT",
            130,
            "sample run -n 100000000 --out samples",
            "samples",
        ),
        ("-HUP", 129, "sample run -n 100000000 --out y.npy", "."),
    ];
    for (name, code, command, folder) in commands {
        fs::create_dir_all(lab.path("samples")).expect("made");
        let child = start(&lab, command);
        wait_for("a file", || !hidden(&lab, folder).is_empty());
        signal(name, &child);
        let finished = Finished::new(command, &child.wait_with_output().expect("an end"));
        assert_eq!(finished.code, Some(code), "{finished:#?}");
        assert_eq!(hidden(&lab, folder), [""; 0], "{command}");
    }
}

/// As by nohup.
#[test]
fn a_terminal_that_is_closed_does_not_matter_where_that_was_asked_for() {
    let lab = Lab::trained();
    let program = env!("CARGO_BIN_EXE_vdvae");
    let script = format!("trap '' HUP; exec '{program}' sample run -n 20000 --out x.npy");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(lab.path(""));
    let child = command.stdout(Stdio::null()).spawn();
    let mut child = child.expect("the program starts");
    wait_for("a file", || !hidden(&lab, ".").is_empty());
    signal("-HUP", &child);
    assert_eq!(child.wait().expect("an end").code(), Some(0));
}

#[test]
fn what_killed_processes_left_is_removed_by_a_later_one() {
    let lab = Lab::trained();
    for name in [
        ".x.npy.17-3.tmp",
        ".other.npz.1-0.tmp",
        "run/samples/.a.png.17-0.tmp",
    ] {
        lab.write(name, "half");
    }
    lab.write(".vdvae.17-0.tmp/a.png", "half");
    lab.write(".mine.tmp", "somebody's");
    lab.run("sample run -n 2 --out x.npy").succeeds();
    lab.run("sample run -n 2").succeeds();
    assert_eq!(hidden(&lab, "."), [".mine.tmp"]);
    assert_eq!(hidden(&lab, "run/samples"), [""; 0]);
}

/// Validation here takes many batches; a job that is told to end has seconds.
#[test]
fn training_stops_between_batches_of_a_validation() {
    const MANY: usize = 60_000;
    let lab = Lab::new();
    let bytes = images(MANY, 3 * SIDE * SIDE);
    lab.write("many.npy", npy(&[MANY, SIDE, SIDE, 3], &bytes));
    let options = "--config tiny.toml --data npy:many.npy --batch 1 --steps 3 --set train.log_every=1 --set train.eval_every=0";
    let arguments = format!("train {options} --out run --json");
    let child = start(&lab, &arguments);
    wait_for("the last step", || lines(&lab.path("run/log.jsonl")) == 3);
    signal("-TERM", &child);
    let told = Instant::now();
    let finished = Finished::new(&arguments, &child.wait_with_output().expect("an end"));
    let stopping = told.elapsed();
    assert_eq!(finished.code, Some(130), "{finished:#?}");
    assert_eq!(finished.json()["finished"], false);
    assert!(!log_steps(&lab.path("run")).contains_key("valid"));
    assert!(!lab.path("run/checkpoints/best.safetensors").exists());
    let began = Instant::now();
    lab.run("train --resume --out run").succeeds();
    assert!(stopping < began.elapsed(), "it took {stopping:?} to stop");
    lab.run(&format!("train {options} --out whole")).succeeds();
    assert_same_state(&lab.path("run"), &lab.path("whole"));
    assert_eq!(log_steps(&lab.path("run")), log_steps(&lab.path("whole")));
    let best = |run: &str| tensors(&lab.path(run).join("checkpoints/best.safetensors"));
    assert_eq!(best("run"), best("whole"));
    assert!(lab.path("run/samples/step-0000003.png").exists());
}
