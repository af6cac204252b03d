//! What goes wrong while the program is at work.

use crate::support::{Finished, Lab, assert_same_state, log_steps};

#[test]
fn a_loss_that_is_nan_from_the_start() {
    let lab = Lab::new();
    lab.train("--out run --set data.shift=0 --set data.scale=1e30 --steps 1000")
        .fails(
            1,
            &[
                "the loss was NaN or infinite",
                "data.scale",
                "run/checkpoints/latest.safetensors",
            ],
        );
    lab.run("eval run --json").succeeds();
}

#[test]
fn a_loss_that_becomes_nan() {
    let lab = Lab::new();
    let options = "--set train.lr=1e30 --set train.warmup_iters=0 --set train.save_every=1 --set train.skip_threshold=-1";
    let finished = lab.train(&format!("--out run {options} --steps 400"));
    finished.tells(&["warning: "]).fails(
        1,
        &[
            "the loss was NaN or infinite",
            "a lower train.lr (now 1e30)",
            "run/checkpoints/latest.safetensors",
        ],
    );
    lab.run("sample run -n 2 --checkpoint run/checkpoints/latest.safetensors")
        .succeeds();
    lab.train(&format!("--out short {options} --steps 20"))
        .fails(1, &["the loss was NaN or infinite"]);
}

#[test]
fn a_threshold_that_no_update_passes() {
    let lab = Lab::new();
    let finished = lab
        .train("--out run --set train.skip_threshold=1e-6")
        .succeeds();
    finished.tells(&[
        "warning: all 2 updates up to step 2 were skipped",
        "the gradient's norm (up to ",
        "was not below train.skip_threshold (0.000001)",
        "set it to -1 for no limit",
        "vdvae train --resume --set train.skip_threshold=",
    ]);
    lab.run("train --resume --out run --steps 12 --set train.skip_threshold=-1")
        .succeeds();
    let log = String::from_utf8(lab.read("run/log.jsonl")).unwrap();
    assert!(
        log.lines()
            .any(|line| line.contains("\"step\":6") && line.contains("\"skipped_updates\":2"))
    );
    assert!(
        log.lines()
            .any(|line| line.contains("\"step\":12") && line.contains("\"skipped_updates\":0"))
    );
}

/// A limit on the size of files stands for the full disk: half of a checkpoint can be written.
#[test]
#[cfg(unix)]
fn a_disk_that_is_full_while_saving() {
    let lab = Lab::trained();
    let before = lab.read("run/checkpoints/latest.safetensors");
    let limited = |arguments: &str| {
        let program = env!("CARGO_BIN_EXE_vdvae");
        // Blocks of 512 or 1024 bytes: between the best checkpoint and the latest in either case.
        let script = format!("trap '' XFSZ; ulimit -f 100; exec '{program}' {arguments}");
        let mut command = std::process::Command::new("sh");
        let output = command
            .args(["-c", &script])
            .current_dir(lab.path(""))
            .output()
            .unwrap();
        Finished::new(arguments, &output)
    };
    limited("train --resume --out run --steps 13").fails(
        1,
        &[
            "run/checkpoints/latest.safetensors: cannot save the checkpoint",
            "File too large",
            "What was saved there before is untouched",
            "Make room, then continue with --resume",
        ],
    );
    assert_eq!(lab.read("run/checkpoints/latest.safetensors"), before);
    assert_eq!(
        std::fs::read_dir(lab.path("run/checkpoints"))
            .unwrap()
            .count(),
        2,
        "no half files"
    );
    limited("sample run -n 4000 --out x.npy")
        .fails(1, &["x.npy: cannot save the samples", "File too large"]);
    limited("sample run -n 400 --out x.png")
        .fails(1, &["x.png: cannot save the samples", "File too large"]);
    assert!(!lab.path("x.npy").exists() && !lab.path("x.png").exists());
    lab.run("train --resume --out run --steps 13").succeeds();
    lab.train("--out whole --steps 13").succeeds();
    assert_same_state(&lab.path("run"), &lab.path("whole"));
    log_steps(&lab.path("run"));
}

#[test]
#[cfg(target_os = "linux")]
fn results_that_cannot_be_written() {
    let lab = Lab::trained();
    for arguments in ["info", "info run --json", "eval run", "eval run --json"] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = lab.command(arguments).stdout(full).output().unwrap();
        Finished::new(arguments, &output)
            .fails(1, &["cannot write to standard output: No space left"]);
    }
}
