//! The older format ("V1"): tables that hold a list of tensors and their parts, and each part's numbers.
//! (TensorFlow, `core/util/saved_tensor_slice.proto`.)

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::proto::{Wire, fields, varint};
use super::table::Table;
use super::tensor::{Dtype, Slice, Tensor, int, shape};
use super::{Home, Listed, Part, version};
use crate::FormatError;
use crate::floats::FloatType;

/// The tensors in these files, the shards of one checkpoint.
pub(super) fn open(paths: &[PathBuf]) -> Result<BTreeMap<String, Listed>, FormatError> {
    let mut tensors = BTreeMap::<String, Listed>::new();
    for path in paths {
        let table = Arc::new(Table::open(path)?);
        let mut names = BTreeSet::new();
        for SavedMeta {
            name,
            tensor,
            slices,
        } in list(&table)?
        {
            let wrong = |found| table.damaged("list of tensors", "each once", found);
            if !names.insert(name.clone()) {
                return Err(wrong(format!("{name} twice")));
            }
            // None is read for two.
            let mut distinct = BTreeSet::new();
            if let Some(slice) = slices.iter().find(|slice| !distinct.insert(*slice)) {
                return Err(wrong(format!("part ({slice}) of {name} twice")));
            }
            // Others may be in another shard.
            let known = tensors.entry(name.clone()).or_insert_with(|| Listed {
                tensor: tensor.clone(),
                parts: Vec::new(),
            });
            if known.tensor != tensor {
                let found = format!("{name} as {} and as {tensor}", known.tensor);
                return Err(wrong(found));
            }
            known.parts.extend(slices.into_iter().map(|slice| Part {
                slice,
                home: Home::Table(Arc::clone(&table)),
            }));
        }
    }
    Ok(tensors)
}

/// The list of what is in a table.
fn list(table: &Table) -> Result<Vec<SavedMeta>, FormatError> {
    let damaged = |found| table.damaged("list of tensors", "a whole message", found);
    let first = table.get(&[])?.unwrap_or_default();
    let Some(list) = list_in(&first).map_err(damaged)? else {
        return Err(FormatError::mismatch(
            &table.place,
            "list of tensors",
            "one under the empty key",
            "none",
            "Give a checkpoint; the index of one of the newer form has a name that ends in .index",
        ));
    };
    let mut tensors = Vec::new();
    for field in fields(list) {
        match field.map_err(damaged)? {
            (1, Wire::Bytes(tensor)) => tensors.push(saved_meta(tensor).map_err(damaged)?),
            (2, Wire::Bytes(versions)) => version::check(table, versions)?,
            _ => {}
        }
    }
    Ok(tensors)
}

/// The list in a message (`SavedTensorSlices`).
fn list_in(message: &[u8]) -> Result<Option<&[u8]>, String> {
    let mut list = None;
    for field in fields(message) {
        if let (1, Wire::Bytes(message)) = field? {
            list = Some(message);
        }
    }
    Ok(list)
}

struct SavedMeta {
    name: String,
    tensor: Tensor,
    slices: Vec<Slice>,
}

/// Of a message (`SavedSliceMeta`).
fn saved_meta(message: &[u8]) -> Result<SavedMeta, String> {
    let (mut name, mut dtype, mut axes, mut slices) =
        (String::new(), Dtype::Other(0), Vec::new(), Vec::new());
    for field in fields(message) {
        match field? {
            (1, Wire::Bytes(text)) => name = text_of(text)?,
            (2, Wire::Bytes(message)) => axes = shape(message)?,
            (3, Wire::Varint(number)) => dtype = Dtype::of(number),
            (4, Wire::Bytes(message)) => slices.push(Slice::parse(message)?),
            _ => {}
        }
    }
    let tensor = Tensor { dtype, shape: axes };
    Ok(SavedMeta {
        name,
        tensor,
        slices,
    })
}

fn text_of(bytes: &[u8]) -> Result<String, String> {
    let text = String::from_utf8(bytes.to_vec());
    text.map_err(|_| format!("the name {:?}", String::from_utf8_lossy(bytes)))
}

/// The little-endian numbers of a part of a tensor.
pub(super) fn read(
    table: &Table,
    name: &str,
    dtype: Dtype,
    slice: &Slice,
) -> Result<Vec<u8>, FormatError> {
    let value = table.get(&slice.key(name))?;
    let value = value.ok_or_else(|| "no numbers".to_owned());
    value
        .and_then(|value| numbers_of(&value, name, dtype, slice))
        .map_err(|found| {
            let expected = format!("the numbers of {name}, part ({slice})");
            table.damaged("tensor", expected, found)
        })
}

/// Of a message (`SavedTensorSlices` with a `SavedSlice`) that is for this part.
fn numbers_of(message: &[u8], name: &str, dtype: Dtype, slice: &Slice) -> Result<Vec<u8>, String> {
    let (mut found, mut place, mut tensor) = (String::new(), Slice::whole(0), &[][..]);
    for field in fields(message) {
        let (2, Wire::Bytes(data)) = field? else {
            continue;
        };
        for field in fields(data) {
            match field? {
                (1, Wire::Bytes(text)) => found = text_of(text)?,
                (2, Wire::Bytes(message)) => place = Slice::parse(message)?,
                (3, Wire::Bytes(message)) => tensor = message,
                _ => {}
            }
        }
    }
    if found != name || place != *slice {
        return Err(format!("those of {found}, part ({place})"));
    }
    numbers(tensor, dtype)
}

/// The numbers in a message (`TensorProto`), which has a field for each group of types.
fn numbers(tensor: &[u8], dtype: Dtype) -> Result<Vec<u8>, String> {
    let (field, width) = match dtype {
        Dtype::Float(FloatType::F32) => (5, 4),
        Dtype::Float(FloatType::F64) => (6, 8),
        Dtype::Float(FloatType::F16) => (13, 2),
        Dtype::Int {
            bytes: 8,
            signed: true,
        } => (10, 8),
        // Unsigned numbers of 32 and 64 bits are not written.
        Dtype::Int { bytes, signed } if bytes <= 2 || bytes == 4 && signed => (7, bytes),
        Dtype::Bool => (11, 1),
        _ => return Err(format!("{dtype}, which the older format does not hold")),
    };
    let is_signed = matches!(dtype, Dtype::Int { signed: true, .. });
    let is_fixed = matches!(dtype, Dtype::Float(FloatType::F32 | FloatType::F64));
    let mut bytes = Vec::new();
    for found in fields(tensor) {
        match found? {
            (number, Wire::Bytes(packed)) if number == field && is_fixed => bytes.extend(packed),
            (number, Wire::Bytes(mut packed)) if number == field => {
                while !packed.is_empty() {
                    let number = varint(&mut packed).ok_or("numbers that are cut")?;
                    bytes.extend(narrow(number, width, is_signed)?);
                }
            }
            _ => {}
        }
    }
    Ok(bytes)
}

/// The lowest bytes of a number that is one of this type.
fn narrow(number: u64, width: usize, signed: bool) -> Result<impl Iterator<Item = u8>, String> {
    let bytes = number.to_le_bytes();
    if int(&bytes[..width], signed) != int(&bytes, signed) {
        return Err(format!("{} in {width} bytes", number.cast_signed()));
    }
    Ok(bytes.into_iter().take(width))
}
