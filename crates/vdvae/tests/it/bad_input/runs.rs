//! Runs that are in the way, or that were tampered with.

use crate::support::Lab;

#[test]
fn a_place_that_is_taken() {
    let lab = Lab::trained();
    let before = lab.read("run/checkpoints/latest.safetensors");
    lab.train("--out run").fails(
        2,
        &["--out run: this run exists", "--resume", "another --out"],
    );
    lab.train("--out run --set train.lr=0.5 --set model.width=32")
        .fails(
            2,
            &[
                "--out run: another run is kept there",
                "model.width (32, other 16)",
                "train.lr (0.5, other 0.001)",
                "another --out",
            ],
        );
    for left in ["log.jsonl", "checkpoints/latest.safetensors"] {
        lab.write(&format!("left/{left}"), "of another run");
        let place = left.split('/').next().unwrap();
        lab.train("--out left").fails(
            2,
            &[
                &format!("--out left: left/{place} is there"),
                "another --out",
            ],
        );
        lab.run("import x.th --config tiny.toml --out left --set data.shift=0 --set data.scale=1")
            .fails(2, &["--out left: left/", "is there"]);
        std::fs::remove_dir_all(lab.path("left")).unwrap();
    }
    assert_eq!(lab.read("run/checkpoints/latest.safetensors"), before);
}

/// A shell makes the file, in the folder that it had to make, before the program starts.
#[test]
fn other_files_in_a_new_runs_folder_do_not_matter() {
    let lab = Lab::new();
    lab.write("mine/train.log", "nohup");
    lab.write("mine/notes/thesis.tex", "text");
    lab.train("--out mine").succeeds();
    assert_eq!(lab.read("mine/train.log"), b"nohup");
    assert_eq!(lab.read("mine/notes/thesis.tex"), b"text");
}

#[test]
fn what_cannot_change_in_the_middle_of_a_run() {
    let lab = Lab::trained();
    let config = lab.read("run/config.toml");
    for (option, part) in [
        ("--set model.width=32", "model.width (16, other 32)"),
        ("--set data.scale=1.0", "data.scale"),
        ("--seed 1", "train.seed (0, other 1)"),
    ] {
        lab.run(&format!("train --resume --out run --steps 9 {option}"))
            .fails(
                2,
                &[
                    "--resume",
                    part,
                    "cannot change in the middle of a run",
                    "another --out",
                ],
            );
    }
    lab.train("--resume --out run --set train.lr=0.5")
        .fails(2, &["train.lr (0.5, other 0.001)", "Leave out"]);
    assert_eq!(lab.read("run/config.toml"), config);
    lab.run("train --resume --out run --steps 9 --set train.lr=1e-4")
        .succeeds();
}

#[test]
fn a_run_whose_files_were_tampered_with() {
    let lab = Lab::trained();
    let (config, log) = (lab.read("run/config.toml"), lab.read("run/log.jsonl"));
    lab.write("run/log.jsonl", [b"scribble\n", &log[..]].concat());
    lab.run("train --resume --out run --steps 9")
        .fails(1, &["run/log.jsonl:1", "scribble", "mend or delete"]);
    lab.write("run/log.jsonl", log);
    let text = String::from_utf8(config).unwrap();
    lab.write("run/config.toml", text.replace("width", "wdith"));
    for command in [
        "eval run",
        "sample run",
        "reconstruct run",
        "info run",
        "train --resume --out run",
    ] {
        lab.run(command).fails(
            2,
            &[
                "run/config.toml:",
                "model.wdith",
                "did you mean `model.width`?",
            ],
        );
    }
    lab.write("run/config.toml", text.replace("zdim = 2", "zdim = 0"));
    lab.run("sample run").fails(2, &["zdim", "found 0"]);
    let without: String = text
        .lines()
        .filter(|line| !line.contains("shift") && !line.contains("scale"))
        .map(|line| format!("{line}\n"))
        .collect();
    lab.write("run/config.toml", without);
    assert_ne!(lab.run("sample run").code, Some(0));
    lab.write("run/config.toml", text);
    lab.run("train --resume --out run --steps 9").succeeds();
}
