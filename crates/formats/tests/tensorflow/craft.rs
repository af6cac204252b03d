//! Tables and messages as a test wants them, with the right checksums.

use std::path::{Path, PathBuf};

pub type Entry = (Vec<u8>, Vec<u8>);

/// A table of these keys and values, in this order, so many in a block.
pub fn table(entries: &[Entry], in_block: usize) -> Vec<u8> {
    let (mut file, mut index) = (Vec::new(), Vec::new());
    for block in entries.chunks(in_block) {
        let place = push_block(&mut file, block, 0);
        index.push((block[block.len() - 1].0.clone(), place));
    }
    close(file, &index)
}

/// What stands behind the blocks of a table.
pub fn close(mut file: Vec<u8>, index: &[Entry]) -> Vec<u8> {
    let mut footer = push_block(&mut file, &[], 0);
    footer.extend(push_block(&mut file, index, 0));
    footer.resize(40, 0);
    footer.extend(0xDB47_7524_8B80_FB57_u64.to_le_bytes());
    file.extend(footer);
    file
}

/// Adds a block that says it is compressed so; its place.
pub fn push_block(file: &mut Vec<u8>, entries: &[Entry], compression: u8) -> Vec<u8> {
    let (mut block, mut whole) = (Vec::new(), Vec::new());
    let mut last: &[u8] = &[];
    for (index, (key, value)) in entries.iter().enumerate() {
        let mut shared = last.iter().zip(key).take_while(|(a, b)| a == b).count();
        if index % 16 == 0 {
            shared = 0;
            whole.push(block.len() as u32);
        }
        for length in [shared, key.len() - shared, value.len()] {
            block.extend(varint(length as u64));
        }
        block.extend(&key[shared..]);
        block.extend(value);
        last = key;
    }
    let count = whole.len() as u32;
    block.extend(whole.into_iter().chain([count]).flat_map(u32::to_le_bytes));
    let place = [varint(file.len() as u64), varint(block.len() as u64)].concat();
    block.push(compression);
    let crc = masked(&block);
    file.extend(block);
    file.extend(crc.to_le_bytes());
    place
}

pub fn masked(bytes: &[u8]) -> u32 {
    let crc = crc32c::crc32c(bytes);
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A field with a number.
pub fn int(field: u64, number: i64) -> Vec<u8> {
    [varint(8 * field), varint(number.cast_unsigned())].concat()
}

/// A field with bytes, or a message.
pub fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    [
        &varint(8 * field + 2),
        &varint(content.len() as u64),
        content,
    ]
    .concat()
}

/// `TensorShapeProto`.
pub fn shape(sides: &[i64]) -> Vec<u8> {
    let sides = sides.iter().map(|&side| bytes(2, &int(1, side)));
    sides.collect::<Vec<_>>().concat()
}

/// `TensorSliceProto` of first places and lengths, or of nothing for a whole axis.
pub fn slice(axes: &[Option<(i64, i64)>]) -> Vec<u8> {
    let axes = axes.iter().map(|axis| {
        let extent = axis.map(|(start, length)| [int(1, start), int(2, length)].concat());
        bytes(1, &extent.unwrap_or_default())
    });
    axes.collect::<Vec<_>>().concat()
}

/// `BundleEntryProto` of floats: shape, shard, where, how many bytes, their checksum.
pub fn entry(sides: &[i64], shard: i64, start: i64, size: i64, data: &[u8]) -> Vec<u8> {
    [
        int(1, 1),
        bytes(2, &shape(sides)),
        int(3, shard),
        int(4, start),
        int(5, size),
        vec![0x35],
        masked(data).to_le_bytes().to_vec(),
    ]
    .concat()
}

/// `BundleHeaderProto` of a shard, with further fields.
pub fn header(fields: &[u8]) -> Entry {
    (Vec::new(), [&int(1, 1), fields].concat())
}

/// A checkpoint of the newer format, its data in one shard.
pub fn bundle(folder: &Path, entries: &[Entry], data: &[u8]) -> PathBuf {
    let prefix = folder.join("x");
    std::fs::write(folder.join("x.index"), table(entries, 3)).unwrap();
    std::fs::write(folder.join("x.data-00000-of-00001"), data).unwrap();
    prefix
}

/// `SavedSliceMeta` of a tensor of floats and its slices.
pub fn listed(name: &str, sides: &[i64], slices: &[Vec<u8>]) -> Vec<u8> {
    let slices = slices.iter().flat_map(|slice| bytes(4, slice));
    let about = [
        bytes(1, name.as_bytes()),
        bytes(2, &shape(sides)),
        int(3, 1),
    ];
    about.concat().into_iter().chain(slices).collect()
}

/// The first entry of a checkpoint of the older format.
pub fn list(tensors: &[Vec<u8>], versions: &[u8]) -> Entry {
    let tensors = tensors.iter().flat_map(|tensor| bytes(1, tensor));
    let list: Vec<u8> = tensors.chain(bytes(2, versions)).collect();
    (Vec::new(), bytes(1, &list))
}

/// Numbers of a slice in the older format, under their key.
pub fn saved(key: &[u8], name: &str, slice: &[u8], values: &[f32]) -> Entry {
    let values: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let saved = [
        bytes(1, name.as_bytes()),
        bytes(2, slice),
        bytes(3, &bytes(5, &values)),
    ];
    (key.to_vec(), bytes(2, &saved.concat()))
}

/// A checkpoint of the older format.
pub fn single(folder: &Path, entries: &[Entry]) -> PathBuf {
    let path = folder.join("x.ckpt");
    std::fs::write(&path, table(entries, 2)).unwrap();
    path
}
