//! Pictures of every kind through the commands and back.

use serde_json::json;

use super::{noise, picture, smooth};
use crate::support::{Lab, RGB, SIDE, npy};

/// Sizes, channels and contents that are awkward for a model of 8 x 8 RGB images.
fn awkward(lab: &Lab) {
    lab.save("in/odd.png", &picture([13, 21, 3], smooth));
    lab.save("in/constant.png", &picture([9, 8, 3], |_| 255));
    lab.save("in/noise.png", &picture([8, 16, 3], noise(3)));
    lab.save("in/one.png", &picture([1, 1, 3], |_| 7));
    lab.save("in/one gray.png", &picture([1, 1, 1], |_| 250));
    lab.save("in/deeper/gray.png", &picture([10, 7, 1], smooth));
    lab.save("in/deeper/gray noise.png", &picture([16, 16, 1], noise(4)));
    lab.save("in/line.png", &picture([1, 40, 3], smooth));
    lab.save("in/black.webp", &picture([8, 8, 3], |_| 0));
}

#[test]
fn pictures_of_every_kind_come_back_with_their_names() {
    let lab = Lab::trained();
    awkward(&lab);
    let mut expected = lab.pictures("in");
    let black = expected.remove("black.webp").unwrap();
    expected.insert("black.png".to_owned(), black);
    for batch in [1, 4, 100] {
        lab.compress(&format!("in --batch {batch}")).succeeds();
        let out = format!("out{batch}");
        let report = lab
            .run(&format!("decompress x.vdz --run run --out {out} --json"))
            .succeeds()
            .json();
        assert_eq!(report["images"], 9);
        assert!(
            lab.pictures(&format!("{out}/in")) == expected,
            "batch {batch}"
        );
        assert_eq!(lab.pictures(&out).len(), 9, "nothing else");
    }
}

#[test]
fn the_archive_is_the_same_for_any_number_of_threads() {
    let lab = Lab::trained();
    awkward(&lab);
    for batch in [1, 4] {
        let archive = |threads| {
            lab.compress(&format!("in --batch {batch} --threads {threads}"))
                .succeeds();
            lab.read("x.vdz")
        };
        let one = archive(1);
        assert!(one == archive(2), "batch {batch}");
        lab.run(&format!(
            "decompress x.vdz --run run --out out{batch} --threads 1"
        ))
        .succeeds();
    }
    assert!(lab.pictures("out1") == lab.pictures("out4"));
}

#[test]
fn chained_images_of_a_data_set_and_what_they_cost() {
    let lab = Lab::trained();
    let report = lab
        .compress("--split all --batch 3 --json")
        .succeeds()
        .json();
    assert_eq!(report["images"], 70);
    assert_eq!(
        (&report["tiles"], &report["streams"]),
        (&json!(70), &json!(3))
    );
    assert_eq!(report["raw_bytes"], 70 * SIDE * SIDE * 3);
    let number = |key: &str| report[key].as_f64().unwrap();
    let bytes = lab.read("x.vdz").len() as f64;
    assert_eq!(number("bytes"), bytes);
    // File = images + seed + header, but for the bits that fill the last words.
    assert_eq!(report["weights_bytes"], 0);
    let images = number("net_bits_per_dim") * number("raw_bytes") / 8.0;
    let sum = images + number("seed_bits") / 8.0 + number("header_bytes");
    assert!((bytes - sum).abs() < 3.0 * 16.0, "{bytes} {sum}");
    let evaluation = lab.run("eval run --split all --json").succeeds().json();
    let bound = evaluation["bits_per_dim"].as_f64().unwrap();
    let net = number("net_bits_per_dim");
    assert!((net - bound).abs() < 0.03 * bound, "{net} {bound}");

    lab.run("decompress x.vdz --run run").succeeds();
    let found = lab.pictures("x");
    let images = crate::support::images(70, 3 * SIDE * SIDE);
    assert_eq!(found.len(), 70);
    for (index, pixels) in images.chunks_exact(3 * SIDE * SIDE).enumerate() {
        assert_eq!(found[&format!("{index:02}.png")].as_bytes(), pixels);
    }
}

#[test]
fn one_image_is_had_at_the_cost_that_is_told() {
    let lab = Lab::trained();
    for i in 0..6 {
        lab.save(&format!("in/{i}.png"), &picture([8, 8, 3], noise(i)));
    }
    lab.save("in/large.png", &picture([24, 24, 3], smooth));
    lab.compress("in --batch 2").succeeds();
    let listed = lab.run("decompress x.vdz --list").succeeds().out;
    assert!(listed.contains("in/3.png  8 x 8 RGB\n"), "{listed}");
    assert!(listed.contains("in/large.png  24 x 24 RGB\n"), "{listed}");
    // 0 2 4 and half of the large one, 1 3 5 and the other half.
    for (name, told) in [
        ("in/3.png", "3 of 7 images (6 tiles)"),
        ("in/large.png", "1 of 7 images (9 tiles)"),
    ] {
        lab.run(&format!(
            "decompress x.vdz --run run --only {name} --out out"
        ))
        .succeeds()
        .tells(&[told]);
    }
    let found = lab.pictures("out/in");
    assert_eq!(found.keys().collect::<Vec<_>>(), ["3.png", "large.png"]);
    assert!(found["3.png"] == picture([8, 8, 3], noise(3)));
    assert!(found["large.png"] == picture([24, 24, 3], smooth));
}

