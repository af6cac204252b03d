//! Where in a file the pickle and the storages are.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use crate::pickle::{Pickle, Value};
use rawzip::{CompressionMethod, ZipArchive};

use super::tensor::{Dtype, StorageName};
use super::{GLOBALS, TorchError};

/// The first number of a file in the older form.
const LEGACY_MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// The second.
const LEGACY_PROTOCOL: i128 = 1001;

/// Places in a file.
pub(super) struct Parts {
    /// Of an archive that was saved without checksums: nothing tells whether its bytes are right.
    pub is_unguarded: bool,
    pub pickle: Range<usize>,
    pub storages: HashMap<String, Range<usize>>,
}

/// Finds the parts of a file of either form.
pub(super) fn find(path: &Path, bytes: &[u8]) -> Result<Parts, TorchError> {
    match bytes {
        [b'P', b'K', ..] => archive(bytes).map_err(|fault| fault.at(path)),
        [0x80, ..] => legacy(bytes).map_err(|fault| fault.at(path)),
        _ => Err(TorchError::NotTorch {
            path: path.to_owned(),
            found: describe(bytes),
        }),
    }
}

/// What is wrong, before the file's name is put to it.
enum Fault {
    Damaged(String),
    NotTorch(String),
    Pickle(crate::pickle::PickleError),
}

impl Fault {
    fn at(self, path: &Path) -> TorchError {
        let path = path.to_owned();
        match self {
            Self::Damaged(reason) => TorchError::Damaged { path, reason },
            Self::NotTorch(found) => TorchError::NotTorch { path, found },
            Self::Pickle(source) => TorchError::Pickle { path, source },
        }
    }
}

impl From<rawzip::Error> for Fault {
    fn from(error: rawzip::Error) -> Self {
        Self::Damaged(format!("expected a whole zip archive: {error}"))
    }
}

impl From<crate::pickle::PickleError> for Fault {
    fn from(error: crate::pickle::PickleError) -> Self {
        Self::Pickle(error)
    }
}

fn damaged(reason: impl Into<String>) -> Fault {
    Fault::Damaged(reason.into())
}

/// A zip archive of `TITLE/data.pkl` and `TITLE/data/NAME`, stored without compression.
fn archive(bytes: &[u8]) -> Result<Parts, Fault> {
    let archive = ZipArchive::from_slice(bytes)?;
    let (mut pickle, mut storages) = (None, HashMap::new());
    let (mut right, mut wrong) = (0, None);
    let mut records = archive.entries();
    while let Some(record) = records.next_entry()? {
        let path = String::from_utf8_lossy(record.file_path().as_ref()).into_owned();
        let Some((_, name)) = path.split_once('/') else {
            continue;
        };
        let storage = name.strip_prefix("data/");
        if storage.is_none() && !matches!(name, "data.pkl" | "byteorder") {
            continue;
        }
        if record.compression_method() != CompressionMethod::STORE {
            return Err(damaged(format!(
                "{path}: expected an entry without compression"
            )));
        }
        let located = archive.get_entry(record.wayfinder())?;
        let data = located.data();
        let claim = located.claim_verifier();
        if claim.uncompressed_size != data.len() as u64 {
            return Err(damaged(format!("{path}: its length is another")));
        }
        match claim.crc == rawzip::crc32(data) {
            true if data.is_empty() => {}
            true => right += 1,
            false => wrong = wrong.or(Some(path.clone())),
        }
        let (start, end) = located.compressed_data_range();
        let range = start as usize..end as usize; // within the bytes, as `data` is
        match storage {
            Some(storage) => drop(storages.insert(storage.to_owned(), range)),
            None if name == "data.pkl" => pickle = Some(range),
            None if data != b"little" => return Err(big_endian()),
            None => {}
        }
    }
    // torch.save may be told to compute no checksums, and torch.load does not mind: then none is right. Damage
    // leaves those of other entries.
    if let Some(path) = wrong.as_ref().filter(|_| right > 0) {
        return Err(damaged(format!("{path}: its checksum is another")));
    }
    let no_pickle = || Fault::NotTorch("a zip archive without data.pkl".to_owned());
    Ok(Parts {
        is_unguarded: wrong.is_some(),
        pickle: pickle.ok_or_else(no_pickle)?,
        storages,
    })
}

/// Pickles one after the other: two numbers, the machine's properties, what was saved, the names of the
/// storages; then each storage with its length before it.
fn legacy(bytes: &[u8]) -> Result<Parts, Fault> {
    let mut at = 0;
    let mut next = || -> Result<(Pickle<'_>, Range<usize>), Fault> {
        let (pickle, length) = Pickle::parse_prefix(&bytes[at..], GLOBALS)?;
        at += length;
        Ok((pickle, at - length..at))
    };
    for expected in [LEGACY_MAGIC, LEGACY_PROTOCOL] {
        if next()?.0.root().as_int() != Some(expected) {
            let found = "a pickle that torch.save did not write";
            return Err(Fault::NotTorch(found.to_owned()));
        }
    }
    let (machine, _) = next()?;
    if machine.root().get("little_endian").and_then(Value::as_bool) != Some(true) {
        return Err(big_endian());
    }
    let (object, pickle) = next()?;
    let (names, _) = next()?;
    let types: HashMap<String, Dtype> = object
        .persistent()
        .filter_map(StorageName::of)
        .map(|name| (name.key, name.dtype))
        .collect();
    let names = names.root().elements();
    let names = names.ok_or_else(|| damaged("expected the names of the storages"))?;
    let mut storages = HashMap::new();
    for name in names {
        let name = name.as_str().unwrap_or_default();
        let dtype = types.get(name);
        let dtype = dtype.ok_or_else(|| damaged(format!("storage {name}: no tensor is in it")))?;
        let range = counted(bytes, at, dtype.bytes())
            .ok_or_else(|| damaged(format!("the file ends within storage {name}")))?;
        at = range.end;
        storages.insert(name.to_owned(), range);
    }
    Ok(Parts {
        is_unguarded: false,
        pickle,
        storages,
    })
}

/// Where the elements are whose number stands at `at` in 8 bytes.
fn counted(bytes: &[u8], at: usize, element: usize) -> Option<Range<usize>> {
    let start = at.checked_add(8)?;
    let count = bytes.get(at..start)?.try_into().ok()?;
    let length = usize::try_from(u64::from_le_bytes(count))
        .ok()?
        .checked_mul(element)?;
    let end = start
        .checked_add(length)
        .filter(|&end| end <= bytes.len())?;
    Some(start..end)
}

fn big_endian() -> Fault {
    Fault::NotTorch(
        "one in the byte order of another kind of machine; save it again on a little-endian one"
            .to_owned(),
    )
}

/// What a file is that is none of torch.save's.
fn describe(bytes: &[u8]) -> String {
    /// Bytes that are shown.
    const SHOWN: usize = 24;
    if bytes.is_empty() {
        return "an empty file".to_owned();
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return "a tar archive, as PyTorch before 0.1.10 wrote; save it again with a newer one"
            .to_owned();
    }
    if bytes.get(8) == Some(&b'{') {
        return "a safetensors file".to_owned();
    }
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    format!("a file that begins with {start:?}")
}
