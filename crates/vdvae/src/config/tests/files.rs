//! Configuration files, good and bad.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// The message for a file of this text.
fn file_fault(text: &str) -> String {
    match Config::from_toml(text, "my.toml") {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// The message for a preset's file after one replacement.
fn edited_fault(from: &str, to: &str) -> String {
    let text = preset::find("cifar10").expect("a preset").text;
    assert!(text.contains(from), "no {from:?} in the preset");
    file_fault(&text.replacen(from, to, 1))
}

/// The number of lines before `part` in a preset's file.
fn line_of(part: &str) -> usize {
    let text = preset::find("cifar10").expect("a preset").text;
    let (before, _) = text.split_once(part).expect(part);
    before.lines().count()
}

#[test]
fn defaults_fill_what_a_file_leaves_out() {
    let text = "data.source = 'photos'\n[model]\nimage_size = 4\nwidth = 8\nzdim = 2\n\
                enc_blocks = '4x1'\ndec_blocks = '4x1'\n";
    let config = Config::from_toml(text, "my.toml").expect("valid");
    config.validate().expect("possible");
    assert_eq!(config.train, TrainConfig::default());
    assert_eq!(model::<String>(&config, "likelihood"), "dmol");
    let [bits, mixtures] = ["bits", "num_mixtures"].map(|key| model::<u32>(&config, key));
    assert_eq!((bits, mixtures), (8, 10));
    assert_eq!((config.data.shift, config.data.flip), (None, false));
    assert!(model::<bool>(&config, "topdown_residual"));
    assert_eq!(model::<String>(&config, "upsample"), "nearest");
}

#[test]
fn a_file_with_a_typo() {
    assert_eq!(
        file_fault("[data]\nsource = 'photos'\n[train]\nlr_decai = 'none'\n"),
        "my.toml:4: unknown key `train.lr_decai`; did you mean `train.lr_decay`?"
    );
    let section = file_fault("[model]\nwidth = 8\n[trian]\nlr = 1\n");
    assert_eq!(
        section,
        "my.toml:4: unknown key `trian.lr`; did you mean `train.lr`?"
    );
    let elsewhere = file_fault("[train]\nwidth = 8\n");
    assert!(
        elsewhere.ends_with("did you mean `model.width`?"),
        "{elsewhere}"
    );
    let top = file_fault("zdim = 16\n");
    assert_eq!(
        top,
        "my.toml:1: unknown key `zdim`; did you mean `model.zdim`?"
    );
    let hopeless = file_fault("[data]\nqqqqqq = 1\n");
    assert!(
        hopeless
            .ends_with("the keys are data.classes, data.flip, data.scale, data.shift, data.source")
    );
}

#[test]
fn ablations_that_do_not_exist() {
    let upsample = edited_fault("upsample = \"nearest\"", "upsample = \"bilinear\"");
    let line = 1 + line_of("upsample = \"nearest\"");
    assert!(
        upsample.starts_with(&format!("my.toml:{line}: ")),
        "{upsample}"
    );
    for part in ["model.upsample", "bilinear", "`nearest`", "`conv`"] {
        assert!(upsample.contains(part), "no {part} in {upsample}");
    }
    let residual = edited_fault("topdown_residual = true", "topdown_residual = 0");
    let expected = "model.topdown_residual: expected true or false, found 0";
    assert!(residual.ends_with(expected), "{residual}");
    let typo = edited_fault("upsample = ", "upsampel = ");
    assert!(typo.ends_with("did you mean `model.upsample`?"), "{typo}");
}

#[test]
fn a_file_with_a_wrong_type() {
    let lr = edited_fault("lr = 2e-4", "lr = \"fast\"");
    assert!(lr.starts_with("my.toml:"), "{lr}");
    assert!(
        lr.ends_with("train.lr: expected a number, found \"fast\""),
        "{lr}"
    );
    let batch = edited_fault("n_batch = 16", "n_batch = -16");
    assert!(batch.ends_with("train.n_batch: expected a whole number, 0 or more, found -16"));
    let width = edited_fault("width = 384", "width = 384.5");
    assert!(width.ends_with("model.width: expected a whole number, 0 or more, found 384.5"));
    let flip = edited_fault("flip = false", "flip = [1]");
    assert!(
        flip.ends_with("data.flip: expected true or false, found [1]"),
        "{flip}"
    );
    let table = file_fault("model = 3\n");
    assert_eq!(table, "my.toml:1: model: expected a table, found 3");
    let deep = edited_fault("lr = 2e-4", "lr.x = 2e-4");
    assert!(deep.contains("train.lr: expected a number"), "{deep}");
    let choice = edited_fault("\"dmol\"", "\"dmo\"");
    assert!(
        choice.contains("model.likelihood: unknown variant `dmo`"),
        "{choice}"
    );
    let bits = edited_fault("bits = 8", "bits = 8000000000000");
    assert!(bits.contains("model.bits: "), "{bits}");
}

#[test]
fn a_whole_number_is_a_number() {
    let text = preset::find("cifar10").expect("a preset").text;
    let config = Config::from_toml(&text.replacen("lr = 2e-4", "lr = 2", 1), "text");
    assert_eq!(config.expect("valid").train.lr, 2.0);
}

#[test]
fn a_file_that_lacks_a_key_or_is_no_toml() {
    let missing = edited_fault("width = 384\n", "");
    assert!(missing.contains("missing field `width`"), "{missing}");
    let broken = edited_fault("width = 384", "width = = 384");
    assert!(broken.starts_with("my.toml:"), "{broken}");
    let twice = edited_fault("width = 384", "width = 384\nwidth = 5");
    assert!(twice.contains("duplicate key"), "{twice}");
}

/// A folder that is removed when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("vdvae-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the test");
        Self(folder)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).expect("a file for the test");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the folder of the test");
    }
}

#[test]
fn files_that_cannot_be_read() {
    let scratch = Scratch::new("unreadable");
    for path in [
        scratch.0.join("missing.toml"),
        scratch.0.clone(),
        scratch.file("binary.toml", &[0xff, 0xfe, 0x00]),
        scratch.file("huge.toml", &vec![b'#'; (1 << 20) + 1]),
    ] {
        let message = Config::from_file(&path)
            .expect_err("unreadable")
            .to_string();
        let start = format!("{}: cannot read the configuration: ", path.display());
        assert!(message.starts_with(&start), "{message}");
    }
}

#[test]
fn a_file_is_read() {
    let scratch = Scratch::new("readable");
    let path = scratch.file("config.toml", cifar10().to_toml().as_bytes());
    assert_eq!(Config::from_file(path).expect("valid"), cifar10());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(\\PC|\n){0,80}|\\[(model|data|train|x)\\]\n[a-z_]{1,8} = (\\PC){0,10}") {
        if let Err(error) = Config::from_toml(&text, "my.toml") {
            prop_assert!(error.to_string().starts_with("my.toml:"));
        }
    }
}
