//! Files that are missing, damaged, of another version or kind are refused by name.

use std::fs;

use vdvae_formats::tensorflow::Checkpoint;

use crate::craft::{bundle, bytes, header, int, list, listed, single, slice, table};
use crate::{HALF, copy, edit, fixture, refused};

#[test]
fn missing_shards() {
    let folder = copy("v2-sharded");
    fs::remove_file(folder.path().join("params.ckpt.data-00001-of-00002")).unwrap();
    let expected = [
        "params.ckpt.index",
        "data-00001-of-00002",
        "alone is",
        "Copy all files",
    ];
    refused(folder.path(), "", &expected);

    let folder = copy("v1-sharded");
    fs::remove_file(folder.path().join("params.ckpt-00000-of-00002")).unwrap();
    for name in ["", "params.ckpt", "params.ckpt-00001-of-00002"] {
        let expected = [
            "params.ckpt-00000-of-00002",
            "no such file",
            "Copy all shards",
        ];
        refused(&folder.path().join(name), "", &expected);
    }
}

#[test]
fn other_checksums() {
    let folder = copy("v2");
    edit(&folder.path().join("params.ckpt.index"), |bytes| {
        bytes[100] ^= 1
    });
    let expected = [
        "params.ckpt.index: checksum: expected 0x",
        "found 0x",
        "download it again",
    ];
    refused(folder.path(), "", &expected);

    let folder = copy("v2");
    let data = folder.path().join("params.ckpt.data-00000-of-00001");
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    edit(&data, |bytes| {
        let half = bytes.windows(4).position(|four| four == HALF).unwrap();
        bytes[half + 3] ^= 0x80;
    });
    let name = "model/conv2d_3/V";
    refused(
        folder.path(),
        name,
        &["data-00000-of-00001: checksum", name, "found 0x"],
    );
    // Others can still be read, and none is kept from before.
    assert!(checkpoint.read("types/int32").is_ok());
    assert!(checkpoint.read(name).is_err());

    let folder = copy("v1");
    edit(&folder.path().join("params.ckpt"), |bytes| {
        let half = bytes.windows(4).position(|four| four == HALF).unwrap();
        bytes[half + 3] ^= 0x80;
    });
    refused(
        folder.path(),
        name,
        &["params.ckpt: checksum", "block of", "found 0x"],
    );
}

#[test]
fn newer_versions_and_other_machines() {
    let folder = tempfile::tempdir().unwrap();
    let later = [int(1, 2), int(2, 2)].concat();
    let not_this = bytes(3, &[2, 1]);
    for (versions, found) in [(later, "version 2 or later"), (not_this, "must not read")] {
        let newer = bundle(folder.path(), &[header(&bytes(3, &versions))], &[]);
        let expected = [
            "x.index: version: expected",
            "readers of version 1",
            found,
            "Save it",
        ];
        refused(&newer, "", &expected);
        let older = single(folder.path(), &[list(&[], &versions)]);
        refused(
            &older,
            "",
            &["x.ckpt: version: expected", "readers of version 1", found],
        );
    }
    let big = bundle(folder.path(), &[header(&int(2, 1))], &[]);
    refused(&big, "", &["x.index: byte order", "little-endian machine"]);
}

#[test]
fn truncated_files() {
    let expected = ["last 48 bytes: expected the end of a table", "truncated"];
    for (form, name) in [("v1", "params.ckpt"), ("v2", "params.ckpt.index")] {
        let whole = fs::read(fixture(form).join(name)).unwrap();
        let folder = copy(form);
        for length in [0, 47, 48, whole.len() / 2, whole.len() - 1] {
            fs::write(folder.path().join(name), &whole[..length]).unwrap();
            refused(folder.path(), "", &expected);
        }
    }
    let folder = copy("v2");
    let data = folder.path().join("params.ckpt.data-00000-of-00001");
    edit(&data, |bytes| bytes.truncate(bytes.len() - 1));
    refused(
        folder.path(),
        "",
        &[
            "length: expected 3 bytes of types/uint8 from byte 551",
            "of 553 bytes",
        ],
    );
}

#[test]
fn shards_that_contradict_each_other() {
    let folder = tempfile::tempdir().unwrap();
    for (number, side) in [2, 3].into_iter().enumerate() {
        let tensors = [listed("w", &[side], &[slice(&[None])])];
        let path = folder.path().join(format!("x-0000{number}-of-00002"));
        fs::write(path, table(&[list(&tensors, &[])], 1)).unwrap();
    }
    let path = folder.path().join("x");
    refused(&path, "", &["w as float32 [2] and as float32 [3]"]);
    fs::write(folder.path().join("x-00000-of-00003"), "").unwrap();
    refused(&path, "", &["one in 2 shards, and one in 3"]);
}

#[test]
fn tensors_that_are_no_weights() {
    for form in ["v1", "v2"] {
        let path = fixture(form);
        refused(
            &path,
            "types/string",
            &["[types/string]", "expected numbers, found string"],
        );
        refused(
            &path,
            "global_step",
            &["32-bit floats hold", "found 16777217"],
        );
        refused(&path, "model", &["[model]: tensor", "none of this name"]);
    }
}

#[test]
fn names_of_nothing() {
    let folder = copy("v2");
    let path = |name: &str| folder.path().join(name);
    for name in ["other", "other-00000-of-00000"] {
        let expected = [".index", "nothing of this name", "check the path"];
        refused(&path(name), "", &expected);
    }
    fs::write(path("params.ckpt"), "").unwrap();
    let expected = [
        "one of the older form, and one of the newer",
        "Name the .index",
    ];
    refused(&path("params.ckpt"), "", &expected);
    fs::remove_file(path("params.ckpt")).unwrap();

    fs::write(
        path("checkpoint"),
        "model_checkpoint_path: \"/old/other\"\n",
    )
    .unwrap();
    let expected = [
        "model_checkpoint_path",
        "/old/other",
        "nor beside this file",
    ];
    refused(folder.path(), "", &expected);
    for text in [
        "",
        "model_checkpoint_path: params.ckpt",
        "model_checkpoint_path: \"a\\",
    ] {
        fs::write(path("checkpoint"), text).unwrap();
        refused(
            folder.path(),
            "",
            &["the name of a checkpoint in quotes, found none"],
        );
    }
    fs::remove_file(path("checkpoint")).unwrap();
    let expected = [
        "a folder with a file `checkpoint`",
        "found only params.ckpt.data",
        "Name a",
    ];
    refused(folder.path(), "", &expected);

    fs::remove_file(path("params.ckpt.index")).unwrap();
    let data = "params.ckpt.data-00000-of-00001";
    refused(
        &path("params.ckpt"),
        "",
        &["params.ckpt.index", &format!("found only {data}")],
    );
    refused(&path(data), "", &["params.ckpt.index: No such file"]);
    fs::write(path("weights.pt"), [0; 100]).unwrap();
    refused(
        &path("weights.pt"),
        "",
        &["the end of a table of TensorFlow", "or no checkpoint"],
    );
}
