//! Paths, folders and arrays of images.

use image::codecs::jpeg::JpegEncoder;

use super::CIFAR;
use crate::support::{Lab, RGB, SIDE, images, npy, npy_of};

fn jpeg(side: u32) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(side, side, |x, y| image::Rgb([x as u8, y as u8, 99]));
    let mut bytes = Vec::new();
    JpegEncoder::new(&mut bytes)
        .encode_image(&picture)
        .expect("encoded");
    bytes
}

#[test]
fn missing_paths() {
    let lab = Lab::trained();
    for source in [
        "npy:no.npy",
        "folder:no",
        "crops:no",
        "cifar10:no",
        "idx:no",
        "celeba:no",
        "amat:no",
        "ffhq1024:no",
    ] {
        let options = if source.starts_with("cifar10") {
            CIFAR
        } else {
            ""
        };
        let code = lab
            .train(&format!("--out other --data {source} {options}"))
            .code;
        assert_eq!(code, Some(1), "{source}");
    }
    lab.run("train --config tiny.toml --out other --data npy:no.npy")
        .fails(1, &["cannot open no.npy", "No such file"]);
    lab.run("train --config no.toml")
        .fails(2, &["no.toml: cannot read the configuration"]);
    lab.run("eval run --data folder:no")
        .fails(1, &["cannot open folder no"]);
    lab.run("eval run --checkpoint no.safetensors")
        .fails(1, &["no.safetensors: cannot read the checkpoint"]);
    lab.run("reconstruct run no.png")
        .fails(1, &["no.png: cannot be read", "No such file"]);
    for command in [
        "eval no",
        "sample no",
        "reconstruct no",
        "train --resume --out no",
    ] {
        lab.run(command)
            .fails(2, &["no: not a run", "config.toml", "vdvae train --out no"]);
    }
    lab.run("info no").fails(2, &["`no`", "photos32"]);
    lab.run("info no/such.toml")
        .fails(2, &["no/such.toml", "nothing is there"]);
}

#[test]
fn images_that_have_moved() {
    let lab = Lab::trained();
    std::fs::rename(lab.path("images.npy"), lab.path("moved.npy")).unwrap();
    lab.run("eval run").fails(
        1,
        &[
            "the run's own images",
            "--data",
            "cannot open",
            "images.npy",
        ],
    );
    lab.run("train --resume --out run --steps 9")
        .fails(1, &["--data", "cannot open", "images.npy"]);
    lab.run("eval run --data npy:moved.npy --split test")
        .succeeds();
    lab.run("train --resume --out run --steps 9 --data npy:moved.npy")
        .succeeds();
}

/// What is there, but is no file, or no folder.
#[test]
fn unreadable_paths() {
    let lab = Lab::trained();
    lab.write("folder/x.txt", "");
    lab.run("eval run --data npy:folder").fails(1, &["folder"]);
    lab.run("eval run --data folder:images.npy")
        .fails(1, &["images.npy"]);
    lab.run("eval run --checkpoint folder")
        .fails(1, &["folder: cannot read the checkpoint"]);
    lab.run("train --config folder")
        .fails(2, &["folder: cannot read the configuration"]);
    lab.run("reconstruct run folder").fails(1, &["folder: "]);
    lab.run("eval images.npy")
        .fails(2, &["images.npy: not a run"]);
    lab.train("--out images.npy")
        .fails(1, &["images.npy is no folder", "--out"]);
    lab.train("--out images.npy/run")
        .fails(1, &["images.npy is no folder", "--out"]);
    lab.run("sample run --out images.npy/x.png")
        .fails(1, &["images.npy is no folder", "--out"]);
    lab.run("sample run --out folder.with/dot.jpg")
        .fails(2, &["FILE.png, FILE.npy or a folder", ".jpg"]);
    assert_eq!(lab.read("images.npy"), Lab::new().read("images.npy"));
}

#[test]
fn an_empty_folder() {
    let lab = Lab::new();
    lab.write("empty/readme.txt", "no image");
    lab.refuses(
        "folder:empty",
        1,
        &[
            "empty: expected PNG, JPEG, WebP, GIF, BMP or TIFF images, found none",
            "Give a folder",
        ],
    );
}

#[test]
fn one_truncated_jpeg_among_good_ones() {
    let lab = Lab::new();
    let whole = jpeg(20);
    for number in 0..12 {
        lab.write(&format!("photos/{number:02}.jpg"), &whole);
    }
    lab.write("photos/05.jpg", &whole[..whole.len() * 2 / 3]);
    let all = lab.run("train --config tiny.toml --out run --data folder:photos --steps 2");
    let all_good = all.code == Some(0);
    assert!(!all_good, "{all:#?}");
    all.fails(1, &["photos/05.jpg", "--skip-bad-images"]);
    assert!(!lab.path("run").exists());
    lab.train("--out run --data folder:photos --steps 2 --skip-bad-images")
        .succeeds()
        .tells(&["skipped photos/05.jpg: "]);
    let eval = "eval run --data folder:photos --json";
    lab.run(eval)
        .fails(1, &["photos/05.jpg", "--skip-bad-images"]);
    let report = lab
        .run(&format!("{eval} --skip-bad-images"))
        .succeeds()
        .tells(&["skipped photos/05.jpg"]);
    assert_eq!(report.json()["images"], 11);
    let reconstruct = "reconstruct run --data folder:photos -n 12";
    lab.run(reconstruct)
        .fails(1, &["photos/05.jpg", "--skip-bad-images"]);
    lab.run(&format!("{reconstruct} --skip-bad-images"))
        .succeeds();
}

