//! Files with everything of a checkpoint, here those of NVAE's published code, made by `files/nvae.py`.

use burn::tensor::{Device, Tensor};
use vdvae::checkpoint::CheckpointFile;
use vdvae::checkpoint::published::{Files, import};
use vdvae::config::Config;
use vdvae::models::family::{Model, PosteriorLatents};
use vdvae::models::verify::Recording;
use vdvae::parameters::{self, Role, Specs, TensorSpec};
use vdvae::preprocess::Prepared;
use vdvae::random::Noise;
use vdvae::run_dir::RunDir;

use super::file;
use crate::support::{Lab, floats, images, npy, tensors};

const CONFIG: &str = include_str!("../../../../models/tests/golden/nvae/tiny_5bit.toml");
const RECORDING: &[u8] =
    include_bytes!("../../../../models/tests/golden/nvae/tiny_5bit.safetensors");

/// With the files, and the configuration of the recorded model.
fn lab(names: &[&str]) -> Lab {
    let lab = Lab::with_files(names);
    lab.write("nvae.toml", CONFIG);
    lab
}

fn config() -> Config {
    Config::from_toml(CONFIG, "tiny_5bit.toml").expect("a configuration")
}

fn specs() -> Vec<TensorSpec> {
    config().plan().expect("a model").tensors()
}

/// The tensors of a run, by their names in it.
fn latest(lab: &Lab, run: &str) -> std::collections::BTreeMap<String, Vec<u8>> {
    tensors(&lab.path(&format!("{run}/checkpoints/latest.safetensors")))
}

/// The averaged model of a run.
fn model(lab: &Lab, run: &str) -> Box<dyn Model> {
    let config = config();
    let plan = config.plan().unwrap();
    let path = RunDir::new(lab.path(run)).latest();
    let model = plan.build(0, &Device::flex());
    let checkpoint = CheckpointFile::open(&path).expect("a checkpoint");
    let specs = Specs::new(plan.tensors());
    checkpoint.average(model, &specs).expect("its weights").0
}

/// Largest |a - b|.
fn error(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max)
}

#[test]
fn an_imported_checkpoint_computes_what_was_recorded() {
    let lab = lab(&["nvae-checkpoint.pt"]);
    lab.run("import nvae-checkpoint.pt --config nvae.toml --out run")
        .succeeds();
    let model = model(&lab, "run");
    let recording = Recording::new(RECORDING).unwrap();
    let exported = parameters::export(&*model, &Specs::new(specs()));
    let mut compared = 0;
    for tensor in exported {
        let name = format!("final/{}", tensor.name);
        if recording.has(&name) {
            assert_eq!(tensor.values, recording.numbers(&name).unwrap(), "{name}");
            compared += 1;
        }
    }
    assert!(compared > 150, "{compared} tensors were recorded");

    let device = Device::flex();
    let input: Tensor<4> = recording.image("x", &device).unwrap() * 2.0 - 1.0;
    let [images, ..] = input.dims();
    let noise = Noise::Given(recording.noise("eval/eps", &device).unwrap());
    let batch = Prepared::new(input.clone(), input);
    let cost = model.cost(batch, PosteriorLatents::Drawn(noise));
    let per_image = config().plan().unwrap().dimensions() as f32;
    let expected = recording.numbers("eval/kl").unwrap();
    let groups = cost.rate_per_layer.len();
    assert_eq!(expected.len(), images * groups);
    for (group, rate) in cost.rate_per_layer.into_iter().enumerate() {
        let found: Vec<f32> = (rate.expect("from the posterior") * per_image)
            .into_data()
            .try_into_vec()
            .unwrap();
        let expected: Vec<f32> = (0..images)
            .map(|image| expected[image * groups + group])
            .collect();
        let largest = expected
            .iter()
            .fold(1.0, |most: f32, kl| most.max(kl.abs()));
        let error = error(&found, &expected);
        assert!(
            error < 4e-5 * largest,
            "group {group}: {error:e} of {largest}"
        );
    }
}

#[test]
fn its_optimizer_steps_and_arguments() {
    let lab = lab(&["nvae-checkpoint.pt"]);
    let finished = lab.run("import nvae-checkpoint.pt --config nvae.toml --out run --json");
    let finished = finished.succeeds().tells(&[
        "args, as the configuration has them: num_latent_scales, ",
        "epoch 1 there: step 3, 3 an epoch",
        "not used: scheduler, grad_scalar",
        "10544 parameters, step 3",
    ]);
    let report = finished.json();
    assert_eq!(
        (&report["step"], &report["updates"]),
        (&3.into(), &3.into())
    );
    let found = latest(&lab, "run");
    let learned = specs().into_iter().filter(|spec| spec.role == Role::Weight);
    for (t, spec) in learned.enumerate() {
        let count: usize = spec.shape.iter().product();
        let moment = |which: &str| -> Vec<f32> {
            floats(&found[&format!("adam/{which}/{}", spec.name)]).collect()
        };
        let first = |i: usize| ((7 * i + 13 * t) % 61) as f32 / 64.0 - 30.0 / 64.0;
        let second = |i: usize| (i % 5 + 1) as f32 / 8.0;
        assert_eq!(moment("first"), (0..count).map(first).collect::<Vec<_>>());
        assert_eq!(moment("second"), (0..count).map(second).collect::<Vec<_>>());
    }
    // Another optimizer has no use for them.
    lab.run("import nvae-checkpoint.pt --config nvae.toml --set train.optimizer=adamw --out other")
        .succeeds()
        .tells(&["the optimizer's state is not used", "AdamW"]);
    let found = latest(&lab, "other");
    let mut moments = found.iter().filter(|(name, _)| name.starts_with("adam/"));
    assert!(moments.all(|(_, bytes)| floats(bytes).all(|value| value == 0.0)));
}

