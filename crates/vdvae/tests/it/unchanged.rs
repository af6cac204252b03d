//! What the program made before there was a second family of models, it still reads and still makes: the
//! folder `fixtures/v0`, which its `make.sh` wrote once and which is never written again.
//!
//! Everything is computed with the portable kernels, whose bits are the same on every machine.

use std::fs;
use std::path::Path;

use crate::support::{Finished, Lab, tensors};
use serde_json::Value;
use sha2::{Digest, Sha256};
use vdvae::compress::Archive;

/// Images of the archive, by the names in it.
const PICTURES: [&str; 2] = ["pictures/first.png", "pictures/second.png"];

/// The state after two more steps: names and bytes of all tensors, as [`fingerprint`] has it.
const RESUMED: &str = "2ae89a254e726e6cc7fcf3ddb3748b7dc63c8b2a901803cc2da876a3aa68b4e4";

/// A copy of the folder to work in.
fn lab() -> Lab {
    let lab = Lab::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v0");
    copy(&fixtures, "", &lab);
    lab
}

fn copy(folder: &Path, below: &str, lab: &Lab) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_str().expect("UTF-8");
        let name = format!("{below}{name}");
        if path.is_dir() {
            copy(&path, &format!("{name}/"), lab);
        } else {
            lab.write(&name, fs::read(&path).expect("a file"));
        }
    }
}

/// The program with the portable kernels.
#[track_caller]
fn portable(lab: &Lab, arguments: &str) -> Finished {
    let mut command = lab.command(arguments);
    command.env("VDVAE_KERNELS", "portable");
    let output = command.output().expect("the program starts");
    Finished::new(arguments, &output).succeeds()
}

/// SHA-256 over name, length and bytes of every tensor, in the order of the names.
fn fingerprint(checkpoint: &Path) -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in tensors(checkpoint) {
        hash.update(name.as_bytes());
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pixels(lab: &Lab, name: &str) -> image::DynamicImage {
    image::open(lab.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The one line of a file of the folder.
fn json(lab: &Lab, name: &str) -> Value {
    serde_json::from_slice(&lab.read(name)).expect("JSON")
}

#[test]
fn an_archive_is_read_and_its_streams_are_made_again_byte_by_byte() {
    let lab = lab();
    portable(
        &lab,
        "decompress pictures.vdz --run run --out back --kernel-path portable",
    );
    for name in PICTURES {
        let back = pixels(&lab, &format!("back/{name}"));
        assert!(back == pixels(&lab, name), "{name}");
    }
    portable(
        &lab,
        "compress run pictures --kernel-path portable -o again.vdz",
    );
    let [again, kept] =
        ["again", "pictures"].map(|name| Archive::read(&lab.read(&format!("{name}.vdz"))).unwrap());
    assert!(
        again == kept,
        "the archive's form is another, what it holds is not"
    );
}

#[test]
fn an_evaluation_gives_the_same_digits() {
    let lab = lab();
    for (arguments, file) in [
        ("eval run --json", "eval.json"),
        (
            "eval run --data folder:pictures --samples 2 --json",
            "eval-pictures.json",
        ),
    ] {
        let found = portable(&lab, arguments).json();
        let expected = json(&lab, file);
        let fields = expected.as_object().expect("an object");
        assert!(fields.len() > 5);
        for (key, value) in fields.iter().filter(|(key, _)| *key != "seconds") {
            // Its sums over the latents of a layer are since made in pairs.
            if key == "iw_bits_per_dim" && value.is_number() {
                let difference =
                    found[key].as_f64().expect("a number") - value.as_f64().expect("one");
                assert!(difference.abs() < 1e-9, "{arguments}: {key}");
                continue;
            }
            assert_eq!(found[key], *value, "{arguments}: {key}");
        }
    }
}

#[test]
fn samples_are_the_same_pixels() {
    let lab = lab();
    portable(
        &lab,
        "sample run -n 4 --seed 3 --temperature 0.9 --out again.png",
    );
    assert!(pixels(&lab, "again.png") == pixels(&lab, "samples.png"));
}

#[test]
fn latents_are_the_same_numbers_and_decode_to_the_same_pixels() {
    let lab = lab();
    portable(&lab, "decode run latents.safetensors --out again.png");
    assert!(pixels(&lab, "again.png") == pixels(&lab, "decoded.png"));
    portable(&lab, "encode run pictures --out again.safetensors");
    let [again, kept] = ["again", "latents"].map(|name| {
        let path = lab.path(&format!("{name}.safetensors"));
        tensors(&path)
    });
    assert!(again.keys().eq(kept.keys()));
    for (name, values) in &kept {
        assert!(again[name] == *values, "{name} differs");
    }
}

#[test]
fn training_goes_on_to_the_same_state() {
    let lab = lab();
    portable(&lab, "train --resume --out run --steps 8");
    let latest = lab.path("run/checkpoints/latest.safetensors");
    assert_eq!(fingerprint(&latest), RESUMED);
}

#[test]
fn training_from_the_start_comes_to_the_same_state() {
    let lab = lab();
    portable(&lab, "train --config tiny.toml --out again");
    let [again, kept] = ["again", "run"]
        .map(|run| fingerprint(&lab.path(run).join("checkpoints/latest.safetensors")));
    assert_eq!(again, kept);
    assert_eq!(log(&lab, "again"), log(&lab, "run"));
    let [again, kept] = ["again", "run"].map(|run| lab.read(&format!("{run}/config.toml")));
    assert!(again == kept, "the configuration that is kept with a run");
}

/// A run's log without what depends on the machine's speed.
fn log(lab: &Lab, run: &str) -> Vec<Value> {
    let text = String::from_utf8(lab.read(&format!("{run}/log.jsonl"))).expect("UTF-8");
    let entry = |line| {
        let mut entry: Value = serde_json::from_str(line).expect("JSON");
        let fields = entry.as_object_mut().expect("an object");
        fields.retain(|key, _| !key.contains("second"));
        entry
    };
    text.lines().map(entry).collect()
}
