//! Latents that are none, damaged or another model's, and options that mean nothing.

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::support::{Lab, npy_of};

/// `run`, and `z.safetensors` and `z.npz` of four images.
fn lab() -> Lab {
    let lab = Lab::trained();
    lab.run("encode run --out z.safetensors").succeeds();
    lab.run("encode run --out z.npz").succeeds();
    lab
}

/// Writes `changed.safetensors`: `z.safetensors` with one array left out, or put in place of another.
fn change(lab: &Lab, name: &str, dtype: Dtype, put: Option<(&[usize], &[u8])>) {
    let bytes = lab.read("z.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors = file.tensors();
    tensors.retain(|(other, _)| other != name);
    if let Some((shape, data)) = put {
        let view = TensorView::new(dtype, shape.to_vec(), data).unwrap();
        tensors.push((name.to_owned(), view));
    }
    lab.write(
        "changed.safetensors",
        safetensors::serialize(tensors, None).unwrap(),
    );
}

#[test]
fn latents_of_another_model() {
    let lab = lab();
    lab.train("--out wide --set model.zdim=5 --steps 1")
        .succeeds();
    lab.run("decode wide z.npz").fails(
        1,
        &[
            "z.npz",
            "layer_000/z",
            "[4, 1, 1, 5]",
            "[4, 1, 1, 2]",
            "another model",
        ],
    );
    lab.train("--out deep --set model.dec_blocks=1x1,4m1,8m4,8x1 --steps 1")
        .succeeds();
    lab.run("decode deep z.npz").succeeds();
    lab.run("decode deep z.npz --layers 4").fails(
        1,
        &[
            "z.npz",
            "layer_003/z",
            "found the layers 0, 1, 2",
            "--layers 3",
        ],
    );
}

#[test]
fn missing_layers_and_wrong_arrays() {
    let lab = lab();
    change(&lab, "layer_001/z", Dtype::F32, None);
    lab.run("decode run changed.safetensors").fails(
        1,
        &["changed.safetensors", "layer_001/z", "the layers 0, 2"],
    );
    lab.run("decode run changed.safetensors --layers 1")
        .succeeds();
    let nan = [f32::NAN; 4 * 2].map(f32::to_le_bytes).concat();
    change(&lab, "layer_000/z", Dtype::F32, Some((&[4, 1, 1, 2], &nan)));
    lab.run("decode run changed.safetensors")
        .fails(1, &["layer_000/z", "finite", "NaN"]);
    change(&lab, "layer_000/z", Dtype::F32, Some((&[8], &nan)));
    lab.run("decode run changed.safetensors")
        .fails(1, &["layer_000/z", "[8]"]);
    change(&lab, "layer_000/z", Dtype::F32, Some((&[0, 1, 1, 2], &[])));
    lab.run("decode run changed.safetensors --layers 1")
        .fails(1, &["expected latents of images"]);
    change(&lab, "layer_000/z", Dtype::I32, Some((&[4, 1, 1, 2], &nan)));
    lab.run("decode run changed.safetensors")
        .fails(1, &["layer_000/z", "F32", "I32"]);
    let doubles = [0.5_f64; 4 * 2].map(f64::to_le_bytes).concat();
    change(
        &lab,
        "layer_000/z",
        Dtype::F64,
        Some((&[4, 1, 1, 2], &doubles)),
    );
    lab.run("decode run changed.safetensors").succeeds();
    lab.run("encode run --layers 1.. --out below.npz")
        .succeeds();
    lab.run("decode run below.npz")
        .fails(1, &["below.npz", "layer_000/z", "the layers 1, 2"]);
}

#[test]
fn files_that_hold_no_latents() {
    let lab = lab();
    lab.write("text.safetensors", "some text");
    lab.write("text.npz", "some text");
    lab.run("decode run text.safetensors")
        .fails(1, &["text.safetensors", "not a whole safetensors"]);
    lab.run("decode run text.npz")
        .fails(1, &["text.npz", "a zip archive"]);
    lab.run("decode run missing.npz").fails(1, &["missing.npz"]);
    lab.run("decode run missing.safetensors")
        .fails(1, &["missing.safetensors"]);
    lab.run("decode run run")
        .fails(2, &["run", ".safetensors or .npz"]);
    lab.run("decode run run/checkpoints/best.safetensors")
        .fails(1, &["best.safetensors", "layer_000/z", "vdvae encode"]);
    lab.write("one.npy", npy_of("<f4", &[1], &[0; 4]));
    lab.run("decode run one.npy")
        .fails(2, &["one.npy", ".safetensors or .npz"]);
    for file in ["z.safetensors", "z.npz"] {
        let whole = lab.read(file);
        for length in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
            lab.write(file, &whole[..length]);
            lab.run(&format!("decode run {file}")).fails(1, &[file]);
        }
    }
    assert!(!lab.path("run/samples/decode.png").exists());
}

