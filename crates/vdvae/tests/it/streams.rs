//! Latents and features of many images: written as they are computed, a part as among all, in any order.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use rawzip::{CompressionMethod, ZipArchiveWriter};
use vdvae_formats::floats::FloatArray;
use vdvae_formats::npz::FloatArrays;

use crate::resume::start;
use crate::support::{Finished, Lab, RGB, SIDE, images, npy, tensors};

/// Runs a command; the most memory that it took, in MiB.
#[cfg(target_os = "linux")]
fn peak(lab: &Lab, arguments: &str) -> u64 {
    let mut child = start(lab, arguments);
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("a child").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    let finished = Finished::new(arguments, &child.wait_with_output().expect("an end"));
    finished.succeeds();
    peak >> 10
}

#[test]
#[cfg(target_os = "linux")]
fn any_number_of_images_takes_the_same_memory() {
    const MANY: usize = 40_000;
    let lab = Lab::trained();
    lab.write("many.npy", npy(&[MANY, SIDE, SIDE, 3], &images(MANY, RGB)));
    for command in [
        "encode run --data npy:many.npy --batch 16 --out z.safetensors",
        "encode run --data npy:many.npy --batch 16 --out z.npz",
        "features run --data npy:many.npy --batch 16 --layer 2 --out z.npz",
    ] {
        let few = peak(&lab, &format!("{command} -n 500"));
        let many = peak(&lab, command);
        let file = command.rsplit(' ').next().expect("a file");
        let size = std::fs::metadata(lab.path(file)).expect("written").len() >> 20;
        assert!(size > 100, "{command}: only {size} MiB");
        assert!(many < few + 60, "{command}: {few} and {many} MiB");
    }
}

/// The arrays of a .npz.
fn arrays(lab: &Lab, name: &str) -> BTreeMap<String, FloatArray> {
    let file = FloatArrays::read_npz(&lab.path(name), |_| true).expect("a .npz");
    let arrays = file.arrays.into_iter();
    arrays
        .map(|(name, rows)| (name, rows.read(0..rows.shape()[0]).expect("read")))
        .collect()
}

#[test]
fn parts_are_what_they_are_in_the_whole() {
    let lab = Lab::trained();
    for command in [
        "encode run --split all",
        "features run --split all --layer 1",
    ] {
        lab.run(&format!("{command} --out whole.npz")).succeeds();
        lab.run(&format!("{command} --out a.npz -n 33 --batch 5"))
            .succeeds();
        lab.run(&format!("{command} --out b.npz --from 33"))
            .succeeds();
        let [whole, mut a, b] = ["whole.npz", "a.npz", "b.npz"].map(|name| arrays(&lab, name));
        for (name, rows) in b {
            a.get_mut(&name).expect("the same arrays").append(rows);
        }
        assert_eq!(a, whole, "{command}");
    }
    lab.run("encode run --split all --out z.npz").succeeds();
    let decode = "decode run z.npz --layers 2 --temperature 1";
    lab.run(&format!("{decode} --out whole")).succeeds();
    lab.run(&format!("{decode} --out part --from 60 -n 3 --batch 2"))
        .succeeds();
    lab.run("sample run -n 9 --out samples").succeeds();
    lab.run("sample run -n 2 --from 7 --out some").succeeds();
    for (whole, part, numbers) in [
        ("whole/decode", "part/decode", 60..63),
        ("samples/sample", "some/sample", 7..9),
    ] {
        for number in numbers.clone() {
            let file = |name: &str| lab.read(&format!("{name}-{number:06}.png"));
            assert_eq!(file(whole), file(part), "{part} {number}");
        }
        let folder = part.split('/').next().expect("a folder");
        let files = std::fs::read_dir(lab.path(folder)).expect("a folder");
        assert_eq!(files.count(), numbers.len());
    }
    lab.run("encode run --out x.npz --from 4")
        .fails(2, &["--from", "found 4"]);
    lab.run("decode run z.npz --from 70")
        .fails(2, &["--from", "found 70"]);
}

#[test]
fn layers_that_are_not_decoded_may_be_anything() {
    let lab = Lab::trained();
    lab.run("encode run --split all --out z.npz").succeeds();
    let mut z = arrays(&lab, "z.npz");
    z.retain(|name, _| name.ends_with("/z"));
    let last = z.get_mut("layer_002/z").expect("a third layer");
    *last = FloatArray {
        shape: vec![1, 2, 3, 1],
        values: vec![0.0; 6],
    };
    for (name, fortran) in [("rows", false), ("columns", true)] {
        lab.write(&format!("{name}.npz"), npz(&z, fortran, false));
        lab.run(&format!("decode run {name}.npz --layers 2 --out {name}"))
            .succeeds();
        lab.run(&format!("decode run {name}.npz --layers 3 --out x"))
            .fails(1, &["layer_002/z"]);
    }
}

