//! What cannot be so, under right checksums, is refused by name.

use std::fs;
use std::slice::from_ref;

use crate::craft::{
    Entry, bundle, bytes, close, entry, header, int, list, listed, masked, push_block, saved,
    shape, single, slice, table,
};
use crate::{HALF, copy, refused};

/// Opens a checkpoint of the newer format with `w`, float32 [2], whose entry is this, and others.
#[track_caller]
fn refused_entries(entries: &[(&[u8], Vec<u8>)], expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let entries = entries
        .iter()
        .map(|(key, value)| (key.to_vec(), value.clone()));
    let entries: Vec<Entry> = [header(&[])].into_iter().chain(entries).collect();
    refused(&bundle(folder.path(), &entries, &[0; 16]), "w", expected);
}

#[test]
fn entries_that_cannot_be() {
    let zeros = [0; 8];
    let good = entry(&[2], 0, 0, 8, &zeros);
    refused_entries(
        &[(b"w", entry(&[2], 0, 9, 8, &zeros))],
        &[
            "data-00000-of-00001: length: expected 8 bytes of w from byte 9",
            "16 bytes",
        ],
    );
    let far = i64::MAX;
    refused_entries(
        &[(b"w", entry(&[2], 0, far, 8, &zeros))],
        &["from byte 922337"],
    );
    refused_entries(
        &[(b"w", entry(&[2], 0, -1, 8, &zeros))],
        &["from byte 1844674"],
    );
    refused_entries(
        &[(b"w", entry(&[2], 1, 0, 8, &zeros))],
        &["one of 1 shards for w", "found 1"],
    );
    refused_entries(
        &[(b"w", entry(&[3], 0, 0, 8, &zeros))],
        &["float32 [3] takes for w, found 8"],
    );
    // Nothing is allocated for what is only claimed.
    let claim = 1 << 40;
    refused_entries(
        &[(b"w", entry(&[claim], 0, 0, 4 * claim, &zeros))],
        &["length: expected"],
    );
    refused_entries(
        &[(b"w", entry(&[claim, claim], 0, 0, 8, &zeros))],
        &["a shape of"],
    );
    refused_entries(&[(b"w", entry(&[-1], 0, 0, 8, &zeros))], &["an axis of -1"]);
    refused_entries(&[(b"w", bytes(2, &int(3, 1)))], &["without a known shape"]);
    refused_entries(
        &[(b"w", vec![0x12, 9, 1])],
        &["known of w", "ends within a field"],
    );
    refused_entries(&[(b"w\xFF", good.clone())], &["names in UTF-8"]);
    refused_entries(
        &[(b"v", good.clone()), (b"w", entry(&[2], 0, 4, 8, &zeros))],
        &["bytes of its own for each tensor", "for v and w"],
    );
    refused_entries(
        &[(b"w", good.clone()), (b"w", good.clone())],
        &["keys", "\"w\" twice"],
    );
    refused_entries(
        &[(b"x", good.clone()), (b"w", good.clone())],
        &["keys", "\"x\" twice or too late"],
    );
    // Twice over several blocks.
    let far = [&b"a"[..], b"b", b"w", b"w"].map(|key| (key, entry(&[0], 0, 0, 0, &[])));
    refused_entries(&far, &["keys", "\"w\" twice"]);
}

#[test]
fn parts_that_are_not_the_whole() {
    let zeros = [0; 8];
    let key = |code: &[u8]| [b"\0w\0\x01\x01\x01", code].concat();
    let part = |start| entry(&[2], 0, start, 8, &zeros);
    let whole = |parts: &[(i64, i64)]| {
        let parts = parts
            .iter()
            .flat_map(|&part| bytes(7, &slice(&[Some(part)])));
        let about = [int(1, 1), bytes(2, &shape(&[4]))].concat();
        about.into_iter().chain(parts).collect::<Vec<u8>>()
    };
    let (first, second, third) = (key(&[0x80, 0x82]), key(&[0x81, 0x82]), key(&[0x82, 0x82]));
    refused_entries(
        &[(&first, part(0)), (b"w", whole(&[(0, 2), (2, 2)]))],
        &["part 2,2 of w", "no entry"],
    );
    let remedy = "Save it with all parts";
    refused_entries(
        &[(&first, part(0)), (b"w", whole(&[(0, 2)]))],
        &["x.index[w]: tensor", "leave places out", remedy],
    );
    refused_entries(
        &[
            (&first, part(0)),
            (&second, part(8)),
            (b"w", whole(&[(0, 2), (1, 2)])),
        ],
        &["x.index[w]: tensor", "overlap", remedy],
    );
    refused_entries(
        &[
            (&first, entry(&[1], 0, 0, 4, &HALF)),
            (b"w", whole(&[(0, 2)])),
        ],
        &["part 0,2 of w", "float32 [1] for a part of float32 [4]"],
    );
    refused_entries(
        &[(&third, part(0)), (b"w", whole(&[(2, 3)]))],
        &["part 2,3 of w", "no entry"],
    );
    refused_entries(
        &[(&key(&[0x83, 0x82]), part(0)), (b"w", whole(&[(3, 2)]))],
        &["part 3,2 of w", "for a part of float32 [4]"],
    );
    refused_entries(&[(b"w", whole(&[(-1, 2)]))], &["an axis of -1"]);
}

