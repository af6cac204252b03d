//! Every kind of image and likelihood, through all commands.

use super::number;
use crate::support::{Lab, RGB, SIDE, images, npy, npy_data};

/// Trains, evaluates, samples and reconstructs with `options`; returns samples.
fn whole_tour(lab: &Lab, options: &str, bytes_per_image: usize) -> Vec<u8> {
    lab.train(&format!("--out other {options}")).succeeds();
    let report = lab.run("eval other --json").succeeds().json();
    assert!(number(&report["bits_per_dim"]) > 0.0);
    let alone = lab.run("eval other --json --batch 1").succeeds().json();
    assert_eq!(alone, report);
    lab.run("reconstruct other").succeeds();
    lab.run("sample other").succeeds();
    lab.run("sample other -n 6 --out x.npy").succeeds();
    let array = lab.read("x.npy");
    assert_eq!(npy_data(&array).len(), 6 * bytes_per_image);
    npy_data(&array).to_vec()
}

#[test]
fn grayscale_images_of_an_array() {
    let lab = Lab::new();
    lab.write("gray.npy", npy(&[60, SIDE, SIDE], &images(60, SIDE * SIDE)));
    whole_tour(
        &lab,
        "--data npy:gray.npy --set model.image_channels=1",
        SIDE * SIDE,
    );
}

#[test]
fn five_bits() {
    let lab = Lab::new();
    whole_tour(&lab, "--set model.bits=5", RGB);
}

/// Binarization draws a pixel that is neither black nor white, and only that: with the posterior's mean as
/// latents, nothing else about an evaluation is random.
#[test]
fn binary_images_stay_what_they_are() {
    let lab = Lab::new();
    let gray = images(70, SIDE * SIDE);
    let binary: Vec<u8> = gray.iter().map(|value| value / 128 * 255).collect();
    for (name, images) in [("gray.npy", gray), ("binary.npy", binary)] {
        lab.write(name, npy(&[70, SIDE, SIDE], &images));
    }
    let kind = "--set model.likelihood=bernoulli --set model.image_channels=1";
    lab.train(&format!("--data npy:gray.npy --out other {kind}"))
        .succeeds();
    let seeds = |data: &str| {
        [1, 2].map(|seed| {
            let arguments = format!("eval other --data {data} --latents mean --seed {seed} --json");
            lab.run(&arguments).succeeds().json()
        })
    };
    let [first, second] = seeds("npy:binary.npy");
    assert_eq!(first, second);
    let [first, second] = seeds("npy:gray.npy");
    assert_ne!(first["bits_per_dim"], second["bits_per_dim"]);
}

/// MNIST that was binarized once, in its text files.
#[test]
fn binary_images_of_text_files() {
    let lab = Lab::new();
    let mut seed = 0_u32;
    let mut line = || {
        let mut pixel = |_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if seed >> 30 == 0 { "1" } else { "0" }
        };
        (0..784).map(&mut pixel).collect::<Vec<_>>().join(" ") + "\n"
    };
    for (part, count) in [("train", 12), ("valid", 3), ("test", 5)] {
        let lines: String = (0..count).map(|_| line()).collect();
        lab.write(&format!("digits/binarized_mnist_{part}.amat"), lines);
    }
    let samples = whole_tour(
        &lab,
        "--data amat:digits --set model.likelihood=bernoulli --set model.image_channels=1 \
         --set model.image_size=32 --set model.enc_blocks=32x1,32d4,8d8,1x1 \
         --set model.dec_blocks=1x1,8m1,32m8",
        1024,
    );
    assert!(samples.iter().all(|value| matches!(value, 0 | 255)));
    let report = lab.run("eval other --json").succeeds().json();
    assert_eq!(report["images"], 5, "the test file");
}

/// 7 x 7 images with a border, in the files that MNIST comes in.
#[test]
fn binary_images_of_idx_files() {
    let lab = Lab::new();
    for (part, count) in [("train", 5010_usize), ("t10k", 9)] {
        let mut file = vec![0, 0, 8, 3];
        for number in [count, 7, 7] {
            file.extend((number as u32).to_be_bytes());
        }
        file.extend(images(count, 49));
        lab.write(&format!("digits/{part}-images-idx3-ubyte"), file);
    }
    let bernoulli = "--set model.likelihood=bernoulli --set model.image_channels=1";
    let samples = whole_tour(
        &lab,
        &format!("--data idx:digits {bernoulli} --set train.eval_every=0"),
        64,
    );
    assert!(
        samples.iter().all(|value| matches!(value, 0 | 255)),
        "black or white"
    );
    assert!(samples.contains(&0) && samples.contains(&255));
    let report = lab.run("eval other --json").succeeds().json();
    assert_eq!(report["images"], 9, "the t10k file");
}