#[test]
fn weights_alone() {
    let lab = lab(&["nvae-weights.pt", "nvae-checkpoint.pt"]);
    lab.run("import nvae-weights.pt --config nvae.toml --out run")
        .succeeds()
        .tells(&[
            "no args in it",
            "epoch 1 there; the steps of an epoch are not known",
            "no state of the optimizer in it",
            "training starts at step 0",
        ]);
    lab.run("import nvae-checkpoint.pt --config nvae.toml --out whole")
        .succeeds();
    let (run, whole) = (latest(&lab, "run"), latest(&lab, "whole"));
    let weights = |name: &&String| name.starts_with("model/") || name.starts_with("ema/");
    assert!(
        run.keys()
            .filter(weights)
            .all(|name| run[name] == whole[name])
    );
    // The iterations for spectral norms start from something.
    let starts = |name: &&String| name.starts_with("model/spectral.") && name.ends_with(".u");
    assert!(run.keys().filter(starts).count() > 20);
    let zero = |bytes: &[u8]| floats(bytes).all(|value| value == 0.0);
    assert!(run.keys().filter(starts).all(|name| !zero(&run[name])));
}

#[test]
fn out_and_in_again() {
    let lab = lab(&["nvae-checkpoint.pt"]);
    lab.write("x.npy", npy(&[24, 16, 16, 3], &images(24, 16 * 16 * 3)));
    let resume = |run: &str, steps: u64| {
        let options = "--data npy:x.npy --threads 1";
        lab.run(&format!(
            "train --resume --out {run} --steps {steps} {options}"
        ))
        .succeeds();
    };
    lab.run("import nvae-checkpoint.pt --config nvae.toml --set train.n_batch=2 --out run")
        .succeeds();
    resume("run", 5);
    let exported = lab.run("export run --format published").succeeds();
    assert_eq!(exported.out, "run-checkpoint.pt\n");
    lab.run("import run-checkpoint.pt --config run/config.toml --out back")
        .succeeds()
        .tells(&["10544 parameters, step 5"]);
    assert!(latest(&lab, "run") == latest(&lab, "back"));
    lab.run("export back --format openai --out again/x")
        .succeeds();
    assert!(lab.read("run-checkpoint.pt") == lab.read("again/x-checkpoint.pt"));
    // Training goes on with the same numbers.
    resume("run", 6);
    resume("back", 6);
    assert!(latest(&lab, "run") == latest(&lab, "back"));
}

#[test]
fn arguments_that_contradict() {
    let lab = lab(&["nvae-checkpoint.pt", "nvae-256.pt"]);
    for (change, part) in [
        ("model.bits=8", "args.num_x_bits: expected 8, found 5"),
        ("model.num_groups_per_scale=3", "num_groups_per_scale"),
    ] {
        let import =
            format!("import nvae-checkpoint.pt --config nvae.toml --set {change} --out run");
        let finished = lab.run(&import);
        // What changes tensors is found by these too; arguments are asked first.
        finished.fails(2, &["nvae-checkpoint.pt: args.", part]);
    }
    lab.run("import nvae-checkpoint.pt --out run")
        .fails(2, &["its args are those of no preset", "--preset NAME"]);
    lab.run("import nvae-256.pt --out run").fails(
        2,
        &[
            "its args are those of nvae/celebahq256 and nvae/ffhq256",
            "--preset",
        ],
    );
    assert!(!lab.path("run").exists());
}

#[test]
fn files_of_another_family() {
    let lab = lab(&["nvae-checkpoint.pt", "photos32.th", "zip.th"]);
    lab.run("import photos32.th --config nvae.toml --out run")
        .fails(1, &["They are those of --preset vdvae/photos32"]);
    lab.run("import zip.th --preset nvae/mnist --out run")
        .fails(
            1,
            &["prior_ftr0: expected", "found none", "No preset has them"],
        );
    lab.import("nvae-checkpoint.pt --out run").fails(
        1,
        &[
            "encoder.in_conv.weight: expected [16, 3, 3, 3], found none",
            "The file is one of family nvae",
        ],
    );
    for option in ["--ema", "--optimizer", "--log"] {
        let import = "import nvae-checkpoint.pt --config nvae.toml --out run";
        lab.run(&format!("{import} {option} zip.th"))
            .fails(2, &[option, "leave out"]);
    }
    assert!(!lab.path("run").exists());
}

#[test]
fn truncated() {
    let lab = Lab::new();
    let (cut, config) = (lab.path("cut.pt"), config());
    let whole = std::fs::read(file("nvae-checkpoint.pt")).unwrap();
    let files = Files {
        weights: cut,
        ..Files::default()
    };
    lab.write("cut.pt", &whole);
    import(&files, &config).expect("whole");
    let last = whole.len() - 1;
    for length in (0..last).step_by(4999).chain([last]) {
        lab.write("cut.pt", &whole[..length]);
        let error = import(&files, &config).expect_err("truncated").to_string();
        assert!(error.contains("cut.pt"), "{error}");
    }
}
