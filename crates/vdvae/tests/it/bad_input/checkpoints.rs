//! Checkpoints that are damaged, none, or of another run.

use crate::support::Lab;

#[test]
fn truncated_checkpoints() {
    let lab = Lab::trained();
    let whole = lab.read("run/checkpoints/latest.safetensors");
    for length in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        lab.write("cut.safetensors", &whole[..length]);
        lab.run("eval run --checkpoint cut.safetensors").fails(
            1,
            &[
                "cut.safetensors: not a whole checkpoint",
                "Use another checkpoint of the run",
            ],
        );
    }
    let cut = &whole[..whole.len() - 1];
    lab.write("run/checkpoints/latest.safetensors", cut);
    lab.run("train --resume --out run --steps 9").fails(
        1,
        &["run/checkpoints/latest.safetensors: not a whole checkpoint"],
    );
    assert_eq!(
        lab.read("run/checkpoints/latest.safetensors"),
        cut,
        "evidence is kept"
    );
    lab.run("eval run").succeeds();
}

#[test]
fn checkpoints_with_a_flipped_bit() {
    let lab = Lab::trained();
    let whole = lab.read("run/checkpoints/best.safetensors");
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let places = [
        0,
        7,
        8,
        60,
        header / 3,
        header / 2,
        header - 1,
        header,
        whole.len() / 2,
        whole.len() - 1,
    ];
    let spread = (1..40).map(|part| whole.len() * part / 40);
    for (number, place) in places.into_iter().chain(spread).enumerate() {
        let mut flipped = whole.clone();
        flipped[place] ^= 1 << (number % 8);
        lab.write("flipped.safetensors", &flipped);
        let finished = lab.run("eval run --checkpoint flipped.safetensors");
        finished.fails(1, &["flipped.safetensors: "]);
    }
    let mut flipped = whole.clone();
    flipped[header + 1] ^= 4;
    lab.write("run/checkpoints/best.safetensors", flipped);
    for command in ["eval run", "sample run", "reconstruct run"] {
        lab.run(command).fails(
            1,
            &[
                "run/checkpoints/best.safetensors: not a whole checkpoint",
                "expected the checksum",
                "latest.safetensors",
            ],
        );
    }
    lab.run("eval run --checkpoint run/checkpoints/latest.safetensors")
        .succeeds();
}

#[test]
fn a_run_that_cannot_go_on_says_what_can_be_done() {
    let lab = Lab::trained();
    lab.write("run/checkpoints/latest.safetensors", "damaged");
    let resume = "train --resume --out run --steps 9";
    let advice = "vdvae train --init run --out DIR";
    lab.run(resume)
        .fails(1, &["latest.safetensors: not a whole checkpoint", advice]);
    std::fs::remove_file(lab.path("run/checkpoints/latest.safetensors")).unwrap();
    lab.run(resume)
        .fails(2, &["latest.safetensors is missing", advice]);
    lab.run("train --init run --out other --steps 1")
        .succeeds()
        .tells(&[
            "starting from the weights of step",
            "run/checkpoints/best.safetensors",
        ]);
    lab.write("run/checkpoints/latest.safetensors", "damaged");
    std::fs::remove_file(lab.path("run/checkpoints/best.safetensors")).unwrap();
    lab.run(resume).fails(
        1,
        &[
            "latest.safetensors: not a whole checkpoint",
            "train anew with another --out",
        ],
    );
}

#[test]
fn checkpoints_that_are_none() {
    let lab = Lab::trained();
    lab.write("text.safetensors", "some text");
    lab.run("sample run --checkpoint text.safetensors")
        .fails(1, &["text.safetensors: not a whole checkpoint"]);
    lab.write("foreign.safetensors", b"\x02\0\0\0\0\0\0\0{}");
    lab.run("sample run --checkpoint foreign.safetensors")
        .fails(
            1,
            &[
                "foreign.safetensors",
                "expected the format vdvae-checkpoint-1, found none",
            ],
        );
    std::fs::copy(
        lab.path("run/checkpoints/best.safetensors"),
        lab.path("run/checkpoints/latest.safetensors"),
    )
    .unwrap();
    lab.run("train --resume --out run --steps 9")
        .fails(1, &["latest.safetensors", "model/", "found none"]);
}

#[test]
fn a_checkpoint_of_another_configuration() {
    let lab = Lab::trained();
    lab.train("--out wide --set model.width=32 --steps 1")
        .succeeds();
    let other = "--checkpoint wide/checkpoints/best.safetensors";
    for command in ["eval", "sample", "reconstruct"] {
        lab.run(&format!("{command} run {other}")).fails(
            1,
            &[
                "wide/checkpoints/best.safetensors",
                "another configuration",
                "model.width (16, other 32)",
                "Give",
            ],
        );
    }
    lab.train("--out shifted --set data.shift=0 --set data.scale=0.01 --steps 1")
        .succeeds();
    lab.run("eval run --checkpoint shifted/checkpoints/best.safetensors")
        .fails(1, &["another configuration", "data.scale"]);
    std::fs::copy(
        lab.path("wide/checkpoints/latest.safetensors"),
        lab.path("run/checkpoints/latest.safetensors"),
    )
    .unwrap();
    lab.run("train --resume --out run --steps 9")
        .fails(1, &["another configuration", "model.width"]);
}

#[test]
fn a_resumed_run_that_could_not_go_on_as_it_was() {
    let lab = Lab::trained();
    let before = lab.read("run/config.toml");
    lab.run("train --resume --out run --steps 1").fails(
        2,
        &["has made 6 steps already", "expected --steps", "found 1"],
    );
    lab.run("train --resume --out run --steps 9 --set train.accumulate=3")
        .fails(2, &["train.n_batch x train.accumulate", "images an update"]);
    std::fs::remove_file(lab.path("run/checkpoints/latest.safetensors")).unwrap();
    lab.run("train --resume --out run --steps 9").fails(
        2,
        &["latest.safetensors is missing", "vdvae train --init run"],
    );
    assert_eq!(lab.read("run/config.toml"), before);
    lab.run("eval run --latents mean --samples 2")
        .fails(2, &["--samples", "--latents sample"]);
    lab.run("eval run --rates rates.png").fails(2, &[".svg"]);
    lab.run("reconstruct run --out picture.jpg")
        .fails(2, &[".png"]);
}
