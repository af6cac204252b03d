//! The newer format ("V2", since TensorFlow 0.12): PREFIX.index, a table of what is where, and
//! PREFIX.data-00000-of-00001 and so on, the numbers. (TensorFlow, `core/protobuf/tensor_bundle.proto`.)

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::proto::{Wire, fields};
use super::table::{COPY_AGAIN, Table, masked};
use super::tensor::{Dtype, Slice, Tensor, shape};
use super::{Home, Listed, Part, find, version};
use crate::FormatError;
use crate::floats::read_at;

/// Bytes of a shard.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    shard: Arc<Path>,
    start: u64,
    size: u64,
    checksum: u32,
}

impl Stored {
    /// The bytes, of which `name` is, with their checksum.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, FormatError> {
        let read = |source| FormatError::io("read", &self.shard)(source);
        let file = File::open(&self.shard).map_err(read)?;
        let mut bytes = vec![0; self.size as usize]; // within the file as it was opened
        read_at(&file, self.start, &mut bytes).map_err(read)?;
        let computed = masked(crc32c::crc32c(&bytes));
        if computed != self.checksum {
            return Err(FormatError::mismatch(
                &self.shard.display().to_string(),
                "checksum",
                format!("{:#010x} for {name}", self.checksum),
                format!("{computed:#010x}"),
                COPY_AGAIN,
            ));
        }
        Ok(bytes)
    }
}

/// What the index says of a tensor, or of a part of one.
struct Entry {
    tensor: Tensor,
    shard: u64,
    start: u64,
    size: u64,
    checksum: u32,
    /// Not empty if the tensor is stored in parts, which have entries of their own.
    slices: Vec<Slice>,
}

/// The tensors in the files that begin with `prefix`.
pub(super) fn open(prefix: &Path) -> Result<BTreeMap<String, Listed>, FormatError> {
    let index = Table::open(&find::with(prefix, ".index"))?;
    let (mut header, mut entries) = (None, BTreeMap::new());
    index.for_each(|key, value| {
        if key.is_empty() {
            header = Some(value.to_vec());
            return Ok(());
        }
        let entry = Entry::parse(value).map_err(|found| {
            let expected = format!("what is known of {}", String::from_utf8_lossy(key));
            index.damaged("entry", expected, found)
        })?;
        entries.insert(key.to_vec(), entry);
        Ok(())
    })?;
    let mut shards = Shards {
        index: &index,
        prefix,
        count: shards(&index, header.as_deref())?,
        open: BTreeMap::new(),
    };
    let mut tensors = BTreeMap::new();
    for (key, entry) in &entries {
        // Keys of parts begin with 0.
        if key[0] == 0 {
            continue;
        }
        let name = String::from_utf8(key.clone()).map_err(|error| {
            let found = String::from_utf8_lossy(error.as_bytes()).into_owned();
            index.damaged("entry", "names in UTF-8", found)
        })?;
        let parts = parts(&name, entry, &entries, &mut shards)?;
        let tensor = entry.tensor.clone();
        tensors.insert(name, Listed { tensor, parts });
    }
    apart(&index, &tensors)?;
    Ok(tensors)
}

/// How many shards there are, by the header (`BundleHeaderProto`), if it is one that is read here.
fn shards(index: &Table, header: Option<&[u8]>) -> Result<u64, FormatError> {
    let (mut count, mut endianness) = (0, 0);
    for field in fields(header.unwrap_or_default()) {
        match field.map_err(|found| index.damaged("header", "a whole message", found))? {
            (1, Wire::Varint(number)) => count = number,
            (2, Wire::Varint(number)) => endianness = number,
            (3, Wire::Bytes(versions)) => version::check(index, versions)?,
            _ => {}
        }
    }
    let mismatch = |field, expected, found, remedy| {
        FormatError::mismatch(&index.place, field, expected, found, remedy)
    };
    if endianness != 0 {
        let (expected, found) = ("little-endian numbers", "those of another kind of machine");
        let remedy = "Save the checkpoint again on a little-endian machine";
        return Err(mismatch("byte order", expected, found, remedy));
    }
    if count == 0 {
        let (expected, found) = ("the number of shards", "none");
        let remedy = "Give the .index of a checkpoint; a file of the older form has another name";
        return Err(mismatch("header", expected, found, remedy));
    }
    Ok(count)
}

impl Entry {
    /// Of a message (`BundleEntryProto`).
    fn parse(message: &[u8]) -> Result<Self, String> {
        let mut entry = Self {
            tensor: Tensor {
                dtype: Dtype::Other(0),
                shape: Vec::new(),
            },
            shard: 0,
            start: 0,
            size: 0,
            checksum: 0,
            slices: Vec::new(),
        };
        for field in fields(message) {
            match field? {
                (1, Wire::Varint(number)) => entry.tensor.dtype = Dtype::of(number),
                (2, Wire::Bytes(message)) => entry.tensor.shape = shape(message)?,
                (3, Wire::Varint(number)) => entry.shard = number,
                (4, Wire::Varint(number)) => entry.start = number,
                (5, Wire::Varint(number)) => entry.size = number,
                (6, Wire::Fixed32(bytes)) => entry.checksum = u32::from_le_bytes(bytes),
                (7, Wire::Bytes(message)) => entry.slices.push(Slice::parse(message)?),
                _ => {}
            }
        }
        Ok(entry)
    }
}

