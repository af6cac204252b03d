//! Other models, other machines, damaged files, kills.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use super::{picture, smooth};
use crate::support::Lab;

/// With `x.vdz`, which holds `a.png` and `b.png`.
fn lab() -> Lab {
    let lab = Lab::trained();
    lab.save("a.png", &picture([8, 9, 3], smooth));
    lab.save("b.png", &picture([8, 8, 1], smooth));
    lab.compress("a.png b.png").succeeds();
    lab
}

impl Lab {
    /// Decompression of `x.vdz` fails and leaves nothing.
    #[track_caller]
    fn keeps(&self, options: &str, code: i32, parts: &[&str]) {
        self.run(&format!("decompress x.vdz --out out {options}"))
            .fails(code, parts);
        assert!(!self.path("out").exists(), "something was written");
    }
}

#[test]
fn another_model_is_refused() {
    let lab = lab();
    lab.train("--out other --seed 1").succeeds();
    lab.keeps(
        "--run other",
        1,
        &[
            "x.vdz",
            "the archive was made with the model",
            "Give the run",
        ],
    );
    lab.keeps("--run missing", 2, &["missing", "not a run"]);
}

#[test]
fn a_model_of_other_normalisation_is_another_model() {
    let lab = lab();
    let config = fs::read_to_string(lab.path("run/config.toml")).unwrap();
    let changed: String = config
        .lines()
        .map(|line| match line.strip_prefix("shift = ") {
            Some(number) => format!("shift = {}\n", number.parse::<f64>().unwrap() + 1.0),
            None => format!("{line}\n"),
        })
        .collect();
    assert_ne!(config, changed);
    lab.write("run/config.toml", changed);
    lab.run("decompress x.vdz --out out --run run")
        .fails(1, &[]);
    assert!(!lab.path("out").exists());
}

#[test]
fn another_kernel_path_is_refused() {
    let lab = lab();
    let mut archive = vdvae::compress::Archive::read(&lab.read("x.vdz")).unwrap();
    if vdvae_kernels::detect::path() != vdvae_kernels::detect::Path::Portable {
        lab.keeps(
            "--run run --kernel-path portable",
            1,
            &["x.vdz", "this is \"portable\"", "Add --kernel-path"],
        );
    }
    // No processor has both.
    let missing = if cfg!(target_arch = "aarch64") {
        "avx2"
    } else {
        "neon"
    };
    archive.model.kernel_path = format!("{missing}@1");
    let mut file = Vec::new();
    archive.write(&mut file).unwrap();
    lab.write("x.vdz", file);
    lab.keeps(
        "--run run",
        1,
        &["x.vdz", missing, "this processor does not have", "portable"],
    );
}

#[test]
fn arithmetic_that_is_not_exact_is_refused() {
    let lab = lab();
    lab.keeps("--run run --dtype bf16", 2, &["--dtype", "fp32 only"]);
    lab.compress("a.png --dtype bf16")
        .fails(2, &["--dtype", "fp32 only"]);
    lab.compress("a.png --dtype fp32").succeeds();
}

/// Bytes across the file, each of the first and last ones.
#[test]
fn a_flipped_byte_is_an_error() {
    let lab = lab();
    let good = lab.read("x.vdz");
    let places = (0..good.len()).filter(|&i| i < 24 || i % 97 == 0 || i + 6 > good.len());
    for place in places {
        let mut bad = good.clone();
        bad[place] ^= 1 << (place % 8);
        lab.write("x.vdz", bad);
        lab.keeps("--run run", 1, &["x.vdz"]);
    }
    // A good one is still read.
    lab.write("x.vdz", good);
    lab.run("decompress x.vdz --out out --run run").succeeds();
}

#[test]
fn a_truncated_file_is_an_error() {
    let lab = lab();
    let good = lab.read("x.vdz");
    for len in (0..good.len()).step_by(61).chain([good.len() - 1]) {
        lab.write("x.vdz", &good[..len]);
        lab.keeps("--run run", 1, &["x.vdz"]);
    }
    lab.write("x.vdz", [good.as_slice(), b"!"].concat());
    lab.keeps("--run run", 1, &["x.vdz", "follow"]);
}

/// What checksums of the file do not catch, as they are right: streams of other words.
#[test]
fn a_stream_of_something_else_leaves_no_image() {
    let lab = lab();
    let archive = || vdvae::compress::Archive::read(&lab.read("x.vdz")).unwrap();
    let good = archive();
    let words = good.chains[0].stream.words.len();
    for place in (0..words).step_by(words / 12 + 1).chain([words - 1]) {
        let mut archive = good.clone();
        archive.chains[0].stream.words[place] ^= 1 << (place % 32);
        let mut file = Vec::new();
        archive.write(&mut file).unwrap();
        lab.write("x.vdz", file);
        lab.keeps("--run run", 1, &["x.vdz"]);
    }
    let mut archive = good.clone();
    archive.images[0].width = 1 << 14;
    archive.images[0].height = 1 << 14;
    let mut file = Vec::new();
    archive.write(&mut file).unwrap();
    lab.write("x.vdz", file);
    lab.keeps("--run run", 1, &["x.vdz"]);
}

#[test]
fn nothing_is_overwritten() {
    let lab = lab();
    lab.write("out/a.png", "mine");
    lab.run("decompress x.vdz --out out --run run")
        .fails(2, &["a.png", "exists already", "--out"]);
    assert_eq!(lab.read("out/a.png"), b"mine");
    assert!(!lab.path("out/b.png").exists());
    lab.write("file", "mine");
    lab.run("decompress x.vdz --out file --run run")
        .fails(2, &["file", "expected a folder"]);
}

#[test]
fn pictures_that_cannot_be_kept_exactly_are_refused() {
    let lab = Lab::trained();
    lab.write("broken.png", "no picture");
    lab.compress("broken.png").fails(1, &["broken.png"]);
    lab.compress("missing.png").fails(1, &["missing.png"]);
    lab.compress("").fails(2, &["images to compress", "--data"]);
    lab.save("x.png", &picture([8, 8, 3], smooth));
    lab.compress("x.png --batch 0").fails(2, &["--batch"]);
    lab.run("compress run x.png -o x.zip")
        .fails(2, &["x.zip", ".vdz"]);
    assert!(!lab.path("x.vdz").exists());
    lab.compress("x.png").succeeds();
    lab.run("decompress x.vdz --run run --only y.png")
        .fails(2, &["y.png", "--list"]);
    lab.run("decompress missing.vdz --run run")
        .fails(1, &["missing.vdz", "cannot read"]);
}

#[test]
fn a_kill_leaves_no_half_archive() {
    let lab = Lab::trained();
    lab.save("large.png", &picture([400, 400, 3], smooth));
    lab.write("x.vdz", "the old one");
    for milliseconds in [50, 150, 300] {
        let mut child = lab
            .command("compress run large.png -o x.vdz")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().expect("killed");
        let finished = child.wait().expect("ended").success();
        let found = lab.read("x.vdz");
        if finished {
            assert!(vdvae::compress::Archive::read(&found).is_ok());
            lab.write("x.vdz", "the old one");
        } else {
            let whole = vdvae::compress::Archive::read(&found).is_ok();
            assert!(found == b"the old one" || whole);
        }
    }
}