#[test]
fn a_folder_of_bad_images_only() {
    let lab = Lab::new();
    for number in 0..5 {
        lab.write(&format!("photos/{number}.png"), "not a picture");
    }
    lab.refuses(
        "folder:photos",
        1,
        &["photos/", "is no PNG, JPEG, WebP, GIF, BMP or TIFF"],
    );
    lab.refuses(
        "folder:photos --skip-bad-images",
        1,
        &["found none", "All were skipped"],
    );
}

#[test]
fn images_that_are_too_few_to_hold_some_out() {
    let lab = Lab::new();
    lab.write("two.npy", npy(&[2, SIDE, SIDE, 3], &images(2, RGB)));
    lab.refuses(
        "npy:two.npy",
        1,
        &["two.npy: expected at least 3 images", "found 2"],
    );
}

#[test]
fn arrays_of_another_size_type_or_rank() {
    let lab = Lab::trained();
    let all = images(6, 16 * 16 * 3);
    lab.write("large.npy", npy(&[6, 16, 16, 3], &all));
    lab.write("wide.npy", npy(&[6, 8, 16, 3], &all));
    lab.write(
        "float.npy",
        npy_of("<f4", &[6, SIDE, SIDE, 3], &images(6, 4 * RGB)),
    );
    lab.write("flat.npy", npy(&[6, RGB], &images(6, RGB)));
    lab.write("first.npy", npy(&[6, 3, SIDE, SIDE], &images(6, RGB)));
    lab.write("objects.npy", npy_of("|O", &[6], &images(6, RGB)));
    lab.write("short.npy", npy(&[6, SIDE, SIDE, 3], &images(5, RGB)));
    lab.write("text.npy", "hello");
    for (file, parts) in [
        (
            "large.npy",
            [
                "shape",
                "expected images of 8 x 8 pixels, found 16 x 16",
                "Set model.image_size = 16",
            ],
        ),
        ("wide.npy", ["shape", "8 x 16", "squares"]),
        (
            "float.npy",
            ["dtype", "expected uint8 ('|u1'), found '<f4'", "astype"],
        ),
        ("flat.npy", ["shape", "N x S x S x 3", "(6, 192)"]),
        ("first.npy", ["shape", "(6, 3, 8, 8)", "transpose"]),
        ("objects.npy", ["dtype", "uint8", "|O"]),
        ("short.npy", ["1152", "960", "short.npy"]),
        ("text.npy", ["magic", "a .npy file", "numpy.save"]),
    ] {
        let parts: Vec<&str> = parts.into_iter().chain([file]).collect();
        lab.run(&format!("eval run --data npy:{file}"))
            .fails(1, &parts);
        lab.train(&format!("--out other --data npy:{file}"))
            .fails(1, &parts);
    }
    assert!(!lab.path("other").exists());
}

#[test]
fn cifar10_of_another_size() {
    let lab = Lab::new();
    lab.write("cifar/data_batch_1.bin", images(9, 3073));
    lab.refuses(
        "cifar10:cifar",
        1,
        &[
            "image_size",
            "expected 32, found 8",
            "Set model.image_size = 32",
        ],
    );
    for batch in 2..6 {
        lab.write(&format!("cifar/data_batch_{batch}.bin"), images(9, 3073));
    }
    let data = format!("cifar10:cifar {CIFAR}");
    lab.refuses(
        &data,
        1,
        &[
            "data_batch_1.bin",
            "size",
            "expected 30730000 bytes, found 27657",
            "download",
        ],
    );
}

/// Opening a FIFO waits for who writes into it.
#[cfg(unix)]
#[test]
fn a_fifo_is_no_file() {
    let lab = Lab::trained();
    let made = std::process::Command::new("mkfifo")
        .args([lab.path("pipe"), lab.path("pipe.npz")])
        .status();
    assert!(made.expect("mkfifo starts").success());
    for command in [
        "eval run --data npy:pipe",
        "eval run --data npz:pipe",
        "eval run --data tar:pipe",
        "eval run --checkpoint pipe",
        "decode run pipe.npz",
        "import pipe --preset cifar10 --out imported",
        "train --init pipe --config tiny.toml --out other --steps 1",
    ] {
        lab.run(command)
            .fails(1, &["is a FIFO, where a regular file was expected"]);
    }
}

#[test]
fn a_configuration_may_leave_the_data_to_the_option() {
    let lab = Lab::new();
    let text = crate::support::TINY.replace("[data]\nsource = \"npy:images.npy\"\n", "");
    lab.write("bare.toml", text);
    lab.run("train --config bare.toml --data npy:images.npy --out run --steps 1")
        .succeeds();
    lab.run("train --config bare.toml --out other --steps 1")
        .fails(2, &["bare.toml", "data.source", "[data]"]);
    let text = crate::support::TINY.replace("source = \"npy:images.npy\"", "flip = true");
    lab.write("flipped.toml", text);
    lab.run("train --config flipped.toml --data npy:images.npy --out flipped --steps 1")
        .succeeds();
    let kept = String::from_utf8(lab.read("flipped/config.toml")).unwrap();
    assert!(kept.contains("flip = true"), "{kept}");
    lab.run("train --config flipped.toml --out other --steps 1")
        .fails(2, &["flipped.toml:10: data.source", "[data]"]);
}
