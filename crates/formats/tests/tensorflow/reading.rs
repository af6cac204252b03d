//! What TensorFlow wrote is read as it was.

use std::fs;
use std::path::Path;
use std::slice::from_ref;

use vdvae_formats::floats::FloatType;
use vdvae_formats::tensorflow::{Checkpoint, Dtype};

use crate::craft::{int, list, listed, saved, single, slice};
use crate::{copy, fixture};

/// As `make.py` fills tensor number `number`.
fn floats(count: usize, number: f32) -> Vec<f32> {
    (0..count).map(|i| i as f32 / 8.0 + number).collect()
}

#[track_caller]
fn assert_holds(checkpoint: &Checkpoint, name: &str, shape: &[usize], values: &[f32]) {
    let read = checkpoint.read(name).unwrap();
    assert_eq!(
        (&read.shape[..], &read.values[..]),
        (shape, values),
        "{name}"
    );
}

#[test]
fn both_formats_hold_the_same() {
    for form in ["v1", "v2"] {
        let checkpoint = Checkpoint::open(&fixture(form).join("params.ckpt")).unwrap();
        let kernel = [2, 3, 4, 2];
        let ema = "model/conv2d_3/V/ExponentialMovingAverage";
        assert_holds(&checkpoint, "model/conv2d_3/V", &kernel, &floats(48, 0.0));
        assert_holds(&checkpoint, ema, &kernel, &floats(48, 1.0));
        assert_holds(&checkpoint, "Variable", &[], &[2.0]);
        assert_holds(&checkpoint, "Variable_1", &[5], &floats(5, 3.0));
        assert_holds(&checkpoint, "empty", &[0, 3], &[]);
        let third = [4.0, 4.125, 4.25].map(|x: f64| (x + 1.0 / 3.0) as f32);
        assert_holds(&checkpoint, "types/float64", &[3], &third);
        assert_holds(&checkpoint, "types/float16", &[3], &floats(3, 5.0));
        for dtype in ["int8", "int16", "int32", "int64"] {
            assert_holds(
                &checkpoint,
                &format!("types/{dtype}"),
                &[3],
                &[1.0, -2.0, 100.0],
            );
        }
        for dtype in ["uint8", "uint16"] {
            assert_holds(
                &checkpoint,
                &format!("types/{dtype}"),
                &[3],
                &[1.0, 2.0, 200.0],
            );
        }
        assert_holds(&checkpoint, "types/bool", &[3], &[1.0, 0.0, 1.0]);
    }
}

#[test]
fn what_only_the_newer_format_holds_is_read() {
    let checkpoint = Checkpoint::open(&fixture("v2").join("params.ckpt")).unwrap();
    assert_holds(&checkpoint, "types/bfloat16", &[3], &floats(3, 6.0));
    for dtype in ["uint32", "uint64"] {
        assert_holds(
            &checkpoint,
            &format!("types/{dtype}"),
            &[3],
            &[1.0, 2.0, 200.0],
        );
    }
}

#[test]
fn tensors_are_listed_by_name_with_types_and_shapes() {
    let checkpoint = Checkpoint::open(&fixture("v1").join("params.ckpt")).unwrap();
    let listed: Vec<_> = checkpoint
        .tensors()
        .map(|(name, tensor)| format!("{name}: {tensor}"))
        .collect();
    let expected = [
        "Variable: float32 []",
        "Variable_1: float32 [5]",
        "empty: float32 [0, 3]",
        "global_step: int64 []",
        "model/conv2d_3/V: float32 [2, 3, 4, 2]",
        "model/conv2d_3/V/ExponentialMovingAverage: float32 [2, 3, 4, 2]",
        "types/bool: bool [3]",
        "types/float16: float16 [3]",
        "types/float64: float64 [3]",
        "types/int16: int16 [3]",
        "types/int32: int32 [3]",
        "types/int64: int64 [3]",
        "types/int8: int8 [3]",
        "types/string: string [2]",
        "types/uint16: uint16 [3]",
        "types/uint8: uint8 [3]",
    ];
    assert_eq!(listed, expected);
    let newer = Checkpoint::open(&fixture("v2").join("params.ckpt")).unwrap();
    let kind = |name: &str| {
        newer
            .tensors()
            .find(|(found, _)| *found == name)
            .unwrap()
            .1
            .dtype
    };
    assert_eq!(kind("types/bfloat16"), Dtype::Float(FloatType::Bf16));
    for (name, tensor) in checkpoint.tensors() {
        assert_eq!(kind(name), tensor.dtype, "{name}");
    }
}

#[test]
fn shards_and_parts_are_put_together() {
    for form in ["v1-sharded", "v2-sharded"] {
        let checkpoint = Checkpoint::open(&fixture(form)).unwrap();
        assert_holds(&checkpoint, "rows", &[7, 5], &floats(35, 3.0));
        assert_holds(&checkpoint, "columns", &[7, 5], &floats(35, 3.0));
        assert_holds(&checkpoint, "alone", &[40], &floats(40, 2.0));
        assert_eq!(checkpoint.tensors().count(), 3);
    }
}