#[test]
fn tables_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.index");
    let refuse = |file: Vec<u8>, expected: &[&str]| {
        fs::write(&path, file).unwrap();
        refused(&path, "", expected);
    };
    let entries = [header(&[]), (b"w".to_vec(), entry(&[0], 0, 0, 0, &[]))];
    let mut file = Vec::new();
    let place = push_block(&mut file, &entries, 1);
    refuse(
        close(file, &[(b"w".to_vec(), place)]),
        &[
            "compression: expected blocks without",
            "Snappy in the block of",
            "Save the checkpoint",
        ],
    );
    // The same block for two ranges of keys, and one beyond the file.
    let mut file = Vec::new();
    let place = push_block(&mut file, &entries, 0);
    let again = [(b"w".to_vec(), place.clone()), (b"x".to_vec(), place)];
    refuse(
        close(file, &again),
        &["index: expected blocks one after the other"],
    );
    let beyond = [(b"w".to_vec(), vec![0x80, 0x80, 0x80, 0x80, 0x40, 9])];
    refuse(
        close(Vec::new(), &beyond),
        &["index: expected blocks one after the other"],
    );
    // Keys of which most is left out, so that a small file becomes many long ones.
    let long = vec![b'k'; 20_000];
    let mut block = [&[0, 0xA0, 0x9C, 0x01, 0][..], &long].concat();
    for tail in 0..1000_u16 {
        block.extend([0xA0, 0x9C, 0x01, 2, 0]);
        block.extend(tail.to_be_bytes());
    }
    block.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    let size = [
        &[0x00][..],
        &[block.len() as u8 | 128, (block.len() >> 7) as u8 | 128, 1],
    ]
    .concat();
    assert_eq!(block.len() >> 14, 1);
    block.push(0);
    let crc = masked(&block).to_le_bytes();
    let file = [&block[..], &crc].concat();
    refuse(
        close(file, &[(b"z".to_vec(), size)]),
        &["block: expected entries with keys"],
    );
    refuse(
        table(&[], 1),
        &["header: expected the number of shards, found none"],
    );
}

/// Opens a checkpoint of the older format with these tensors and numbers.
#[track_caller]
fn refused_single(tensors: &[Vec<u8>], numbers: &[Entry], expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let entries = [&[list(tensors, &int(1, 1))], numbers].concat();
    refused(&single(folder.path(), &entries), "w", expected);
}

#[test]
fn older_files_that_cannot_be() {
    let (all, first, last) = (
        slice(&[None]),
        slice(&[Some((0, 2))]),
        slice(&[Some((2, 2))]),
    );
    let key = |code: &[u8]| [b"\0w\0\x01\x01\x01", code].concat();
    let whole = listed("w", &[2], from_ref(&all));
    let saved_whole = |name, values| saved(&key(&[0x80, 0x7F]), name, &all, values);
    refused_single(
        from_ref(&whole),
        &[],
        &["the numbers of w, part (-)", "no numbers"],
    );
    refused_single(
        from_ref(&whole),
        &[saved_whole("w", &[1.0])],
        &["4 bytes for 2 of float32"],
    );
    refused_single(
        from_ref(&whole),
        &[saved_whole("v", &[1.0; 2])],
        &["those of v, part (-)"],
    );
    // As TensorFlow's own operation writes two tensors of one name.
    let twice = listed("w", &[2], &[all.clone(), all.clone()]);
    refused_single(
        &[twice],
        &[saved_whole("w", &[1.0; 2])],
        &["part (-) of w twice"],
    );
    let again = [whole.clone(), listed("w", &[3], from_ref(&all))];
    refused_single(
        &again,
        &[saved_whole("w", &[1.0; 2])],
        &["list of tensors", "w twice"],
    );

    let parts = listed("w", &[4], &[first.clone(), last.clone()]);
    let saved_first = saved(&key(&[0x80, 0x82]), "w", &first, &[1.0; 2]);
    refused_single(
        &[parts],
        from_ref(&saved_first),
        &["part (2,2)", "no numbers"],
    );
    let hole = listed("w", &[4], from_ref(&first));
    refused_single(
        &[hole],
        from_ref(&saved_first),
        &["x.ckpt[w]", "leave places out"],
    );
    let outside = listed("w", &[1], from_ref(&first));
    refused_single(
        &[outside],
        from_ref(&saved_first),
        &["parts within its shape", "(0,2)"],
    );
    let other_axes = listed("w", &[2, 1], from_ref(&first));
    refused_single(
        &[other_axes],
        from_ref(&saved_first),
        &["parts within its shape"],
    );
    // Nothing is allocated for what is only claimed.
    let claim = listed("w", &[1 << 40], &[first]);
    refused_single(&[claim], &[saved_first], &["leave places out"]);

    let folder = copy("v2");
    let index = folder.path().join("params.ckpt.index");
    fs::rename(index, folder.path().join("other")).unwrap();
    refused(
        &folder.path().join("other"),
        "",
        &["list of tensors: expected one", "ends in .index"],
    );
    let folder = copy("v1");
    let file = folder.path().join("params.ckpt");
    fs::rename(file, folder.path().join("other.index")).unwrap();
    refused(
        &folder.path().join("other.index"),
        "",
        &["number of shards", "older form"],
    );
}
