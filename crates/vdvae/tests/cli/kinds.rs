//! Every kind of image and likelihood, through all commands.

use crate::number;
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