#[test]
fn an_object_graph_is_listed_beside_the_variables() {
    let checkpoint = Checkpoint::open(&fixture("objects")).unwrap();
    let names: Vec<_> = checkpoint.tensors().map(|(name, _)| name).collect();
    let variable = |name| format!("{name}/.ATTRIBUTES/VARIABLE_VALUE");
    let (weight, counter) = (variable("model/weight"), variable("save_counter"));
    assert_eq!(names, ["_CHECKPOINTABLE_OBJECT_GRAPH", &weight, &counter]);
    assert_holds(&checkpoint, &weight, &[2, 3], &floats(6, 1.0));
    assert_holds(&checkpoint, &counter, &[], &[1.0]);
}

#[test]
fn a_checkpoint_has_many_names() {
    let ways: [(&str, &[&str], &str); 4] = [
        ("v1", &["", "checkpoint", "params.ckpt"], "params.ckpt"),
        (
            "v2",
            &[
                "",
                "checkpoint",
                "params.ckpt",
                "params.ckpt.index",
                "params.ckpt.data-00000-of-00001",
            ],
            "params.ckpt.index",
        ),
        (
            "v1-sharded",
            &[
                "",
                "params.ckpt",
                "params.ckpt-?????-of-00002",
                "params.ckpt-00001-of-00002",
            ],
            "params.ckpt-00000-of-00002",
        ),
        (
            "objects",
            &["", "params.ckpt-1", "params.ckpt-1.index"],
            "params.ckpt-1.index",
        ),
    ];
    for (form, names, file) in ways {
        let folder = copy(form);
        let count = Checkpoint::open(folder.path()).unwrap().tensors().count();
        for name in names {
            let path = folder.path().join(name);
            assert!(Checkpoint::is_one(&path), "{form} {name}");
            let checkpoint = Checkpoint::open(&path).unwrap();
            assert_eq!(checkpoint.path(), folder.path().join(file), "{form} {name}");
            assert_eq!(checkpoint.tensors().count(), count);
        }
    }
    let folder = copy("v2");
    fs::write(folder.path().join("params.ckpt.meta"), "the graph").unwrap();
    Checkpoint::open(&folder.path().join("params.ckpt.meta")).unwrap();
}

#[test]
fn a_folder_names_the_latest_wherever_it_was_written() {
    let folder = copy("v1");
    let state = |text: &str| fs::write(folder.path().join("checkpoint"), text).unwrap();
    let opened = || {
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let name = checkpoint.path().strip_prefix(folder.path()).unwrap();
        name.to_str().unwrap().to_owned()
    };
    // A folder that was moved.
    state("model_checkpoint_path: \"/nowhere/params.ckpt\"\n");
    assert_eq!(opened(), "params.ckpt");
    // One that was copied: both are there.
    let original = copy("v1");
    let before = original.path().join("params.ckpt");
    state(&format!("model_checkpoint_path: \"{}\"", before.display()));
    assert_eq!(opened(), "params.ckpt");
    // The state alone.
    fs::remove_file(folder.path().join("params.ckpt")).unwrap();
    assert_eq!(Checkpoint::open(folder.path()).unwrap().path(), before);
    // In a folder within, with signs that have escapes.
    let name = "a\"b\\c \u{e9}-6";
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::copy(before, folder.path().join("sub").join(name)).unwrap();
    for text in ["sub/a\\\"b\\\\c \u{e9}-6", "sub/a\\\"b\\\\c \\303\\251-6"] {
        state(&format!(
            "model_checkpoint_path: \"x-5\"\nmodel_checkpoint_path: \"{text}\"\nall_model_checkpoint_paths: \"sub/x-5\"\n"
        ));
        assert_eq!(opened(), Path::new("sub").join(name).to_str().unwrap());
    }
}

#[test]
fn a_value_is_found_in_whichever_block_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..40).map(|i| format!("w{i:02}")).collect();
    let whole = slice(&[None]);
    let tensors: Vec<_> = names
        .iter()
        .map(|name| listed(name, &[2], from_ref(&whole)))
        .collect();
    let mut entries = vec![list(&tensors, &int(1, 1))];
    for (i, name) in names.iter().enumerate() {
        let key = [b"\0", name.as_bytes(), b"\0\x01\x01\x01\x80\x7F"].concat();
        entries.push(saved(&key, name, &whole, &floats(2, i as f32)));
    }
    let checkpoint = Checkpoint::open(&single(folder.path(), &entries)).unwrap();
    for (i, name) in names.iter().enumerate() {
        assert_holds(&checkpoint, name, &[2], &floats(2, i as f32));
    }
}

#[test]
fn other_files_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    fs::write(&path, [0; 100]).unwrap();
    assert!(!Checkpoint::is_one(&path));
    assert!(!Checkpoint::is_one(folder.path()));
    assert!(!Checkpoint::is_one(&folder.path().join("y")));
}