/// The parts of a tensor: the whole, or its slices.
fn parts(
    name: &str,
    entry: &Entry,
    entries: &BTreeMap<Vec<u8>, Entry>,
    shards: &mut Shards<'_>,
) -> Result<Vec<Part>, FormatError> {
    let whole = Slice::whole(entry.tensor.shape.len());
    if entry.slices.is_empty() {
        let home = Home::Shard(shards.locate(name, entry)?);
        return Ok(vec![Part { slice: whole, home }]);
    }
    let mut parts = Vec::new();
    for slice in &entry.slices {
        let wrong = |found: String| {
            let expected = format!("part {slice} of {name}");
            shards.index.damaged("entry", expected, found)
        };
        let part = entries.get(&slice.key(name));
        let part = part.ok_or_else(|| wrong("no entry".to_owned()))?;
        let lengths = slice.within(&entry.tensor.shape);
        let lengths = lengths.map(|axes| axes.iter().map(ExactSizeIterator::len).collect());
        let Tensor { dtype, shape } = &part.tensor;
        if *dtype != entry.tensor.dtype || Some(shape) != lengths.as_ref() {
            let whole = &entry.tensor;
            return Err(wrong(format!(
                "{dtype} {shape:?} for a part of {} {:?}",
                whole.dtype, whole.shape
            )));
        }
        parts.push(Part {
            slice: slice.clone(),
            home: Home::Shard(shards.locate(name, part)?),
        });
    }
    Ok(parts)
}

/// The files with the numbers.
struct Shards<'a> {
    index: &'a Table,
    prefix: &'a Path,
    count: u64,
    /// Those that entries are in, with their lengths.
    open: BTreeMap<u64, (Arc<Path>, u64)>,
}

impl Shards<'_> {
    /// Where an entry's bytes are: within a file that is there.
    fn locate(&mut self, name: &str, entry: &Entry) -> Result<Stored, FormatError> {
        let Tensor { dtype, shape } = &entry.tensor;
        let elements = shape.iter().product::<usize>() as u64;
        let bytes = dtype
            .bytes()
            .map_or(Some(entry.size), |bytes| elements.checked_mul(bytes as u64));
        if bytes != Some(entry.size) {
            let expected = format!("as many bytes as {dtype} {shape:?} takes for {name}");
            return Err(self.index.damaged("entry", expected, entry.size));
        }
        let (shard, length) = self.shard(entry.shard, name)?;
        let end = entry.start.checked_add(entry.size);
        if end.is_none_or(|end| end > length || usize::try_from(entry.size).is_err()) {
            let Entry { start, size, .. } = entry;
            return Err(FormatError::mismatch(
                &shard.display().to_string(),
                "length",
                format!("{size} bytes of {name} from byte {start} on"),
                format!("a file of {length} bytes"),
                "It is truncated, or of another checkpoint: copy it again together with its .index",
            ));
        }
        Ok(Stored {
            shard,
            start: entry.start,
            size: entry.size,
            checksum: entry.checksum,
        })
    }

    fn shard(&mut self, number: u64, name: &str) -> Result<(Arc<Path>, u64), FormatError> {
        let count = self.count;
        if number >= count {
            let expected = format!("one of {count} shards for {name}");
            return Err(self.index.damaged("entry", expected, number));
        }
        let place = match self.open.entry(number) {
            btree_map::Entry::Occupied(known) => return Ok(known.get().clone()),
            btree_map::Entry::Vacant(place) => place,
        };
        let path: PathBuf = find::with(self.prefix, &format!(".data-{number:05}-of-{count:05}"));
        let length = std::fs::metadata(&path).map(|metadata| metadata.len());
        let length = length.map_err(|error| {
            FormatError::mismatch(
                &self.index.place,
                "shards",
                format!("{} beside it, in which {name} is", path.display()),
                error,
                "Copy all files whose names begin as this one's",
            )
        })?;
        Ok(place.insert((path.into(), length)).clone())
    }
}

/// Whether no bytes are those of two tensors: what is read is then no more than what is there.
fn apart(index: &Table, tensors: &BTreeMap<String, Listed>) -> Result<(), FormatError> {
    let parts = tensors
        .iter()
        .flat_map(|(name, listed)| listed.parts.iter().map(move |part| (name, &part.home)));
    let mut stored: Vec<(&Path, u64, u64, &str)> = parts
        .filter_map(|(name, home)| match home {
            Home::Shard(at) if at.size > 0 => Some((&*at.shard, at.start, at.size, name.as_str())),
            _ => None,
        })
        .collect();
    stored.sort_unstable();
    let overlap = stored.windows(2).find_map(|pair| match *pair {
        [(shard, start, size, one), (next, at, _, other)] if shard == next && start + size > at => {
            Some(format!(
                "the same bytes of {} for {one} and {other}",
                shard.display()
            ))
        }
        _ => None,
    });
    overlap.map_or(Ok(()), |found| {
        Err(index.damaged("entry", "bytes of its own for each tensor", found))
    })
}
