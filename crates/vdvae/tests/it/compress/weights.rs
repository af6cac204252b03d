//! The weights that an archive needs.

use std::fs;

use super::{picture, smooth};
use crate::support::{Finished, Lab};

/// The file that must be kept, as the report says.
#[track_caller]
fn kept(report: &Finished) -> String {
    let report = report.json();
    report["weights"].as_str().expect("a file").to_owned()
}

#[test]
fn training_on_leaves_archives_readable() {
    let lab = Lab::trained();
    lab.save("a.png", &picture([8, 11, 3], smooth));
    let kept = kept(&lab.compress("a.png --json").succeeds());
    let weights = lab.read(&kept);
    let best = lab.read("run/checkpoints/best.safetensors");
    lab.train("--resume --out run --steps 24").succeeds();
    assert!(lab.read("run/checkpoints/best.safetensors") != best);
    lab.run("decompress x.vdz --run run").succeeds();
    assert!(lab.pictures("x")["a.png"] == picture([8, 11, 3], smooth));
    // Another archive needs others; the first ones stay as they are.
    lab.save("b.png", &picture([8, 8, 3], smooth));
    let told = lab.run("compress run b.png -o y.vdz").succeeds().out;
    assert!(told.contains("\nkeep run/checkpoints/kept-"), "{told}");
    assert!(!told.contains(&kept), "{told}");
    assert!(lab.read(&kept) == weights);
    // The file is enough, without the run.
    fs::rename(lab.path(&kept), lab.path("kept.safetensors")).unwrap();
    fs::remove_dir_all(lab.path("run")).unwrap();
    lab.run("decompress x.vdz --checkpoint kept.safetensors --out z")
        .succeeds();
    assert!(lab.pictures("z") == lab.pictures("x"));
}

/// A checkpoint that validation did not choose.
#[test]
fn whatever_weights_were_used_are_kept() {
    let lab = Lab::trained();
    lab.save("a.png", &picture([8, 11, 3], smooth));
    let latest = "--checkpoint run/checkpoints/latest.safetensors";
    let first = kept(&lab.compress(&format!("a.png --json {latest}")).succeeds());
    lab.train("--resume --out run --steps 24").succeeds();
    lab.run("decompress x.vdz --run run").succeeds();
    assert!(lab.pictures("x")["a.png"] == picture([8, 11, 3], smooth));
    let full = lab.read("run/checkpoints/latest.safetensors").len();
    assert!(lab.read(&first).len() < full / 2, "the average alone");
}

/// Training would replace weights that are not kept.
#[test]
fn weights_that_cannot_be_kept_are_a_failure_unless_the_archive_carries_them() {
    let lab = Lab::trained();
    lab.save("a.png", &picture([8, 11, 3], smooth));
    let path = kept(&lab.compress("a.png --json").succeeds());
    fs::remove_file(lab.path(&path)).unwrap();
    fs::remove_file(lab.path("x.vdz")).unwrap();
    lab.write(&format!("{path}/in the way"), "");
    let failed = lab.compress("a.png --json");
    assert!(!failed.err.contains("--resume"), "{failed:#?}");
    failed.fails(1, &[&path, "cannot keep the weights", "--with-weights"]);
    assert!(!lab.path("x.vdz").exists());
    lab.compress("a.png --with-weights").succeeds();
}

#[test]
fn an_archive_can_carry_its_weights() {
    let lab = Lab::trained();
    lab.save("a.png", &picture([8, 11, 3], smooth));
    let report = lab
        .compress("a.png --with-weights --json")
        .succeeds()
        .json();
    assert_eq!(report["weights"], serde_json::Value::Null);
    let best = lab.read("run/checkpoints/best.safetensors").len() as u64;
    assert!(report["weights_bytes"].as_u64().unwrap() > best / 2);
    let good = lab.read("x.vdz");
    fs::remove_dir_all(lab.path("run")).unwrap();
    lab.run("decompress x.vdz").succeeds();
    assert!(lab.pictures("x")["a.png"] == picture([8, 11, 3], smooth));
    // The last bytes are weights.
    let mut bad = good;
    let last = bad.len() - 5;
    bad[last] ^= 4;
    lab.write("y.vdz", bad);
    lab.run("decompress y.vdz")
        .fails(1, &["y.vdz", "checksum of the weights"]);
    assert!(!lab.path("y").exists());
}
