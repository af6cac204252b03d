//! Safetensors out and in, the same each time; weights to start from; files of other habits.

use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView};
use vdvae_formats::safetensors::LazyTensor;
use vdvae_formats::torch::{Object, TorchFile, entries, write};

use crate::support::{Lab, floats, tensors};

#[test]
fn every_process_writes_the_same_bytes() {
    let lab = Lab::trained();
    lab.run("export run --format safetensors --out first.safetensors")
        .succeeds();
    lab.run("encode run --out first-z.safetensors").succeeds();
    let first = [
        lab.read("first.safetensors"),
        lab.read("first-z.safetensors"),
    ];
    for _ in 0..4 {
        lab.run("export run --format safetensors --out x.safetensors")
            .succeeds();
        lab.run("encode run --out z.safetensors").succeeds();
        assert!(lab.read("x.safetensors") == first[0], "exported weights");
        assert!(lab.read("z.safetensors") == first[1], "latents");
    }
    // All that a run's file says but its seconds.
    let header = |run: &str| {
        let file = lab.read(&format!("{run}/checkpoints/latest.safetensors"));
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let text = String::from_utf8(file[8..8 + length].to_vec()).unwrap();
        let keys: Vec<String> = text
            .split("\",\"")
            .map(|part| part.split(':').next().unwrap().to_owned())
            .collect();
        keys
    };
    for run in ["a", "b", "c"] {
        lab.train(&format!("--out {run}")).succeeds();
        assert_eq!(header(run), header("run"));
    }
}

#[test]
fn what_is_exported_is_imported_without_being_told_what_it_is() {
    let lab = Lab::trained();
    lab.run("export run --format safetensors").succeeds();
    let report = lab
        .run("import run.safetensors --out back --json")
        .succeeds()
        .json();
    assert_eq!(report["step"], 6);
    let best = tensors(&lab.path("run/checkpoints/best.safetensors"));
    let back = tensors(&lab.path("back/checkpoints/latest.safetensors"));
    for (name, values) in &best {
        assert_eq!(back[name], *values, "{name}");
    }
    let eval = |run: &str| {
        let data = "--data npy:images.npy --split test";
        lab.run(&format!("eval {run} {data} --json"))
            .succeeds()
            .json()
    };
    assert_eq!(eval("back")["bits_per_dim"], eval("run")["bits_per_dim"]);
    lab.run("eval back").fails(
        2,
        &[
            "the run's own images (--data SOURCE gives others)",
            "npy:FILE",
        ],
    );
    // A run's own checkpoint too.
    lab.run("import run/checkpoints/best.safetensors --out again")
        .succeeds();
    assert_eq!(eval("again")["bits_per_dim"], eval("run")["bits_per_dim"]);
    lab.run("train --resume --out back --steps 9 --data npy:images.npy")
        .succeeds();
}

/// Nor do they depend on it.
#[test]
fn exported_files_do_not_tell_where_images_are() {
    let [one, other] = [Lab::new(), Lab::new()];
    let export = |lab: &Lab| {
        let images = lab.path("images.npy");
        lab.train(&format!("--out run --data npy:{}", images.display()))
            .succeeds();
        lab.run("export run --format safetensors").succeeds();
        lab.read("run.safetensors")
    };
    let (bytes, others) = (export(&one), export(&other));
    assert!(bytes == others, "the bytes depend on the folder");
    let place = one.path("images.npy").display().to_string();
    assert!(!String::from_utf8_lossy(&bytes).contains(&place));
}

/// `run.safetensors` with its numbers in another type.
fn converted(lab: &Lab, dtype: Dtype, number: impl Fn(f32) -> [u8; 2], metadata: bool) -> Vec<u8> {
    let all = tensors(&lab.path("run.safetensors"));
    let bytes = lab.read("run.safetensors");
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let data: BTreeMap<&String, Vec<u8>> = all
        .iter()
        .map(|(name, values)| (name, floats(values).flat_map(&number).collect()))
        .collect();
    let views = data.iter().map(|(name, data)| {
        let shape = file.tensor(name).unwrap().shape().to_vec();
        (name.as_str(), TensorView::new(dtype, shape, data).unwrap())
    });
    let metadata = metadata.then(|| header.metadata().clone().unwrap());
    safetensors::serialize(views, metadata).unwrap()
}