#[test]
fn only_the_arrays_that_are_asked_for() {
    let lab = Lab::trained();
    lab.run("encode run --out z.safetensors").succeeds();
    lab.run("encode run --out some.safetensors --keep z,kl_per_image --layers 1..")
        .succeeds();
    let [all, some] = ["z", "some"].map(|name| tensors(&lab.path(&format!("{name}.safetensors"))));
    let names: Vec<&str> = some.keys().map(String::as_str).collect();
    let expected = [
        "layer_001/kl_per_image",
        "layer_001/z",
        "layer_002/kl_per_image",
        "layer_002/z",
    ];
    assert_eq!(names, expected);
    assert!(some.iter().all(|(name, values)| all[name] == *values));
    lab.run("encode run --out x.npz --keep z,mean")
        .fails(2, &["mean", "posterior_mean"]);
}

/// A .npz of floats in this order.
fn npz(arrays: &BTreeMap<String, FloatArray>, fortran: bool, channels_first: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let mut archive = ZipArchiveWriter::new(&mut file);
    for (name, array) in arrays {
        let mut array = array.clone();
        if channels_first {
            let [n, side, _, channels] = array.shape[..] else {
                panic!("four axes")
            };
            let strides = [side * side * channels, 1, side * channels, channels];
            array = FloatArray::strided(&array.values, vec![n, channels, side, side], &strides);
        }
        let shape = array.shape.clone();
        if fortran {
            // Row-major with the axes turned around.
            let mut strides = vec![1; shape.len()];
            for axis in (0..shape.len() - 1).rev() {
                strides[axis] = strides[axis + 1] * shape[axis + 1];
            }
            strides.reverse();
            let turned = shape.iter().rev().copied().collect();
            array = FloatArray::strided(&array.values, turned, &strides);
        }
        let order = if fortran { "True" } else { "False" };
        let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
        let header = format!(
            "{{'descr': '<f8', 'fortran_order': {order}, 'shape': ({}), }}\n",
            sides.join(", ")
        );
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(
            array
                .values
                .iter()
                .flat_map(|&x| f64::from(x).to_le_bytes()),
        );
        let path = format!("{name}.npy");
        let builder = archive.new_file(&path);
        let builder = builder.compression_method(CompressionMethod::STORE);
        let (mut entry, config) = builder.start().expect("an entry");
        let mut writer = config.wrap(&mut entry);
        writer.write_all(&bytes).expect("written");
        let (_, descriptor) = writer.finish().expect("written");
        entry.finish(descriptor).expect("written");
    }
    archive.finish().expect("written");
    file
}

/// As others compute them, such as those who predict latents from what a brain does.
#[test]
fn latents_in_any_order() {
    let lab = Lab::trained();
    lab.run("encode run --out z.npz --keep z").succeeds();
    lab.run("decode run z.npz --out expected").succeeds();
    let latents = arrays(&lab, "z.npz");
    for (fortran, channels_first) in [(true, false), (false, true), (true, true)] {
        lab.write("other.npz", npz(&latents, fortran, channels_first));
        let found = format!("found-{fortran}-{channels_first}");
        let decode = format!("decode run other.npz --out {found}");
        let decoded = lab.run(&decode).succeeds();
        let is_said = decoded.err.contains("channels first, [N, Z, R, R]");
        assert_eq!(is_said, channels_first, "{decoded:#?}");
        for number in 0..4 {
            let file = |folder: &str| lab.read(&format!("{folder}/decode-{number:06}.png"));
            assert_eq!(file(&found), file("expected"));
        }
    }
    let flat: BTreeMap<String, FloatArray> = latents
        .into_iter()
        .map(|(name, array)| {
            let shape = vec![1, array.shape[0], 1, array.values.len() / array.shape[0]];
            (name, FloatArray { shape, ..array })
        })
        .collect();
    lab.write("flat.npz", npz(&flat, false, false));
    lab.run("decode run flat.npz").fails(
        1,
        &[
            "flat.npz",
            "layer_000/z",
            "Axes are images, rows, columns, channels",
        ],
    );
}

#[test]
fn no_output_takes_the_place_of_what_is_read_or_of_a_checkpoint() {
    let lab = Lab::trained();
    lab.run("sample run -n 2 --out pics").succeeds();
    lab.run("encode run pics --out z.npz").succeeds();
    let checkpoints = "run/checkpoints/best.safetensors";
    let kept = ["pics/sample-000000.png", "images.npy", "z.npz", checkpoints];
    let before = kept.map(|name| lab.read(name));
    for command in [
        "reconstruct run pics/sample-000000.png --out pics/sample-000000.png",
        "reconstruct run pics --out pics/sample-000001.png",
        "interpolate run pics/sample-000000.png pics/sample-000001.png --out pics/sample-000001.png",
        "encode run --data npy:images.npy --out run/checkpoints/latest.safetensors",
        "decode run z.npz --out run/checkpoints/x.png",
        "export run --format safetensors --out run/checkpoints/best.safetensors",
    ] {
        lab.run(command).fails(2, &["--out"]);
    }
    let again = "features run --data npz:z.npz[layer_000/z] --split all --layer 1 --out z.npz";
    assert_ne!(lab.run(again).code, Some(0));
    assert_eq!(kept.map(|name| lab.read(name)), before);
}
