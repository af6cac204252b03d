//! Files that are damaged, of another model, or more than data.

use std::path::Path;

use vdvae::checkpoint::published::{Files, import};
use vdvae::config::Config;

use super::file;
use crate::support::Lab;

#[test]
fn files_that_would_run_something_are_refused_by_its_name() {
    let lab = Lab::with_files(&["evil.th", "evil-legacy.th", "zip.th"]);
    for evil in ["evil.th", "evil-legacy.th"] {
        for arguments in [
            format!("{evil} --out run"),
            format!("zip.th --ema {evil} --out run"),
            format!("zip.th --optimizer {evil} --out run"),
        ] {
            let parts = [evil, "`posix.system`", "Nothing in it was run"];
            lab.import(&arguments).fails(1, &parts);
        }
    }
    // Instructions that make any object.
    for (opcode, rest) in [
        (b'i', &b"posix\nsystem\n."[..]),
        (0x92, b"."),
        (0x82, b"\x01."),
    ] {
        lab.write("evil.th", [&[0x80, 2, b'(', opcode], rest].concat());
        let name = format!("the instruction {opcode:#04x}");
        lab.import("evil.th --out run")
            .fails(1, &["evil.th", &name]);
    }
    assert!(!lab.path("evil-was-here").exists());
    assert!(!lab.path("run").exists(), "a run of nothing");
}

fn tiny(lab: &Lab) -> Config {
    Config::from_file(lab.path("tiny.toml")).expect("a configuration")
}

/// Imports weights of the tiny model in this process.
fn try_import(config: &Config, weights: &Path) -> anyhow::Result<()> {
    let files = Files {
        weights: weights.to_owned(),
        ..Files::default()
    };
    import(&files, config).map(drop)
}

#[test]
fn truncated_files() {
    let lab = Lab::new();
    let (cut, config) = (lab.path("cut.th"), tiny(&lab));
    for name in ["zip.th", "legacy.th"] {
        let whole = std::fs::read(file(name)).unwrap();
        lab.write("cut.th", &whole);
        try_import(&config, &cut).expect("whole");
        let last = whole.len() - 1;
        for length in (0..600).chain((600..last).step_by(487)).chain([last]) {
            lab.write("cut.th", &whole[..length]);
            let error = try_import(&config, &cut)
                .expect_err("truncated")
                .to_string();
            assert!(error.contains("cut.th"), "{error}");
        }
    }
    lab.import("cut.th --out run").fails(
        1,
        &[
            "cut.th: the file is truncated or damaged",
            "download it again",
        ],
    );
}

#[test]
fn flipped_bits_are_found_or_do_no_harm() {
    let lab = Lab::new();
    let (flipped, config) = (lab.path("flipped.th"), tiny(&lab));
    for (name, checked) in [("zip.th", true), ("legacy.th", false)] {
        let whole = std::fs::read(file(name)).unwrap();
        let mut refused = 0;
        for place in (0..whole.len()).step_by(61) {
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << (place % 8);
            lab.write("flipped.th", &bytes);
            refused += usize::from(try_import(&config, &flipped).is_err());
        }
        assert!(refused > 200 || !checked, "{name}: {refused} refused");
    }
}

