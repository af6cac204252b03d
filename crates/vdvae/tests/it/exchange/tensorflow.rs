//! A checkpoint that TensorFlow wrote, made by `files/variables.py`: variables of a recorded model of family
//! pixelcnnpp under their published names, and other numbers as their averages.

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;

use crate::support::Lab;

use super::file;

fn golden(name: &str) -> Vec<u8> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden/pixelcnnpp");
    fs::read(golden.join(name)).expect("a recording")
}

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("original.toml", golden("original.toml"));
    lab.write(
        "params.ckpt",
        fs::read(file("params.ckpt")).expect("a file"),
    );
    lab
}

#[test]
fn variables_become_the_weights_and_their_averages_the_average() {
    let lab = lab();
    let imported = lab.run("import params.ckpt --config original.toml --out run");
    imported.succeeds();
    let run = fs::read(lab.path("run/checkpoints/latest.safetensors")).unwrap();
    let (run, recorded) = (
        SafeTensors::deserialize(&run).unwrap(),
        golden("original.safetensors"),
    );
    let recorded = SafeTensors::deserialize(&recorded).unwrap();
    let mut compared = 0;
    for (name, tensor) in recorded.iter() {
        let there = match name.split_once('/') {
            Some(("param", name)) => format!("model/{name}"),
            Some(("init", name)) => format!("ema/{name}"),
            _ => continue,
        };
        let found = run.tensor(&there).unwrap();
        assert_eq!(
            (found.shape(), found.data()),
            (tensor.shape(), tensor.data()),
            "{there}"
        );
        compared += 1;
    }
    assert_eq!(compared, 2 * 171);
}

#[test]
fn another_model_is_told_by_its_variables() {
    let lab = lab();
    let of = |set: &str| {
        lab.run(&format!(
            "import params.ckpt --config original.toml --set {set} --out run"
        ))
    };
    of("model.nr_filters=5").fails(
        1,
        &[
            "model/conv2d_0/V/ExponentialMovingAverage: expected [2, 3, 4, 5], found [2, 3, 4, 6]",
            "No preset has them",
        ],
    );
    of("model.deconv_norm=input").fails(2, &["a checkpoint of TensorFlow", "--set"]);
}