/// Crops of a data set and files with names as cameras make them.
#[test]
fn small_images_cost_few_bytes_beside_their_net() {
    let lab = Lab::trained();
    let header = |arguments: &str| {
        let report = lab
            .compress(&format!("{arguments} --json"))
            .succeeds()
            .json();
        report["header_bytes"].as_u64().unwrap()
    };
    assert!(header("--split all") <= 8 * 70);
    for i in 0..120 {
        let name = format!("in/IMG_{:04}.png", 7 * i + i * i % 5);
        lab.save(&name, &picture([8, 8, 3], noise(i)));
    }
    let bytes = header("in --batch 2");
    assert!(bytes <= 8 * 120, "{bytes}");
}

#[test]
fn an_order_that_does_not_matter_is_not_paid_for() {
    const COUNT: usize = 1500;
    let lab = Lab::trained();
    let many = crate::support::images(COUNT, RGB);
    lab.write("many.npy", npy(&[COUNT, SIDE, SIDE, 3], &many));
    let net_bits = |options: &str| {
        let arguments = format!("--data npy:many.npy --batch 2 --json {options}");
        let report = lab.compress(&arguments).succeeds().json();
        report["net_bits_per_dim"].as_f64().unwrap() * many.len() as f64
    };
    // Twice log2(750!), about: the latents are drawn anew, which costs now more, now less.
    let saved = net_bits("") - net_bits("--order-free");
    assert!((8_000.0..16_000.0).contains(&saved), "{saved}");
}

#[test]
fn images_without_order_come_back() {
    let lab = Lab::trained();
    for i in 0..60 {
        lab.save(&format!("in/{i}.png"), &picture([8, 8, 3], noise(i % 50)));
    }
    let sorted = |folder: &str| {
        let mut pixels: Vec<_> = lab.pictures(folder).into_values().collect();
        pixels.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        pixels
    };
    for batch in [1, 7] {
        lab.compress(&format!("in --order-free --batch {batch}"))
            .succeeds();
        let out = format!("out{batch}");
        lab.run(&format!("decompress x.vdz --run run --out {out}"))
            .succeeds();
        assert!(sorted(&out) == sorted("in"), "batch {batch}");
        assert!(lab.path(&out).join("00.png").exists());
    }
    // One of them is the same one as among all.
    lab.run("decompress x.vdz --run run --only 33.png --out one")
        .succeeds();
    assert!(lab.pictures("one")["33.png"] == lab.pictures("out7")["33.png"]);
    lab.save("in/large.png", &picture([8, 9, 3], noise(1)));
    lab.compress("in --order-free")
        .fails(2, &["--order-free", "8 x 8", "9 x 8", "in/large.png"]);
}

#[test]
fn the_run_is_found_by_its_weights() {
    let lab = Lab::new();
    for seed in [1, 2] {
        lab.train(&format!("--out runs/{seed} --seed {seed}"))
            .succeeds();
    }
    lab.write("runs/no run/config.toml", "nothing");
    lab.save("a.png", &picture([8, 8, 3], smooth));
    lab.run("compress runs/2 a.png -o x.vdz").succeeds();
    lab.run("decompress x.vdz").succeeds();
    assert!(lab.pictures("x")["a.png"] == picture([8, 8, 3], smooth));
    // Where runs of other families are.
    lab.write("runs/family/x", "");
    std::fs::rename(lab.path("runs/2"), lab.path("runs/family/2")).unwrap();
    lab.run("decompress x.vdz --out again").succeeds();
    std::fs::remove_dir_all(lab.path("runs/family")).unwrap();
    lab.run("decompress x.vdz --out y")
        .fails(2, &["x.vdz", "none of the 2 runs in runs/", "--run RUN"]);
    assert!(!lab.path("y").exists());
}

#[test]
fn the_portable_path_can_be_chosen_and_is_then_the_archives_own() {
    let lab = Lab::trained();
    lab.save("a.png", &picture([8, 11, 3], smooth));
    lab.compress("a.png --kernel-path portable").succeeds();
    for (out, options) in [("x", ""), ("y", "--out y --kernel-path portable")] {
        lab.run(&format!("decompress x.vdz --run run {options}"))
            .succeeds();
        assert!(lab.pictures(out)["a.png"] == picture([8, 11, 3], smooth));
    }
}

/// 5 bits per value in the model, 8 in the images.
#[test]
fn the_low_bits_that_a_model_does_not_know_are_kept() {
    let lab = Lab::new();
    lab.train("--out run --set model.bits=5").succeeds();
    lab.save("a.png", &picture([9, 11, 3], smooth));
    lab.save("b.png", &picture([9, 11, 1], noise(2)));
    lab.compress("a.png b.png").succeeds();
    lab.run("decompress x.vdz --run run").succeeds();
    assert!(lab.pictures("x")["a.png"] == picture([9, 11, 3], smooth));
    assert!(lab.pictures("x")["b.png"] == picture([9, 11, 1], noise(2)));
}

#[test]
fn binary_models_take_binary_images_only() {
    let lab = Lab::new();
    let bernoulli = "--set model.likelihood=bernoulli --set model.image_channels=1";
    lab.train(&format!("--out run {bernoulli}")).succeeds();
    let binary = picture([9, 11, 1], |i| if i % 5 < 2 { 255 } else { 0 });
    lab.save("a.png", &binary);
    lab.compress("a.png").succeeds();
    lab.run("decompress x.vdz --run run").succeeds();
    assert!(lab.pictures("x")["a.png"] == binary);
    lab.save("gray.png", &picture([8, 8, 1], smooth));
    lab.compress("gray.png").fails(
        1,
        &["gray.png", "expected values 0 and 255 only", "Binarize"],
    );
    lab.save("rgb.png", &picture([8, 8, 3], smooth));
    lab.compress("rgb.png").fails(2, &["rgb.png", "gray"]);
}