#[test]
fn lengths_that_no_file_has() {
    let lab = Lab::with_files(&["huge.th"]);
    lab.import("huge.th --out run").fails(
        1,
        &["encoder.in_conv.weight: expected [16, 3, 3, 3], found [1099511627776, 1048576]"],
    );
    let long = [&[0x80, 4, 0x8E][..], &(1_u64 << 60).to_le_bytes(), b"x"].concat();
    lab.write("long.th", long);
    lab.import("long.th --out run")
        .fails(1, &["long.th: the pickle is truncated"]);
    lab.write(
        "long.safetensors",
        [&(1_u64 << 60).to_le_bytes()[..], b"{}"].concat(),
    );
    lab.import("long.safetensors --out run").fails(
        1,
        &[
            "expected a whole safetensors file",
            "a header of 1152921504606846976 bytes",
        ],
    );
    let mut legacy = std::fs::read(file("legacy.th")).unwrap();
    // The number of elements of the last storage.
    let at = legacy.len() - 4 * 20 - 8;
    assert_eq!(legacy[at..at + 8], 20_u64.to_le_bytes());
    legacy[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    lab.write("legacy.th", legacy);
    lab.import("legacy.th --out run")
        .fails(1, &["the file ends within storage"]);
}

#[test]
fn other_kinds_of_files() {
    let lab = Lab::with_files(&["zip.th", "opt.th"]);
    lab.write("empty.th", "");
    lab.write("page.th", "<!DOCTYPE html><html>");
    lab.import("empty.th --out run")
        .fails(1, &["empty.th", "found an empty file"]);
    lab.import("page.th --out run")
        .fails(1, &["begins with \"<!DOCTYPE html>"]);
    lab.import("missing.th --out run")
        .fails(1, &["missing.th: cannot read the file"]);
    lab.import("opt.th --out run")
        .fails(1, &["give it as --optimizer"]);
    lab.import("zip.th --optimizer zip.th --out run")
        .fails(1, &["zip.th: contents: expected the state of an optimizer"]);
    assert!(!lab.path("run").exists());
}

#[test]
fn weights_of_another_model() {
    let lab = Lab::with_files(&["zip.th", "opt.th", "photos32.th"]);
    lab.run("import zip.th --preset cifar10 --out run").fails(
        1,
        &[
            "encoder.in_conv.weight: expected [384, 3, 3, 3], found [16, 3, 3, 3]",
            " more. No preset has them",
        ],
    );
    lab.run("import photos32.th --preset cifar10 --out run")
        .fails(1, &["They are those of --preset vdvae/photos32"]);
    let deeper = "--set model.dec_blocks=1x1,4m1,8m4,8x1";
    lab.import(&format!("zip.th {deeper} --out run")).fails(
        1,
        &["decoder.dec_blocks.3.enc.c1.weight: expected [4, 32, 1, 1], found none"],
    );
    lab.import(&format!("zip.th {deeper} --optimizer opt.th --out run"))
        .fails(
            1,
            &["zip.th: the tensors are not those of the configuration"],
        );
    let shallower = "--set model.enc_blocks=8d2,4d4,1x1";
    lab.import(&format!("zip.th {shallower} --out run")).fails(
        1,
        &["encoder.enc_blocks.3.c1.weight: expected none, found [4, 16, 1, 1]"],
    );
    assert!(!lab.path("run").exists());
}

#[test]
fn an_optimizer_of_another_model() {
    let lab = Lab::with_files(&["opt.th"]);
    let wider = "--set model.zdim=3";
    let deeper = "--set model.dec_blocks=1x1,4m1,8m4,8x1";
    for (change, run, part) in [
        (
            wider,
            "a",
            "exp_avg: expected [6, 4, 1, 1], found [4, 4, 1, 1]",
        ),
        (deeper, "b", "param_groups: expected 145 parameters"),
    ] {
        lab.train(&format!("{change} --out {run} --steps 1"))
            .succeeds();
        lab.run(&format!("export {run} --format openai")).succeeds();
        lab.import(&format!(
            "{run}-model.th {change} --optimizer opt.th --out run"
        ))
        .fails(1, &["opt.th", part]);
    }
}

#[test]
fn arguments_that_mean_nothing() {
    let lab = Lab::with_files(&["zip.th", "photos32.th"]);
    lab.run("import zip.th --out run")
        .fails(2, &["expected --preset NAME or --config FILE"]);
    lab.run("import zip.th --config tiny.toml --out run")
        .fails(2, &["data.shift, data.scale", "--set data.shift="]);
    lab.import("zip.th --out run").succeeds();
    lab.import("zip.th --out run")
        .fails(2, &["--out run: run/config.toml is there"]);
    lab.run("export run --format safetensors --out run")
        .fails(2, &["--out run: expected a name for files, found a folder"]);
    lab.run("export nothing --format openai")
        .fails(2, &["nothing: not a run"]);
}
