//! What is looked at before any work, and what images are called.

use std::path::Path;

use image::{DynamicImage, Rgba, RgbaImage};

use super::{noise, picture, smooth};
use crate::support::Lab;

/// A folder of five pictures, of which two are bad.
fn lab() -> Lab {
    let lab = Lab::trained();
    for i in 0..5 {
        lab.save(&format!("in/{i}.png"), &picture([8, 8, 3], noise(i)));
    }
    lab.write("in/1.png", "no picture");
    let whole = lab.read("in/4.png");
    lab.write("in/4.png", &whole[..whole.len() - 40]);
    lab
}

/// Every command that takes files and folders.
const COMMANDS: [(&str, &str); 4] = [
    ("compress run in -o x.vdz", "x.vdz"),
    ("encode run in --out z.npz", "z.npz"),
    ("features run in --layer 0 --out f.npz", "f.npz"),
    ("reconstruct run in --out r.png", "r.png"),
];

#[test]
fn all_bad_images_are_named_or_left_out() {
    let lab = lab();
    for (command, out) in COMMANDS {
        let bad = ["in/1.png: ", "in/4.png: ", "--skip-bad-images"];
        lab.run(command).fails(1, &[&bad[..], &["2 of 5"]].concat());
        assert!(!lab.path(out).exists());
        let told = lab
            .run(&format!("{command} --skip-bad-images --json"))
            .succeeds()
            .tells(&["skipped in/1.png: ", "skipped in/4.png: "]);
        assert_eq!(told.json()["images"], 3, "{command}");
        // Files as well as folders.
        let files = command.replace(" in ", " in/0.png in/4.png ");
        lab.run(&files)
            .fails(1, &["in/4.png: ", "--skip-bad-images"]);
        let told = lab
            .run(&format!("{files} --skip-bad-images --json"))
            .succeeds();
        assert_eq!(told.json()["images"], 1, "{command}");
        let all = command.replace(" in ", " in/1.png in/4.png ");
        lab.run(&format!("{all} --skip-bad-images"))
            .fails(1, &["2 of 2", "in/1.png", "in/4.png"]);
    }
    lab.run("interpolate run in/1.png in/4.png --out i.png")
        .fails(1, &["in/1.png", "in/4.png"]);
}

/// Of a data set, too, and only among the images that are wanted.
#[test]
fn bad_images_of_a_data_set_are_named_where_they_are_wanted() {
    let lab = lab();
    for command in ["eval", "compress -o x.vdz", "encode --out z.npz"] {
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        let command = format!("{name} run --data folder:in {rest}");
        lab.run(&command)
            .fails(1, &["in/1.png: ", "in/4.png: ", "--skip-bad-images"]);
    }
    lab.save("in/1.png", &picture([8, 8, 3], noise(1)));
    for (command, out) in COMMANDS.iter().filter(|(_, out)| *out != "r.png") {
        let command = command.replace(" in ", " --data folder:in -n 3 --json ");
        assert_eq!(lab.run(&command).succeeds().json()["images"], 3);
        assert!(lab.path(out).exists());
        lab.run(&command.replace("-n 3", ""))
            .fails(1, &["in/4.png"]);
    }
}

/// Before the images are looked at: they are missing.
#[test]
fn an_output_that_cannot_be_written_is_noticed_first() {
    let lab = Lab::trained();
    lab.write("file", "");
    for (command, out) in COMMANDS {
        let command = command.replace(" in ", " missing.png ");
        let command = command.replace(out, &format!("file/{out}"));
        let wrong = [&format!("file/{out}"), "cannot be written", "--out"];
        lab.run(&command).fails(1, &wrong);
    }
    for command in [
        "interpolate run missing.png missing.png --out file/i.png",
        "eval run --data npy:missing.npy --rates file/r.svg",
        "decode run missing.npz --out file/d.png",
        "decode run missing.npz --out file/d",
        "sample run -n 2 --out file/s.npy",
        "sample run -n 2 --out file/s",
        "report run --data npy:missing.npy --out file/report",
        "train --config tiny.toml --data npy:missing.npy --out file/run",
        "import missing.th --config tiny.toml --set data.shift=-1 --set data.scale=1 --out file/run",
    ] {
        lab.run(command)
            .fails(1, &["file/", "cannot be written", "file is no folder"]);
    }
    lab.save("a.png", &picture([8, 8, 3], smooth));
    lab.compress("a.png").succeeds();
    lab.run("decompress x.vdz --checkpoint missing.safetensors --out file/out")
        .fails(1, &["file/out", "cannot be written", "file is no folder"]);
    lab.write("folder.vdz/x", "");
    lab.run("compress run missing.png -o folder.vdz")
        .fails(1, &["folder.vdz", "cannot be written", "directory"]);
    assert!(!lab.path("missing").exists());
}

#[test]
fn images_of_the_same_name_are_all_kept() {
    let lab = Lab::trained();
    for (i, name) in ["a/0000.png", "b/0000.png", "in/0000.png", "in/0001.png"]
        .iter()
        .enumerate()
    {
        lab.save(name, &picture([8, 8, 3], noise(i)));
    }
    lab.save("in/0000.jpg", &picture([8, 8, 3], smooth));
    let pixels = |name: &str| image::open(lab.path(name)).unwrap();
    let jpeg = pixels("in/0000.jpg");

    lab.compress("in").succeeds();
    lab.run("decompress x.vdz --run run --out back").succeeds();
    let found = lab.pictures("back/in");
    let names: Vec<&String> = found.keys().collect();
    assert_eq!(names, ["0000.jpg.png", "0000.png", "0001.png"]);
    assert!(found["0000.jpg.png"] == jpeg);
    assert!(found["0000.png"] == pixels("in/0000.png"));

    lab.compress("a/0000.png b/0000.png").succeeds();
    lab.run("decompress x.vdz --run run --out two").succeeds();
    let found = lab.pictures("two");
    assert_eq!(found.len(), 2);
    for name in ["a/0000.png", "b/0000.png"] {
        assert!(found[name] == pixels(name), "{name}");
    }
    // Where names are paths they are so already.
    lab.run("encode run a/0000.png b/0000.png --out z.safetensors")
        .succeeds();
    let latents = lab.read("z.safetensors");
    let header = String::from_utf8_lossy(&latents);
    assert!(header.contains("a/0000.png") && header.contains("b/0000.png"));
}

