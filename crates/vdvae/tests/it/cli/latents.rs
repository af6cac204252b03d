//! vdvae encode, decode, interpolate and features.

use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::number;
use crate::support::{Lab, RGB, SIDE, floats, npy_data, tensors};

/// What a file of latents says of itself.
fn about(lab: &Lab, name: &str) -> Value {
    let bytes = lab.read(name);
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    serde_json::from_str(&header.metadata().as_ref().unwrap()["vdvae"]).unwrap()
}

#[test]
fn encoded_layers_with_all_that_they_saw() {
    let lab = Lab::trained();
    lab.write_picture("pictures/cat.png", 30, 20);
    lab.write_picture("pictures/more/dog.png", 8, 8);
    lab.write_picture("owl.png", 8, 8);
    let report = lab
        .run("encode run owl.png pictures --out some/z.safetensors --json")
        .succeeds()
        .json();
    assert_eq!(report["out"], "some/z.safetensors");
    assert_eq!(
        (&report["images"], &report["layers"]),
        (&json!(3), &json!([0, 3]))
    );
    assert!(number(&report["kl_nats_per_image"]) > 0.0);
    let arrays = tensors(&lab.path("some/z.safetensors"));
    assert_eq!(arrays.len(), 3 * 7);
    for (layer, side) in [(0, 1), (1, 4), (2, SIDE)] {
        for array in [
            "z",
            "kl",
            "posterior_mean",
            "posterior_log_sigma",
            "prior_mean",
            "prior_log_sigma",
        ] {
            let array = &arrays[&format!("layer_{layer:03}/{array}")];
            assert_eq!(array.len(), 4 * 3 * side * side * 2);
            assert!(floats(array).all(f32::is_finite));
        }
        assert_eq!(
            arrays[&format!("layer_{layer:03}/kl_per_image")].len(),
            4 * 3
        );
    }
    let about = about(&lab, "some/z.safetensors");
    assert_eq!(
        about["images"],
        json!(["owl.png", "pictures/cat.png", "pictures/more/dog.png"])
    );
    assert_eq!(
        (&about["latents"], &about["seed"]),
        (&json!("sample"), &json!(0))
    );
    assert!(about["config"].as_str().unwrap().contains("zdim = 2"));
    assert_eq!(about["model_sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn encoding_a_split_a_part_or_the_mean() {
    let lab = Lab::trained();
    let encode = |options: &str| {
        lab.run(&format!("encode run --out z.safetensors {options}"))
            .succeeds();
        tensors(&lab.path("z.safetensors"))
    };
    let test = encode("");
    assert_eq!(
        test["layer_000/kl_per_image"].len(),
        4 * 4,
        "the run's test split"
    );
    assert_eq!(
        about(&lab, "z.safetensors")["images"][3]
            .as_str()
            .map(|name| name.contains("images.npy")),
        Some(true)
    );
    for machine in ["--batch 1 --threads 1", "--batch 3 --threads 2"] {
        assert!(encode(machine) == test, "{machine}");
    }
    assert!(encode("--seed 1") != test);
    let some = encode("--layers 1..");
    assert!(some.keys().all(|name| !name.starts_with("layer_000")) && some.len() == 14);
    assert!(some.iter().all(|(name, values)| test[name] == *values));
    let mean = encode("--mean");
    assert!(mean["layer_002/z"] == mean["layer_002/posterior_mean"]);
    let all = encode("--data npy:images.npy -n 9");
    assert_eq!(all["layer_000/kl_per_image"].len(), 4 * 9);
}

#[test]
fn decoding_what_was_encoded() {
    let lab = Lab::trained();
    lab.run("encode run --out z.safetensors").succeeds();
    lab.run("encode run --out z.npz").succeeds();
    let decode = |options: &str| {
        let finished = lab
            .run(&format!("decode run --out x.png {options}"))
            .succeeds();
        assert_eq!(finished.err, "", "no warning");
        lab.read("x.png")
    };
    let all = decode("z.safetensors");
    assert_eq!(decode("z.npz"), all);
    assert_eq!(decode("z.npz --batch 1 --threads 1"), all);
    assert_eq!(decode("z.npz --layers 3"), all);
    let two = decode("z.npz --layers 2");
    assert_ne!(two, all);
    assert_eq!(decode("z.npz --layers 2 --batch 3 --threads 2"), two);
    assert_ne!(decode("z.npz --layers 2 --temperature 1"), two);
    assert_ne!(decode("z.npz --layers 2 --seed 1"), two);
    assert_ne!(decode("z.npz --mode"), all);
    assert_eq!(decode("z.npz --mode --seed 1"), decode("z.npz --mode"));
    lab.run("encode run --layers ..2 --out z.npz").succeeds();
    assert_eq!(decode("z.npz"), two, "the layers in the file");
    let report = lab.run("decode run z.npz --json").succeeds().json();
    let expected = json!({"out": "run/samples/decode.png", "images": 4, "layers": 2, "depth": 3});
    assert_eq!(report, expected);
    let out = lab.run("decode run z.npz --out single").succeeds().out;
    assert!(
        out.starts_with("4 images, 2 layers as given, 1 from the prior"),
        "{out}"
    );
    let single = image::open(lab.path("single/decode-000003.png")).unwrap();
    assert_eq!(
        (single.width(), single.height()),
        (SIDE as u32, SIDE as u32)
    );
}

/// What reconstruct does in one step.
#[test]
fn decoded_images_are_the_reconstructions() {
    let lab = Lab::trained();
    lab.run("sample run -n 4 --out four.npy").succeeds();
    lab.run("encode run --data npy:four.npy --out z.safetensors")
        .succeeds();
    for layers in [1, 3] {
        lab.run(&format!(
            "decode run z.safetensors --layers {layers} --out single{layers}"
        ))
        .succeeds();
        let options = format!("--data npy:four.npy -n 4 --layers {layers} --out x.png");
        lab.run(&format!("reconstruct run {options}")).succeeds();
        let picture = image::open(lab.path("x.png")).unwrap().into_rgb8();
        // Below the originals, each pixel a square, the last image at the right border.
        let factor = (96 / SIDE) as u32;
        let (left, top) = (picture.width() - 8 - 96, 8 + 96 + 2);
        let decoded = lab.path(&format!("single{layers}/decode-000003.png"));
        let decoded = image::open(decoded).unwrap();
        for (x, y, pixel) in decoded.into_rgb8().enumerate_pixels() {
            assert_eq!(
                picture.get_pixel(left + x * factor, top + y * factor),
                pixel
            );
        }
    }
}

#[test]
fn latents_of_other_weights_are_decoded_with_a_warning() {
    let lab = Lab::trained();
    lab.train("--out other --seed 3").succeeds();
    lab.run("encode run --out z.npz").succeeds();
    lab.run("decode other z.npz")
        .succeeds()
        .tells(&["z.npz", "other weights"]);
}

#[test]
fn interpolations_as_a_strip_and_as_animations() {
    let lab = Lab::trained();
    lab.write_picture("cat.png", 30, 20);
    lab.write_picture("dog.png", 8, 8);
    let report = lab
        .run("interpolate run cat.png dog.png --json")
        .succeeds()
        .json();
    let expected = json!({"out": "run/samples/interpolate.png", "steps": 9, "layers": [0, 3]});
    assert_eq!(report, expected);
    let strip = image::open(lab.path("run/samples/interpolate.png")).unwrap();
    assert!(strip.width() > 9 * 96 && strip.height() > 2 * 96);
    for name in ["x.gif", "x.webp"] {
        lab.run(&format!(
            "interpolate run cat.png dog.png --steps 5 --out {name}"
        ))
        .succeeds();
        let file = lab.read(name);
        lab.run(&format!(
            "interpolate run cat.png dog.png --steps 5 --out {name} --batch 2 --threads 1"
        ))
        .succeeds();
        assert_eq!(lab.read(name), file);
        lab.run(&format!(
            "interpolate run cat.png dog.png --steps 5 --out {name} --layers 0..1"
        ))
        .succeeds();
        assert_ne!(lab.read(name), file);
    }
    assert!(lab.read("x.gif").starts_with(b"GIF89a"));
    assert_eq!(&lab.read("x.webp")[8..12], b"WEBP");
}

#[test]
fn features_of_images() {
    let lab = Lab::trained();
    lab.write_picture("cat.png", 30, 20);
    let report = lab
        .run("features run cat.png --layer 1 --out f.safetensors --json")
        .succeeds()
        .json();
    assert_eq!(report["shapes"]["decoder_001/state"], json!([1, 4, 4, 16]));
    assert_eq!(
        report["shapes"]["encoder_008/activation"],
        json!([1, 8, 8, 16])
    );
    let arrays = tensors(&lab.path("f.safetensors"));
    assert_eq!(arrays.len(), report["shapes"].as_object().unwrap().len());
    assert_eq!(about(&lab, "f.safetensors")["format"], "vdvae-features-1");
    let report = lab
        .run("features run --layer 2 --pooled --out f.npz --json --batch 3")
        .succeeds()
        .json();
    assert!(
        report["shapes"]
            .as_object()
            .unwrap()
            .keys()
            .all(|name| name.ends_with("/pooled"))
    );
    assert_eq!(report["shapes"]["decoder_002/pooled"], json!([4, 16]));
}

/// Latents and activations of every kind of image.
#[test]
fn binary_and_gray_images() {
    let lab = Lab::new();
    let images = crate::support::images(60, SIDE * SIDE);
    lab.write("gray.npy", crate::support::npy(&[60, SIDE, SIDE], &images));
    for likelihood in ["dmol", "bernoulli"] {
        let options = format!("--set model.image_channels=1 --set model.likelihood={likelihood}");
        let out = format!("--out {likelihood} --data npy:gray.npy --steps 2");
        lab.train(&format!("{out} {options}")).succeeds();
        lab.run(&format!("encode {likelihood} --out z.npz"))
            .succeeds();
        lab.run(&format!(
            "decode {likelihood} z.npz --out {likelihood}-single"
        ))
        .succeeds();
        let one = lab.path(&format!("{likelihood}-single/decode-000000.png"));
        let one = image::open(one).unwrap();
        assert!(one.as_luma8().is_some());
    }
    lab.run("sample dmol -n 2 --out x.npy").succeeds();
    assert_eq!(npy_data(&lab.read("x.npy")).len(), 2 * RGB / 3);
}