#[test]
fn half_precision_is_imported() {
    let lab = Lab::trained();
    lab.run("export run --format safetensors").succeeds();
    let exact = lab.run("eval run --json").succeeds().json();
    let exact = exact["bits_per_dim"].as_f64().unwrap();
    let half = |x: f32| f16::from_f32(x).to_le_bytes();
    let upper = |x: f32| bf16::from_f32(x).to_le_bytes();
    lab.write("f16.safetensors", converted(&lab, Dtype::F16, half, true));
    lab.write(
        "bf16.safetensors",
        converted(&lab, Dtype::BF16, upper, true),
    );
    for (name, tolerance) in [("f16", 0.01), ("bf16", 0.1)] {
        lab.run(&format!("import {name}.safetensors --out {name}"))
            .succeeds();
        let report = lab
            .run(&format!(
                "eval {name} --data npy:images.npy --split test --json"
            ))
            .succeeds()
            .json();
        let found = report["bits_per_dim"].as_f64().unwrap();
        assert!(
            found != exact && (found - exact).abs() < tolerance,
            "{name}: {found} {exact}"
        );
    }
    lab.write("bare.safetensors", converted(&lab, Dtype::F16, half, false));
    lab.run("import bare.safetensors --out bare")
        .fails(2, &["--preset NAME or --config FILE"]);
    lab.import("bare.safetensors --out bare").succeeds();
    lab.run("import run.safetensors --preset cifar10 --out other")
        .fails(
            1,
            &[
                "run.safetensors",
                "are not those of the configuration",
                "found [16, 3, 3, 3]",
            ],
        );
    let nothing = |_: f32| f16::NAN.to_le_bytes();
    lab.write(
        "nan.safetensors",
        converted(&lab, Dtype::F16, nothing, true),
    );
    for command in [
        "import nan.safetensors --out nan",
        "train --init nan.safetensors --out nan --data npy:images.npy",
    ] {
        lab.run(command).fails(
            1,
            &["nan.safetensors", "expected finite numbers, found NaN"],
        );
    }
    let whole = lab.read("run.safetensors");
    let file = safetensors::SafeTensors::deserialize(&whole).unwrap();
    let mut twice = file.tensors();
    let (name, first) = twice[0].clone();
    twice.push((format!("_orig_mod.{name}"), first));
    let (_, header) = safetensors::SafeTensors::read_metadata(&whole).unwrap();
    let twice = safetensors::serialize(twice, header.metadata().clone()).unwrap();
    lab.write("twice.safetensors", twice);
    lab.run("import twice.safetensors --out twice")
        .fails(1, &["twice.safetensors", &format!("two called {name}")]);
    for length in [9, 100, whole.len() - 1] {
        lab.write("cut.safetensors", &whole[..length]);
        lab.run("import cut.safetensors --out cut")
            .fails(1, &["cut.safetensors"]);
    }
    let mut damaged = lab.read("run/checkpoints/best.safetensors");
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    lab.write("damaged.safetensors", damaged);
    lab.run("import damaged.safetensors --out damaged")
        .fails(1, &["damaged.safetensors", "checksum"]);
}