#[test]
fn what_does_not_come_back_is_refused_or_said() {
    let lab = Lab::trained();
    let rgba = |alpha| DynamicImage::from(RgbaImage::from_pixel(8, 8, Rgba([9, 99, 199, alpha])));
    lab.save("alpha.png", &rgba(0));
    let deep = image::ImageBuffer::from_fn(8, 8, |x, _| image::Luma([1000 * x as u16]));
    lab.save("deep.png", &DynamicImage::ImageLuma16(deep));
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tests/fixtures");
    for name in ["cmyk.jpg", "frames.gif"] {
        lab.write(name, std::fs::read(fixtures.join(name)).unwrap());
    }
    for (name, holds) in [
        ("alpha.png", "transparent pixels"),
        ("deep.png", "more than 8 bits"),
        ("cmyk.jpg", "CMYK"),
        ("frames.gif", "more than one frame"),
    ] {
        lab.compress(name)
            .fails(1, &[name, holds, "--allow-lossy-conversion"]);
        lab.compress(&format!("{name} --allow-lossy-conversion"))
            .succeeds()
            .tells(&["1 image has", holds, "does not come back"]);
    }
    assert!(lab.path("x.vdz").exists());
    // What is opaque all the same loses nothing.
    lab.save("opaque.png", &rgba(255));
    let told = lab.compress("opaque.png").succeeds();
    assert!(!told.err.contains("come back"), "{}", told.err);
    lab.run("decompress x.vdz --run run").succeeds();
    let expected = picture([8, 8, 3], |i| [9, 99, 199][i % 3]);
    assert!(lab.pictures("x")["opaque.png"] == expected);
}

#[test]
fn files_of_other_kinds_are_not_left_out_without_a_word() {
    let lab = Lab::trained();
    lab.save("in/a.png", &picture([8, 8, 3], smooth));
    for name in [
        "b.avif",
        "c.AVIF",
        "deeper/d.avif",
        "read me.txt",
        ".hidden",
    ] {
        lab.write(&format!("in/{name}"), "something");
    }
    lab.compress("in").fails(
        2,
        &["4 files: 3 .avif, 1 .txt", "in/b.avif", "--leave-others"],
    );
    assert!(!lab.path("x.vdz").exists());
    let left = lab.compress("in --leave-others --json").succeeds();
    assert_eq!(left.json()["images"], 1);
    assert!(!left.err.contains("b.avif"));
    left.tells(&["4 files: 3 .avif, 1 .txt"]);
    lab.compress("in --leave-others --verbose")
        .succeeds()
        .tells(&["in/c.AVIF"]);
    // What the image library reads is read.
    for name in ["e.jfif", "f.jpe", "g.gif", "h.bmp", "i.tif"] {
        let format = match name.rsplit_once('.').unwrap().1 {
            "jfif" | "jpe" => image::ImageFormat::Jpeg,
            "gif" => image::ImageFormat::Gif,
            "bmp" => image::ImageFormat::Bmp,
            _ => image::ImageFormat::Tiff,
        };
        lab.write(&format!("more/{name}"), "");
        let path = lab.path(&format!("more/{name}"));
        let saved = picture([8, 8, 3], smooth).save_with_format(path, format);
        saved.expect("saved");
    }
    let report = lab.compress("more --json").succeeds().json();
    assert_eq!(report["images"], 5);
}

#[test]
fn what_is_given_again_is_compressed_once() {
    let lab = Lab::trained();
    lab.save("in/a.png", &picture([8, 8, 3], smooth));
    lab.save("in/b.png", &picture([8, 8, 3], smooth));
    let report = lab.compress("in ./in in/b.png --json").succeeds();
    assert_eq!(report.json()["images"], 2);
    report.tells(&["given more than once", "./in/a.png", "in/b.png"]);
}

/// Opening a FIFO waits for who writes into it.
#[cfg(unix)]
#[test]
fn only_regular_files_are_read() {
    let lab = Lab::trained();
    lab.save("in/a.png", &picture([8, 8, 3], smooth));
    let made = std::process::Command::new("mkfifo")
        .arg(lab.path("in/pipe.png"))
        .status();
    assert!(made.expect("mkfifo starts").success());
    let _socket = std::os::unix::net::UnixListener::bind(lab.path("in/socket.png")).unwrap();
    let failed = lab.compress("in");
    assert!(!failed.err.contains(".."), "{failed:#?}");
    failed.fails(1, &["in/pipe.png: is a FIFO", "in/socket.png: is a socket"]);
    let failed = lab.compress("in/pipe.png");
    failed.fails(
        1,
        &["in/pipe.png: is a FIFO, where a regular file was expected"],
    );
    lab.compress("in --skip-bad-images").succeeds();
    lab.train("--data folder:in --out other --steps 1")
        .fails(1, &["in/pipe.png"]);
}
