//! Every form in which weights and optimizer states occur.

use crate::support::{Lab, assert_same_state, floats, tensors};

/// The tiny model's parameters, in the module's order.
fn parameters() -> Vec<(String, usize)> {
    let config = vdvae::config::Config::from_toml(
        &String::from_utf8(Lab::new().read("tiny.toml")).unwrap(),
        "tiny.toml",
    );
    let tensors = config.unwrap().plan().unwrap().tensors().into_iter();
    tensors
        .map(|tensor| (tensor.name, tensor.shape.iter().product()))
        .collect()
}

/// Element `index` of tensor `tensor`, as `fixtures.py` has it.
fn value(tensor: usize, index: usize) -> f32 {
    ((7 * index + 13 * tensor) % 61) as f32 / 64.0 - 30.0 / 64.0
}

#[test]
fn archives_older_files_views_and_other_floats_are_the_same_weights() {
    let files = ["zip.th", "legacy.th", "views.th", "views-legacy.th"];
    let lab = Lab::with_files(&files);
    for name in files {
        let finished = lab.import(&format!("{name} --out {name}-run")).succeeds();
        finished.tells(&["7080 parameters, step 0", "moments start at zero"]);
        let found = tensors(&lab.path(&format!("{name}-run/checkpoints/latest.safetensors")));
        assert_eq!(found.len(), 4 * parameters().len());
        for (tensor, (parameter, count)) in parameters().into_iter().enumerate() {
            let expected: Vec<f32> = (0..count).map(|index| value(tensor, index)).collect();
            for prefix in ["model", "ema"] {
                let found: Vec<f32> = floats(&found[&format!("{prefix}/{parameter}")]).collect();
                assert_eq!(found, expected, "{name}: {prefix}/{parameter}");
            }
            for prefix in ["adam/first", "adam/second"] {
                let mut found = floats(&found[&format!("{prefix}/{parameter}")]);
                assert!(found.all(|moment| moment == 0.0), "{name}: {parameter}");
            }
        }
    }
}

#[test]
fn optimizers_of_pytorch_and_the_fused_one_are_the_same_moments() {
    let lab = Lab::with_files(&["zip.th", "opt.th", "opt-fused.th"]);
    for (optimizer, run) in [("opt.th", "a"), ("opt-fused.th", "b")] {
        let arguments = format!("zip.th --optimizer {optimizer} --out {run} --json");
        let report = lab.import(&arguments).succeeds().json();
        assert_eq!(
            (&report["step"], &report["updates"]),
            (&7.into(), &7.into())
        );
    }
    assert_same_state(&lab.path("a"), &lab.path("b"));
    let found = tensors(&lab.path("a/checkpoints/latest.safetensors"));
    for (tensor, (parameter, count)) in parameters().into_iter().enumerate() {
        let weights: Vec<f32> = (0..count).map(|index| value(tensor, index)).collect();
        let moment = |name: &str| -> Vec<f32> {
            floats(&found[&format!("adam/{name}/{parameter}")]).collect()
        };
        let (first, second): (Vec<_>, Vec<_>) = weights.iter().map(|w| (w / 8.0, w * w)).unzip();
        assert_eq!((moment("first"), moment("second")), (first, second));
    }
}

#[test]
fn an_average_of_its_own() {
    let lab = Lab::with_files(&["zip.th", "views.th"]);
    lab.train("--out other --steps 1").succeeds();
    lab.run("export other --format openai").succeeds();
    let import = "other-model.th --ema views.th --out run";
    lab.import(import).succeeds();
    let found = tensors(&lab.path("run/checkpoints/latest.safetensors"));
    let name = "decoder.out_net.out_conv.weight";
    let average: Vec<f32> = floats(&found[&format!("ema/{name}")]).collect();
    assert!(average.iter().all(|value| (value * 64.0).fract() == 0.0));
    assert!(found[&format!("ema/{name}")] != found[&format!("model/{name}")]);
    for command in [
        "sample run -n 2",
        "eval run --split all",
        "reconstruct run -n 2",
    ] {
        lab.run(command).succeeds();
    }
}
