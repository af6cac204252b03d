//! Configurations and options.

use crate::support::Lab;

#[test]
fn configurations_with_a_fault() {
    let lab = Lab::new();
    let tiny = String::from_utf8(lab.read("tiny.toml")).unwrap();
    for (right, wrong, parts) in [
        (
            "lr =",
            "learning_rate =",
            ["wrong.toml:16", "unknown key `train.learning_rate`", "lr"],
        ),
        (
            "n_batch = 4",
            "n_bacth = 4",
            [
                "wrong.toml:14",
                "unknown key `train.n_bacth`",
                "did you mean `train.n_batch`?",
            ],
        ),
        (
            "lr = 1e-3",
            "lr = -1e-3",
            [
                "train.lr",
                "expected a finite number above 0",
                "found -0.001",
            ],
        ),
        (
            "n_batch = 4",
            "n_batch = 0",
            ["train.n_batch", "expected 1 or more", "found 0"],
        ),
        (
            "n_batch = 4",
            "n_batch = \"4\"",
            ["train.n_batch", "expected a whole number", "found \"4\""],
        ),
        ("8m4", "8m3", ["model.dec_blocks", "8m3", "^"]),
        ("8d2", "8d3", ["model.enc_blocks", "8d3", "^"]),
        ("width = 16", "width = ", ["wrong.toml:4", "quoted", ""]),
        (
            "npy:images.npy",
            "nyp:images.npy",
            ["data.source", "nyp:images.npy", "Did you mean `npy:FILE`?"],
        ),
    ] {
        assert!(tiny.contains(right));
        lab.write("wrong.toml", tiny.replace(right, wrong));
        lab.run("train --config wrong.toml --out run")
            .fails(2, &parts);
        assert!(!lab.path("run").exists());
    }
}

#[test]
fn options_of_train_that_mean_nothing() {
    let lab = Lab::new();
    for (command, parts) in [
        (
            "train --set train.lr=-1",
            ["train.lr", "above 0", "found -1"],
        ),
        (
            "train --set train.lrr=1",
            ["train.lrr", "did you mean", "train.lr"],
        ),
        ("train --set train.lr", ["--set train.lr", "KEY=VALUE", ""]),
        ("train --batch 0", ["train.n_batch", "1 or more", "found 0"]),
        ("train --steps 0", ["train.steps", "1 or more", "found 0"]),
        (
            "train --preset foto32",
            ["`foto32`", "did you mean", "photos32"],
        ),
        ("train --data foto", ["`foto`", "photos", "npy:FILE"]),
        (
            "train --data images.npy",
            ["`images.npy`", "Did you mean", "npy:images.npy"],
        ),
        (
            "train --preset photos32 --config tiny.toml",
            ["--preset", "--config", "cannot be used with"],
        ),
        (
            "train --device nope",
            ["--device nope", "expected one of cpu", "cargo features"],
        ),
    ] {
        lab.run(command).fails(2, &parts);
    }
    assert!(!lab.path("runs").exists());
}

#[test]
fn options_of_eval_that_mean_nothing() {
    let lab = Lab::trained();
    for (command, parts) in [
        (
            "eval run --device nope",
            ["--device nope", "expected one of cpu", "cargo features"],
        ),
        ("eval run --batch 0", ["--batch", "at least 1", "found 0"]),
        ("eval run --samples 0", ["--samples", "0", "1.."]),
        (
            "eval run --split tset",
            ["--split", "`tset`", "valid, test or all"],
        ),
        ("eval run --latents maen", ["--latents", "maen", "mean"]),
    ] {
        lab.run(command).fails(2, &parts);
    }
}

#[test]
fn options_of_sample_that_mean_nothing() {
    let lab = Lab::trained();
    for (command, parts) in [
        ("sample run -n 0", ["-n", "0", "1.."]),
        (
            "sample run -n 10001",
            ["-n", "at most 10000", "--out FILE.npy"],
        ),
        (
            "sample run --threads 100000",
            ["--threads", "at most 1024", "found 100000"],
        ),
        ("sample run -n -3", ["-n", "-3", ""]),
        ("sample run --batch 0", ["--batch", "at least 1", "found 0"]),
        (
            "sample run --temperature 0",
            ["--temperature", "above 0", "found 0"],
        ),
        (
            "sample run --temperature -0.5",
            ["--temperature", "above 0", "found -0.5"],
        ),
        (
            "sample run --temperature NaN",
            ["--temperature", "above 0", "found NaN"],
        ),
        (
            "sample run --temperature inf",
            ["--temperature", "above 0", "found inf"],
        ),
        (
            "sample run --temperature 1,1,0",
            ["--temperature", "above 0", "found 0"],
        ),
        (
            "sample run --temperature 1,1,1,1",
            ["--temperature", "at most 3", "found 4"],
        ),
        (
            "sample run --temperature warm",
            ["--temperature", "warm", "float"],
        ),
    ] {
        lab.run(command).fails(2, &parts);
    }
}

#[test]
fn options_of_reconstruct_that_mean_nothing() {
    let lab = Lab::trained();
    for (command, parts) in [
        ("reconstruct run -n 0", ["-n", "0", "1.."]),
        (
            "reconstruct run --batch 0",
            ["--batch", "at least 1", "found 0"],
        ),
        (
            "reconstruct run --temperature 0",
            ["--temperature", "above 0", "found 0"],
        ),
        (
            "reconstruct run --layers 4",
            ["--layers", "at most 3", "found 4"],
        ),
        (
            "reconstruct run --layers 1 --resolution 4",
            ["--layers", "--resolution", "cannot be used with"],
        ),
        (
            "reconstruct run --resolution 5",
            ["--resolution", "[1, 4, 8]", "found 5"],
        ),
    ] {
        lab.run(command).fails(2, &parts);
    }
}