#[test]
fn layers_that_there_are_not() {
    let lab = lab();
    for wrong in ["3", "a..b", "2..2", "3..1", "-1..2", "0..1..2"] {
        lab.run(&format!("encode run --out x.npz --layers={wrong}"))
            .fails(2, &["0..5", wrong]);
    }
    for wrong in ["0..4", "3..", "3..9"] {
        lab.run(&format!("encode run --out x.npz --layers {wrong}"))
            .fails(2, &["--layers", "0..3"]);
        lab.write_picture("a.png", 8, 8);
        lab.run(&format!("interpolate run a.png a.png --layers {wrong}"))
            .fails(2, &["--layers", "0..3"]);
    }
    lab.run("decode run z.npz --layers 4")
        .fails(2, &["--layers", "at most 3", "found 4"]);
    lab.run("features run --layer 3 --out f.npz")
        .fails(2, &["--layer", "0..3", "found 3"]);
    assert!(!lab.path("x.npz").exists() && !lab.path("f.npz").exists());
}

#[test]
fn images_and_files_of_the_wrong_kind() {
    let lab = lab();
    lab.write("text.png", "some text");
    lab.write_picture("a.png", 8, 8);
    lab.write("empty/notes.txt", "no images");
    for command in [
        "encode run --out x.npz",
        "features run --layer 0 --out x.npz",
        "interpolate run a.png",
    ] {
        lab.run(&format!("{command} text.png"))
            .fails(1, &["text.png", "is no PNG, JPEG, WebP, GIF, BMP or TIFF"]);
        lab.run(&format!("{command} missing.png"))
            .fails(1, &["missing.png"]);
    }
    lab.run("encode run --out x.npz empty")
        .fails(1, &["empty", "images"]);
    lab.run("encode run --out x.npz empty/notes.txt")
        .fails(1, &["notes.txt"]);
    lab.run("encode run a.png").fails(2, &["--out"]);
    lab.run("encode run a.png --out x.txt")
        .fails(2, &["x.txt", ".safetensors or .npz"]);
    lab.run("features run a.png --layer 0 --out x")
        .fails(2, &[".safetensors or .npz"]);
    lab.run("encode run a.png --data photos --out x.npz")
        .fails(2, &["--data"]);
    lab.run("interpolate run a.png a.png --out x.jpg")
        .fails(2, &["FILE.webp"]);
    lab.run("interpolate run a.png a.png --steps 1")
        .fails(2, &["--steps"]);
    lab.write_picture("both/a.png", 8, 8);
    lab.write_picture("both/b.png", 8, 8);
    lab.run("interpolate run both a.png")
        .fails(2, &["two image files"]);
    lab.run("decode run z.npz --temperature 0")
        .fails(2, &["--temperature", "above 0"]);
    lab.run("decode run z.npz --out x.gif")
        .fails(2, &["x.gif", "FILE.png or a folder"]);
    lab.run("decode run z.npz --batch 0").fails(2, &["--batch"]);
    lab.run("encode none a.png --out x.npz")
        .fails(2, &["none", "not a run"]);
    assert!(!lab.path("x.npz").exists());
}
