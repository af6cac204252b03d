//! Whatever happens to a file, there is no panic, and no other number.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::slice::from_ref;

use proptest::prelude::*;
use vdvae_formats::FormatError;
use vdvae_formats::tensorflow::{Checkpoint, Tensor};

use crate::craft::{
    Entry, bundle, bytes, entry, header, int, list, listed, saved, shape, single, slice,
};
use crate::{copy, edit};

type Contents = BTreeMap<String, (Tensor, Result<Vec<u32>, String>)>;

/// All that is in a checkpoint; floats as bits.
fn contents(path: &Path) -> Result<Contents, FormatError> {
    let checkpoint = Checkpoint::open(path)?;
    let tensors = checkpoint.tensors().map(|(name, tensor)| {
        let read = checkpoint.read(name).map_err(|error| error.to_string());
        let bits = read.map(|array| array.values.into_iter().map(f32::to_bits).collect());
        (name.to_owned(), (tensor.clone(), bits))
    });
    Ok(tensors.collect())
}

proptest! {
    #[test]
    fn damage_shows_or_does_not_matter(
        form in prop::sample::select(vec!["v1", "v2", "v1-sharded", "v2-sharded", "objects"]),
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 0..5),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let folder = copy(form);
        let whole = contents(folder.path()).unwrap();
        let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|path| path.file_name().unwrap() != "checkpoint");
        files.sort();
        edit(&files[file.index(files.len())], |bytes| {
            for (place, change) in &changes {
                let place = place.index(bytes.len());
                bytes[place] ^= change;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
        });
        let Ok(changed) = contents(folder.path()) else {
            return Ok(());
        };
        prop_assert_eq!(changed.len(), whole.len());
        for (name, (tensor, values)) in &changed {
            prop_assert_eq!(tensor, &whole[name].0);
            if let Ok(values) = values {
                prop_assert_eq!(Some(values), whole[name].1.as_ref().ok());
            }
        }
    }

    /// With right checksums, as somebody would make them who wants to do harm.
    #[test]
    fn any_messages_are_read_or_refused(
        is_older in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut entries = if is_older { older() } else { newer() };
        for (which, place, byte) in changes {
            let (key, value) = &mut entries[which.index(4)];
            let place = place.index(key.len() + value.len());
            match place.checked_sub(key.len()) {
                Some(place) => value[place] = byte,
                None => key[place] = byte,
            }
        }
        let path = match is_older {
            true => single(folder.path(), &entries),
            false => bundle(folder.path(), &entries, &[7; 24]),
        };
        if let Ok(contents) = contents(&path) {
            for (tensor, values) in contents.into_values() {
                prop_assert!(values.is_err() || values.unwrap().len() == tensor.shape.iter().product::<usize>());
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,40}") {
        let folder = tempfile::tempdir().unwrap();
        let magic = 0xDB47_7524_8B80_FB57_u64.to_le_bytes();
        fs::write(folder.path().join("x"), [&bytes[..], &magic].concat()).unwrap();
        prop_assert!(Checkpoint::open(&folder.path().join("x")).is_err());
        fs::write(folder.path().join("checkpoint"), format!("model_checkpoint_path: {text}")).unwrap();
        prop_assert!(Checkpoint::open(folder.path()).is_err() || text.trim() == "\"x\"");
    }
}

/// A tensor in two parts and another one.
fn older() -> Vec<Entry> {
    let (first, last, all) = (
        slice(&[Some((0, 2))]),
        slice(&[Some((2, 2))]),
        slice(&[None]),
    );
    let tensors = [
        listed("w", &[4], &[first.clone(), last.clone()]),
        listed("x", &[2], from_ref(&all)),
    ];
    vec![
        list(&tensors, &int(1, 1)),
        saved(b"\0w\0\x01\x01\x01\x80\x82", "w", &first, &[1.0, 2.0]),
        saved(b"\0w\0\x01\x01\x01\x82\x82", "w", &last, &[3.0, 4.0]),
        saved(b"\0x\0\x01\x01\x01\x80\x7F", "x", &all, &[5.0, 6.0]),
    ]
}

/// The same.
fn newer() -> Vec<Entry> {
    let part = |start| entry(&[2], 0, start, 8, &[7; 8]);
    let slices = [(0, 2), (2, 2)].map(|part| bytes(7, &slice(&[Some(part)])));
    let whole = [int(1, 1), bytes(2, &shape(&[4])), slices.concat()].concat();
    vec![
        header(&bytes(3, &int(1, 1))),
        (b"\0w\0\x01\x01\x01\x80\x82".to_vec(), part(0)),
        (b"\0w\0\x01\x01\x01\x82\x82".to_vec(), part(8)),
        (b"w".to_vec(), whole),
        (b"x".to_vec(), part(16)),
    ]
}
