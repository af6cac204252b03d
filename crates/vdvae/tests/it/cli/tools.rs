//! What other tools read: TensorBoard, shells, man.

use std::fs;

use crate::support::Lab;

#[test]
fn tensorboard_is_told_losses_rates_and_samples() {
    let lab = Lab::new();
    lab.train("--out run --tensorboard").succeeds();
    lab.run("train --resume --out run --steps 9 --tensorboard")
        .succeeds();
    lab.train("--out quiet").succeeds();
    assert!(!lab.path("quiet/tensorboard").exists());
    let files = fs::read_dir(lab.path("run/tensorboard")).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    assert_eq!(paths.len(), 2, "one for each part of the run");
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("events.out.tfevents."), "{name}");
        let bytes = fs::read(path).unwrap();
        let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        for tag in [
            "brain.Event:2",
            "train/bits_per_dim",
            "train/rate",
            "train/learning_rate",
            "valid/bits_per_dim",
            "samples",
            "IHDR",
        ] {
            assert!(has(tag.as_bytes()), "{name}: no {tag}");
        }
    }
}

#[test]
fn shells_complete_every_command() {
    let lab = Lab::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = lab.run(&format!("completions {shell}")).succeeds().out;
        for word in ["reconstruct", "skip-bad-images", "tensorboard"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    lab.run("completions tcsh").fails(2, &["bash", "man"]);
    lab.run("completions man").fails(2, &["--out"]);
    lab.run("completions zsh --out x")
        .fails(2, &["standard output"]);
}

#[test]
fn every_command_has_a_manual_page() {
    let lab = Lab::new();
    let told = lab.run("completions man --out man1").succeeds().out;
    assert!(told.lines().count() > 15, "{told}");
    let page = String::from_utf8(lab.read("man1/vdvae-train.1")).unwrap();
    assert!(
        page.contains(".TH vdvae-train 1") && page.contains("init"),
        "{page}"
    );
    let page = String::from_utf8(lab.read("man1/vdvae.1")).unwrap();
    assert!(page.contains("compress"), "{page}");
}
