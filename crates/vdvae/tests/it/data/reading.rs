//! What is read, and what is said of what is not.

use image::{Rgba, RgbaImage};

use crate::support::Lab;

/// Commands that read a folder of images.
const COMMANDS: [&str; 5] = [
    "eval run --data folder:pictures",
    "reconstruct run --data folder:pictures -n 30",
    "encode run pictures --out z.npz",
    "encode run --data folder:pictures --out z.npz",
    "features run pictures --layer 0 --out f.npz",
];

#[test]
fn files_that_are_no_images_are_counted_and_named_on_request() {
    let lab = Lab::new();
    lab.fill("pictures", 20);
    for name in ["a.avif", "b.AVIF", "notes.txt", "c.heic"] {
        lab.write(&format!("pictures/{name}"), "");
    }
    let counted = "passed over 4 files: 2 .avif, 1 .heic, 1 .txt (--verbose names them)";
    lab.train("--out run --data folder:pictures")
        .succeeds()
        .tells(&[counted]);
    for command in COMMANDS {
        lab.run(command).succeeds().tells(&[counted]);
        lab.run(&format!("{command} --verbose")).succeeds().tells(&[
            "passed over pictures/a.avif",
            "passed over pictures/notes.txt",
        ]);
    }
}

#[test]
fn hidden_colours_are_not_learnt_and_transparent_images_counted() {
    let lab = Lab::new();
    lab.fill("pictures", 20);
    for number in 0..3 {
        let hidden = RgbaImage::from_pixel(8, 8, Rgba([number, 90, 30, 0]));
        hidden
            .save(lab.path(&format!("pictures/hidden{number}.png")))
            .unwrap();
    }
    let opaque = RgbaImage::from_pixel(8, 8, Rgba([200, 90, 30, 255]));
    opaque.save(lab.path("pictures/opaque.png")).unwrap();
    let counted = "3 images have transparent pixels: laid over white";
    lab.train("--out run --data folder:pictures").succeeds();
    for command in COMMANDS {
        lab.run(command).succeeds().tells(&[counted]);
    }
    // White is white, whatever the colours below it are.
    let white = RgbaImage::from_pixel(8, 8, Rgba([255; 4]));
    white.save(lab.path("white.png")).unwrap();
    lab.run("encode run white.png --out white.npz").succeeds();
    lab.run("encode run pictures/hidden1.png --out hidden.npz")
        .succeeds()
        .tells(&["1 image has transparent pixels"]);
    lab.run("reconstruct run white.png --out white-out.png")
        .succeeds();
    lab.run("reconstruct run pictures/hidden1.png --out hidden-out.png")
        .succeeds();
    assert!(lab.read("white-out.png") == lab.read("hidden-out.png"));
}

#[test]
fn words_for_what_was_probably_meant() {
    let lab = Lab::trained();
    lab.write_picture("cat.png", 9, 9);
    lab.run("eval run --split val")
        .fails(2, &["Did you mean `valid`?"]);
    lab.run("eval run --split dev")
        .fails(2, &["Did you mean `valid`?"]);
    lab.run("eval run --data cat.png")
        .fails(2, &["That is one image", "folder:."]);
}
