//! Nothing is lost on the way out and in again.

use super::recorded::{MODELS, Recorded};
use crate::support::{Lab, assert_same_state, log_steps, npy, tensors};

#[test]
fn imported_golden_models_evaluate_to_the_recorded_bounds() {
    for name in MODELS {
        let recorded = Recorded::open(name);
        let recording = recorded.recording();
        let lab = Lab::new();
        let (shape, images) = recording.bytes("images_u8").unwrap();
        lab.write("images.npy", npy(&shape, &images));
        lab.write("golden.toml", recorded.config.to_toml());
        let weights = recorded.file("-model.th");
        lab.write("model.th", std::fs::read(weights).unwrap());
        lab.run("import model.th --config golden.toml --out run")
            .succeeds();
        let report = lab.run("eval run --latents mean --split all --json");
        let report = report.succeeds().json();
        let found = |key: &str| report[key].as_f64().expect("a number");
        let elbo = found("bits_per_dim") * std::f64::consts::LN_2;
        for (key, found) in [
            ("elbo", elbo),
            ("distortion", found("distortion_nats_per_dim")),
            ("rate", found("rate_nats_per_dim")),
        ] {
            let expected = f64::from(recording.numbers(&format!("mean/{key}")).unwrap()[0]);
            assert!(
                (found - expected).abs() < 1e-5,
                "{name} {key}: {found} {expected}"
            );
        }
    }
}

#[test]
fn a_run_that_went_out_and_in_trains_on_bit_for_bit() {
    let lab = Lab::new();
    lab.train("--out whole --steps 6").succeeds();
    lab.train("--out part --steps 3").succeeds();
    let exported = lab.run("export part --format openai").succeeds();
    assert_eq!(
        exported.out.lines().collect::<Vec<_>>(),
        [
            "part-model-ema.th",
            "part-model.th",
            "part-opt.th",
            "part-log.jsonl"
        ]
    );
    let arguments = "--ema part-model-ema.th --optimizer part-opt.th --log part-log.jsonl";
    let import = format!("import part-model.th --config part/config.toml {arguments}");
    let report = lab.run(&format!("{import} --out back --json")).succeeds();
    assert_eq!(report.json()["notes"], serde_json::json!([]));
    assert_same_state(&lab.path("part"), &lab.path("back"));
    assert_eq!(log_steps(&lab.path("part")), log_steps(&lab.path("back")));

    lab.run("export back --format openai --out again/x")
        .succeeds();
    for ending in ["-model.th", "-model-ema.th", "-opt.th"] {
        let (first, second) = (format!("part{ending}"), format!("again/x{ending}"));
        assert!(lab.read(&first) == lab.read(&second), "{ending} differs");
    }
    lab.run("train --resume --out back --steps 6").succeeds();
    assert_same_state(&lab.path("whole"), &lab.path("back"));
}

#[test]
fn safetensors_hold_the_average_under_published_names() {
    let lab = Lab::trained();
    lab.run("export run --format safetensors --checkpoint run/checkpoints/latest.safetensors")
        .succeeds();
    lab.run("export run/ --format safetensors --out best.safetensors")
        .succeeds();
    for (file, checkpoint) in [
        ("run.safetensors", "run/checkpoints/latest.safetensors"),
        ("best.safetensors", "run/checkpoints/best.safetensors"),
    ] {
        let (found, known) = (tensors(&lab.path(file)), tensors(&lab.path(checkpoint)));
        let average = known.iter().filter(|(name, _)| name.starts_with("ema/"));
        assert_eq!(found.len(), average.clone().count());
        for (name, values) in average {
            assert!(found[name.trim_start_matches("ema/")] == *values, "{name}");
        }
    }
}

#[test]
fn a_checkpoint_of_the_average_alone_gives_one_file() {
    let lab = Lab::trained();
    let best = "--checkpoint run/checkpoints/best.safetensors";
    let finished = lab.run(&format!("export run --format openai {best} --out x"));
    assert_eq!(finished.succeeds().out, "x-model-ema.th\n");
    assert!(!lab.path("x-model.th").exists());
    lab.run("import x-model-ema.th --config run/config.toml --out y")
        .succeeds();
    lab.run("sample y -n 2").succeeds();
}