#[test]
fn a_run_starts_from_the_weights_of_another() {
    let lab = Lab::trained();
    lab.run("export run --format safetensors").succeeds();
    lab.run("export run --format openai").succeeds();
    let weights = tensors(&lab.path("run/checkpoints/best.safetensors"));
    let normalisation = |run: &str| {
        let config = String::from_utf8(lab.read(&format!("{run}/config.toml"))).unwrap();
        let lines = config
            .lines()
            .filter(|line| line.starts_with("shift") || line.starts_with("scale"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    // A file of PyTorch does not tell how its images became input.
    let set: Vec<String> = normalisation("run")
        .iter()
        .map(|line| format!("--set data.{}", line.replace(' ', "")))
        .collect();
    let told = format!("--config tiny.toml {}", set.join(" "));
    // The first step of a warm-up has the rate 0.
    for (init, more) in [
        ("run", ""),
        ("run.safetensors", "--data npy:images.npy"),
        ("run/checkpoints/best.safetensors", ""),
        ("run", "--config tiny.toml"),
        ("run-model-ema.th", told.as_str()),
    ] {
        let told = lab.run(&format!(
            "train --init {init} {more} --out fine --steps 1 --seed 3"
        ));
        told.succeeds()
            .tells(&["starting from the weights of step", init, "step 0 of 1"]);
        let found = tensors(&lab.path("fine/checkpoints/latest.safetensors"));
        for (name, values) in &weights {
            let model = name.replace("ema/", "model/");
            assert_eq!(found[&model], *values, "{init}: {model}");
        }
        assert_eq!(normalisation("fine"), normalisation("run"), "{init}");
        std::fs::remove_dir_all(lab.path("fine")).unwrap();
    }
    lab.write(
        "few.npy",
        crate::support::npy(&[40, 8, 8, 3], &[9; 40 * 192]),
    );
    lab.run("train --init run --data npy:few.npy --out fine --steps 2")
        .succeeds();
    assert_eq!(
        normalisation("fine"),
        normalisation("run"),
        "as the weights know it"
    );
    for (arguments, parts) in [
        (
            "--init run --out wide --set model.width=32",
            &["model.width (32, other 16)"][..],
        ),
        ("--init run", &["expected --out"]),
        (
            "--init run-model-ema.th --out x",
            &["--preset NAME or --config FILE"],
        ),
        (
            "--init run-model-ema.th --config tiny.toml --out x",
            &["data.shift, data.scale: expected the numbers that the weights were trained with"],
        ),
        ("--init run --resume --out run", &["--resume"]),
        ("--init none --out x", &["none"]),
    ] {
        let finished = lab.run(&format!("train {arguments}"));
        assert!(
            finished.code == Some(2) || finished.code == Some(1),
            "{finished:#?}"
        );
        for part in parts {
            assert!(finished.err.contains(part), "{finished:#?}");
        }
    }
}

/// A compiled model's names begin with `_orig_mod.`, a parallel one's with `module.`, and both may be.
#[test]
fn names_of_wrapped_models() {
    let lab = Lab::with_files(&["zip.th"]);
    lab.import("zip.th --out plain").succeeds();
    let file = TorchFile::open(&lab.path("zip.th")).unwrap();
    let pickle = file.pickle().unwrap();
    let dictionary = entries(pickle.root()).unwrap();
    for prefix in ["_orig_mod.", "module._orig_mod.", "module."] {
        let mut tensors = Vec::new();
        let mut names = vec![("n_averaged".into(), Object::Count(7))];
        for (key, value) in &dictionary {
            let name = key.as_str().unwrap();
            let tensor = file.tensor(name, *value).unwrap();
            let values = file.values(&tensor);
            let bare = name.strip_prefix("module.").unwrap_or(name);
            names.push((
                Object::Text(format!("{prefix}{bare}")),
                Object::Tensor(tensors.len()),
            ));
            tensors.push(LazyTensor {
                name: bare.to_owned(),
                shape: tensor.shape.clone(),
                values: Box::new(move || values.clone()),
            });
        }
        let mut bytes = Vec::new();
        write(&mut bytes, &Object::Dict(names), &tensors).unwrap();
        lab.write("wrapped.th", bytes);
        lab.import("wrapped.th --out wrapped").succeeds();
        let weights = |run: &str| tensors_of(&lab, run);
        assert_eq!(weights("wrapped"), weights("plain"), "{prefix}");
        std::fs::remove_dir_all(lab.path("wrapped")).unwrap();
    }
}

fn tensors_of(lab: &Lab, run: &str) -> BTreeMap<String, Vec<u8>> {
    tensors(&lab.path(run).join("checkpoints/latest.safetensors"))
}

/// As torch.save leaves them where it was told to compute none: no checksum is right, which is no damage.
#[test]
fn an_archive_without_checksums_is_read_and_told() {
    let lab = Lab::with_files(&["zip.th"]);
    let quiet = lab.import("zip.th --out guarded").succeeds();
    assert!(!quiet.err.contains("checksums"), "{quiet:#?}");
    let mut bytes = lab.read("zip.th");
    let entries: Vec<usize> = (0..bytes.len() - 4)
        .filter(|&at| bytes[at..at + 4] == *b"PK\x01\x02")
        .collect();
    assert!(entries.len() > 10, "{}", entries.len());
    for &at in &entries {
        bytes[at + 16..at + 20].copy_from_slice(&[0x5a, 1, 2, 3]);
    }
    lab.write("none.th", &bytes);
    lab.import("none.th --out run")
        .succeeds()
        .tells(&["none.th: saved without checksums; nothing guards its bytes"]);
    assert_eq!(tensors_of(&lab, "run"), tensors_of(&lab, "guarded"));
}
