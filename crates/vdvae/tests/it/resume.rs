//! A run that was stopped, killed or prolonged ends as one that was not, to the bit.

#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::{Finished, Lab, assert_same_state, log_steps};

pub fn start(lab: &Lab, arguments: &str) -> Child {
    let mut command = lab.command(arguments);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

pub fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let began = Instant::now();
    while !ready() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{what} took too long"
        );
        sleep(Duration::from_millis(2));
    }
}

pub fn lines(log: &Path) -> usize {
    fs::read_to_string(log).map_or(0, |text| text.lines().count())
}

/// Interrupts a run that would go on for ever once it has come some way; returns its step.
fn interrupt(lab: &Lab, arguments: &str) -> (Finished, u64) {
    let child = start(lab, arguments);
    let log = lab.path("run/log.jsonl");
    let before = lines(&log);
    wait_for("the log", || lines(&log) > before + 2);
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let finished = Finished::new(arguments, &child.wait_with_output().unwrap());
    let report = finished.json();
    assert_eq!(report["finished"], false);
    let step = report["step"].as_u64().expect("a step");
    (finished, step)
}

#[test]
fn ctrl_c_saves_and_stops() {
    let lab = Lab::new();
    let for_ever = "--out run --steps 1000000000 --json";
    let (finished, first) = interrupt(&lab, &format!("train --config tiny.toml {for_ever}"));
    assert_eq!(finished.code, Some(130));
    finished.tells(&[
        "saving after this step; once more to stop at once",
        &format!("stopped and saved at step {first}"),
        "continue with: vdvae train --resume --out run",
    ]);
    let (finished, second) = interrupt(&lab, &format!("train --resume {for_ever}"));
    assert_eq!(finished.code, Some(130));
    assert!(second > first);
    let steps = second + 7;
    lab.run(&format!("train --resume --out run --steps {steps}"))
        .succeeds();
    lab.train(&format!("--out whole --steps {steps}"))
        .succeeds();
    assert_same_state(&lab.path("run"), &lab.path("whole"));
    log_steps(&lab.path("run"));
}

/// As a crash or a power cut would, at moments of all kinds: before the first checkpoint, in the middle
/// of a step, of an evaluation, of a file.
#[test]
fn kill_at_any_moment() {
    let lab = Lab::new();
    let cadence =
        "--steps 90 --set train.eval_every=10 --set train.save_every=7 --set train.log_every=3";
    lab.train(&format!("--out whole {cadence}")).succeeds();
    let (mut kills, mut random) = (0, 1_u64);
    loop {
        let arguments = if lab.path("run/config.toml").exists() {
            "train --resume --out run".to_owned()
        } else {
            format!("train --config tiny.toml --out run {cadence}")
        };
        let mut child = start(&lab, &arguments);
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // Longer from time to time, so that an end is reached on any machine.
        let patience = 4_000 + (random >> 32) % 40_000 + 1_500 * kills;
        sleep(Duration::from_micros(patience));
        child.kill().unwrap();
        let finished = Finished::new(&arguments, &child.wait_with_output().unwrap());
        assert!(!finished.err.contains("error"), "{finished:#?}");
        if finished.code == Some(0) {
            break;
        }
        kills += 1;
        assert!(kills < 1000, "no progress: {finished:#?}");
    }
    assert!(kills >= 3, "killed {kills} times only");
    assert_same_state(&lab.path("run"), &lab.path("whole"));
    assert_eq!(
        log_steps(&lab.path("run"))["valid"],
        log_steps(&lab.path("whole"))["valid"]
    );
    for folder in ["run", "run/checkpoints", "run/samples"] {
        for entry in fs::read_dir(lab.path(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.starts_with('.'), "{folder}/{name} is left over");
        }
    }
}

#[test]
fn kill_before_the_first_checkpoint() {
    let lab = Lab::trained();
    lab.write("cut/config.toml", lab.read("run/config.toml"));
    lab.write("cut/log.jsonl", "{\"event\": \"tra");
    lab.write(
        "cut/checkpoints/.latest.safetensors.17-0.tmp",
        "half a checkpoint",
    );
    lab.run("train --resume --out cut").succeeds();
    assert_same_state(&lab.path("cut"), &lab.path("run"));
    assert_eq!(log_steps(&lab.path("cut")), log_steps(&lab.path("run")));
    assert!(
        !lab.path("cut/checkpoints/.latest.safetensors.17-0.tmp")
            .exists()
    );
}

#[test]
fn kill_before_the_configuration_was_saved() {
    let lab = Lab::trained();
    lab.write("cut/.config.toml.17-0.tmp", "half a configurat");
    lab.train("--out cut").succeeds();
    assert_same_state(&lab.path("cut"), &lab.path("run"));
    assert!(!lab.path("cut/.config.toml.17-0.tmp").exists());
}

#[test]
fn a_longer_run_in_two_parts() {
    let lab = Lab::trained();
    lab.run("train --resume --out run --steps 13")
        .succeeds()
        .tells(&["step 6 of 13"]);
    lab.train("--out whole --steps 13").succeeds();
    assert_same_state(&lab.path("run"), &lab.path("whole"));
    let again = lab.run("train --resume --out run").succeeds();
    again.tells(&["step 13 of 13"]);
    assert_same_state(&lab.path("run"), &lab.path("whole"));
}

/// With several micro-batches, flips and binarized images, which all have random numbers of their own.
#[test]
fn all_randomness_continues() {
    let lab = Lab::new();
    let options = "--set train.n_batch=3 --set train.accumulate=3 --set data.flip=true \
                   --set model.likelihood=bernoulli --set model.image_channels=1";
    lab.train(&format!("--out run {options} --steps 4"))
        .succeeds();
    lab.run("train --resume --out run --steps 9").succeeds();
    lab.train(&format!("--out whole {options} --steps 9"))
        .succeeds();
    assert_same_state(&lab.path("run"), &lab.path("whole"));
}

#[test]
fn a_log_that_was_cut_in_the_middle_of_a_line() {
    let lab = Lab::trained();
    let log = lab.read("run/log.jsonl");
    for cut in [1, 20, 200] {
        lab.write("run/log.jsonl", &log[..log.len() - cut]);
        lab.run(&format!("train --resume --out run --steps {}", 6 + cut))
            .succeeds();
        log_steps(&lab.path("run"));
    }
    lab.train("--out whole --steps 206").succeeds();
    assert_same_state(&lab.path("run"), &lab.path("whole"));
}

/// What came after the checkpoint that a killed run continues from happens again, and is told once.
#[test]
fn lines_after_the_checkpoint_are_written_anew() {
    let lab = Lab::trained();
    let log = String::from_utf8(lab.read("run/log.jsonl")).unwrap();
    let last = log.lines().last().expect("a line");
    let later = last.replace("\"step\":6", "\"step\":8");
    assert_ne!(later, last);
    lab.write("run/log.jsonl", format!("{log}{later}\n"));
    lab.run("train --resume --out run --steps 8").succeeds();
    assert_eq!(log_steps(&lab.path("run"))["valid"], [1, 2, 4, 6, 8]);
}

#[test]
fn checkpointed_activations_change_no_bit() {
    let lab = Lab::new();
    lab.train("--out whole").succeeds();
    lab.train("--out run --checkpoint-activations").succeeds();
    assert_same_state(&lab.path("run"), &lab.path("whole"));
}
