//! vdvae sample, vdvae reconstruct, and what is drawn of numbers.

use serde_json::json;

use crate::support::{Lab, RGB, npy_data};

#[test]
fn sampling_needs_no_data() {
    let lab = Lab::trained();
    std::fs::remove_file(lab.path("images.npy")).unwrap();
    let report = lab.run("sample run -n 5 --json").succeeds().json();
    assert_eq!(report["images"], 5);
    assert_eq!(report["out"], "run/samples/sample-t1-seed0.png");
    assert!(lab.path("run/samples/sample-t1-seed0.png").is_file());
    lab.run("info run").succeeds();
}

#[test]
fn samples_as_a_picture_single_files_or_an_array() {
    let lab = Lab::trained();
    let out = lab
        .run("sample run -n 5 --out some/new/place/x.png")
        .succeeds()
        .out;
    assert!(out.starts_with("5 samples at temperature 1 "), "{out}");
    let picture = image::open(lab.path("some/new/place/x.png")).unwrap();
    assert!(picture.width() > 3 * 96, "three columns, enlarged");
    lab.run("sample run -n 5 --out x.npy").succeeds();
    let array = lab.read("x.npy");
    let array = npy_data(&array);
    assert_eq!(array.len(), 5 * RGB);
    lab.run("sample run -n 5 --out single").succeeds();
    for (index, expected) in array.chunks_exact(RGB).enumerate() {
        let file = image::open(lab.path(&format!("single/sample-{index:06}.png"))).unwrap();
        assert_eq!(file.as_rgb8().expect("RGB").as_raw(), expected);
    }
    let images = lab
        .run("eval run --data npy:x.npy --json")
        .succeeds()
        .json()["images"]
        .clone();
    assert_eq!(images, 5, "other programs read the array, this one too");
}

#[test]
fn pictures_of_one_folder_are_of_one_seed() {
    let lab = Lab::trained();
    lab.run("sample run -n 5 --out single").succeeds();
    let before = lab.read("single/sample-000003.png");
    let there = "single: pictures of these numbers are there already";
    lab.run("sample run -n 2 --from 3 --seed 1 --out single")
        .fails(2, &[there, "2 from sample-000003.png on"]);
    assert_eq!(lab.read("single/sample-000003.png"), before);
    lab.run("sample run -n 2 --from 5 --out single").succeeds();
    lab.run("encode run --out z.npz").succeeds();
    lab.run("decode run z.npz --out single").succeeds();
    lab.run("decode run z.npz --from 2 --out single")
        .fails(2, &[there, "2 from decode-000002.png on"]);
}

#[test]
fn a_sample_is_a_function_of_its_seed_number_and_temperatures() {
    let lab = Lab::trained();
    let sample = |options: &str| {
        lab.run(&format!("sample run --out x.npy {options}"))
            .succeeds();
        npy_data(&lab.read("x.npy")).to_vec()
    };
    let eight = sample("-n 8");
    assert_eq!(sample("-n 8"), eight);
    assert_eq!(sample("-n 5"), eight[..5 * RGB]);
    for machine in [
        "--batch 1 --threads 1",
        "--batch 3 --threads 2",
        "--batch 8",
    ] {
        assert_eq!(sample(&format!("-n 8 {machine}")), eight, "{machine}");
    }
    assert_ne!(sample("-n 8 --seed 1"), eight);
    assert_eq!(sample("-n 8 --temperature 1,1,1"), eight);
    let cold = sample("-n 8 --temperature 1,0.01");
    assert_eq!(
        sample("-n 8 --temperature 1,0.01,0.01"),
        cold,
        "the last holds for the rest"
    );
    assert_ne!(cold, eight);
}

#[test]
fn reconstructions_of_files_and_of_data() {
    let lab = Lab::trained();
    lab.write_picture("cat.png", 30, 20);
    lab.write_picture("dog.png", 8, 8);
    let report = lab
        .run("reconstruct run cat.png dog.png --json")
        .succeeds()
        .json();
    assert_eq!(
        report,
        json!({"out": "run/samples/reconstruct.png", "images": 2, "layers": [1, 2, 3], "depth": 3})
    );
    let report = lab.run("reconstruct run --json -n 3").succeeds().json();
    assert_eq!(report["images"], 3, "of the run's test split");
    let report =
        lab.run("reconstruct run --data npy:images.npy --split all -n 9 --out x.png --json");
    assert_eq!(report.succeeds().json()["images"], 9);
    assert!(image::open(lab.path("x.png")).unwrap().width() > 9 * 96);
}

#[test]
fn reconstructions_from_the_first_layers() {
    let lab = Lab::trained();
    let picture = |options: &str| {
        lab.run(&format!("reconstruct run --out x.png {options}"))
            .succeeds();
        lab.read("x.png")
    };
    let layers = |options: &str| {
        lab.run(&format!("reconstruct run --json {options}"))
            .succeeds()
            .json()["layers"]
            .clone()
    };
    assert_eq!(layers("--layers 2"), json!([2]));
    assert_eq!(layers("--resolution 4"), json!([2]));
    assert_eq!(layers("--resolution 8"), json!([3]));
    let two = picture("--layers 2");
    assert_eq!(picture("--resolution 4"), two);
    assert_eq!(picture("--layers 2 --batch 1 --threads 1"), two);
    assert_eq!(picture("--layers 2 --batch 3 --threads 2"), two);
    assert_ne!(picture("--layers 2 --temperature 1"), two);
    assert_ne!(picture("--layers 2 --latents mean"), two);
    assert_ne!(picture("--layers 2 --seed 1"), two);
}

/// What training, `eval` and sweeps draw, they draw as the report does.
#[test]
fn every_drawing_is_read_on_light_and_dark_pages() {
    let lab = Lab::trained();
    lab.run("eval run --rates rates.svg").succeeds();
    let mut drawings = vec!["run/curve.svg".to_owned(), "rates.svg".to_owned()];
    lab.run("report run --out r").succeeds();
    drawings.extend(["loss", "layers"].map(|name| format!("r/{name}.svg")));
    for drawing in drawings {
        let svg = String::from_utf8(lab.read(&drawing)).unwrap();
        assert!(
            svg.contains("@media (prefers-color-scheme:dark)"),
            "{drawing}"
        );
        assert!(
            svg.contains("<title>") && svg.contains("<desc>"),
            "{drawing}"
        );
        let colours = svg.matches(" fill=\"#").count();
        let classes = svg.matches("class=\"f").count();
        assert!(
            colours > 5 && colours == classes,
            "{drawing}: {colours}, {classes}"
        );
    }
}
