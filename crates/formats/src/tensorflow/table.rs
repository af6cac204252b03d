//! Tables of sorted keys: the container of both formats, LevelDB's without its filters.
//!
//! A file is blocks, an index block and 48 bytes that say where that is. A block is entries whose keys leave out
//! what they share with the one before, the places at which they do not, one byte for the compression, and a
//! checksum. (TensorFlow, `core/lib/io/table_format.txt`.)

use std::fs::File;
use std::path::Path;

use super::proto::varint;
use crate::FormatError;
use crate::floats::read_at;

/// The last eight bytes of a table.
const MAGIC: [u8; 8] = 0xDB47_7524_8B80_FB57_u64.to_le_bytes();
/// Two places of blocks, padded, and the magic.
const FOOTER: u64 = 48;
/// Behind a block: its compression, and a checksum of 32 bits.
const TRAILER: u64 = 5;
/// A block's keys in full are at most so many times as long as the block. One key in sixteen leaves nothing out.
const LONGEST_KEYS: usize = 64;
/// What to do about damage.
pub(super) const COPY_AGAIN: &str = "The file is damaged: copy or download it again";

/// A table of which blocks are read when they are asked for.
#[derive(Debug)]
pub(super) struct Table {
    pub place: String,
    file: File,
    /// In the order of their keys.
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    /// Not before the last key in it, and before the first of the next.
    last: Vec<u8>,
    at: At,
}

/// Where a block is.
#[derive(Clone, Copy, Debug)]
struct At {
    start: u64,
    size: u64,
}

impl Table {
    /// Whether the file ends as a table does.
    pub fn is_one(path: &Path) -> bool {
        let end = || {
            let file = File::open(path).ok()?;
            let length = file.metadata().ok()?.len();
            let mut magic = [0; MAGIC.len()];
            read_at(&file, length.checked_sub(8)?, &mut magic).ok()?;
            Some(magic)
        };
        path.is_file() && end() == Some(MAGIC)
    }

    /// Reads where the blocks are.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let place = path.display().to_string();
        let read = |source| FormatError::io("read", path)(source);
        let file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        let no_table = |found: String| {
            let expected = "the end of a table of TensorFlow";
            let remedy =
                "It is truncated, or no checkpoint: compare its size with that where it came from";
            FormatError::mismatch(&place, "last 48 bytes", expected, found, remedy)
        };
        let start = length.checked_sub(FOOTER);
        let start = start.ok_or_else(|| no_table(format!("a file of {length} bytes")))?;
        let mut footer = [0; FOOTER as usize];
        read_at(&file, start, &mut footer).map_err(read)?;
        if !footer.ends_with(&MAGIC) {
            return Err(no_table("other bytes".to_owned()));
        }
        let mut rest = &footer[..];
        let at = At::read(&mut rest, start).and_then(|_| At::read(&mut rest, start));
        let at = at.ok_or_else(|| no_table("blocks beyond the end of the file".to_owned()))?;
        let mut table = Self {
            place,
            file,
            blocks: Vec::new(),
        };
        table.blocks = table.index(at, start)?;
        Ok(table)
    }

    fn index(&self, at: At, end: u64) -> Result<Vec<Block>, FormatError> {
        let mut blocks = Vec::new();
        let mut free = 0;
        self.walk(at, |last, mut place| {
            // One after the other, so that no block is read for two.
            let at = At::read(&mut place, end).filter(|at| at.start >= free);
            let at = at.ok_or_else(|| {
                let expected = "blocks one after the other within the file";
                self.damaged("index", expected, "another place")
            })?;
            free = at.start + at.size;
            let last = last.to_vec();
            blocks.push(Block { last, at });
            Ok(())
        })?;
        Ok(blocks)
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, FormatError> {
        let block = self.blocks.partition_point(|block| *block.last < *key);
        let Some(block) = self.blocks.get(block) else {
            return Ok(None);
        };
        let mut value = None;
        self.walk(block.at, |found, content| {
            if found == key {
                value = Some(content.to_vec());
            }
            Ok(())
        })?;
        Ok(value)
    }

    /// Calls `each` with all keys and values.
    pub fn for_each(
        &self,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let mut least: Option<&[u8]> = None;
        for block in &self.blocks {
            self.walk(block.at, |key, value| {
                if least.is_some_and(|least| key <= least) || key > &*block.last {
                    return Err(self.out_of_order(key));
                }
                each(key, value)
            })?;
            least = Some(&block.last);
        }
        Ok(())
    }

    /// Calls `each` with the keys and values of a block, in their order.
    fn walk(
        &self,
        at: At,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let block = self.read(at)?;
        let malformed = || self.damaged("block", "entries with keys", at.describe());
        let mut rest = entries(&block).ok_or_else(malformed)?;
        let mut key: Vec<u8> = Vec::new();
        let (mut is_first, mut keys) = (true, 0);
        while !rest.is_empty() {
            let (shared, own, value) = entry(&mut rest)
                .filter(|(shared, ..)| *shared <= key.len())
                .ok_or_else(malformed)?;
            let is_after = is_first || own > &key[shared..];
            key.truncate(shared);
            key.extend(own);
            keys += key.len();
            if keys > LONGEST_KEYS.saturating_mul(block.len()) {
                return Err(malformed());
            }
            if !is_after {
                return Err(self.out_of_order(&key));
            }
            is_first = false;
            each(&key, value)?;
        }
        Ok(())
    }

    /// A block's bytes, with the checksum that they are to have.
    fn read(&self, at: At) -> Result<Vec<u8>, FormatError> {
        let mut bytes = vec![0; (at.size + TRAILER) as usize]; // within the file
        read_at(&self.file, at.start, &mut bytes)
            .map_err(FormatError::io("read", Path::new(&self.place)))?;
        let trailer = bytes.split_off(at.size as usize);
        let compression = trailer[0];
        let stored = u32::from_le_bytes([trailer[1], trailer[2], trailer[3], trailer[4]]);
        let computed = crc32c::crc32c_append(crc32c::crc32c(&bytes), &[compression]);
        if stored != masked(computed) {
            let expected = format!("{stored:#010x} for the {}", at.describe());
            let found = format!("{:#010x}", masked(computed));
            return Err(self.damaged("checksum", expected, found));
        }
        if compression != 0 {
            let found = match compression {
                1 => "Snappy".to_owned(),
                other => format!("method {other}"),
            };
            return Err(FormatError::mismatch(
                &self.place,
                "compression",
                "blocks without compression, as TensorFlow writes them",
                format!("{found} in the {}", at.describe()),
                "Save the checkpoint again with TensorFlow",
            ));
        }
        Ok(bytes)
    }

    fn out_of_order(&self, key: &[u8]) -> FormatError {
        let found = format!("{:?} twice or too late", String::from_utf8_lossy(key));
        self.damaged("keys", "each once, in their order", found)
    }

    /// An error about this file.
    pub fn damaged(
        &self,
        field: &'static str,
        expected: impl ToString,
        found: impl ToString,
    ) -> FormatError {
        FormatError::mismatch(&self.place, field, expected, found, COPY_AGAIN)
    }
}

impl At {
    /// Takes a place off the start of `rest`: one of a block that ends with its trailer before `end`.
    fn read(rest: &mut &[u8], end: u64) -> Option<Self> {
        let (start, size) = (varint(rest)?, varint(rest)?);
        let last = start.checked_add(size)?.checked_add(TRAILER)?;
        let is_within = last <= end && usize::try_from(size + TRAILER).is_ok();
        is_within.then_some(Self { start, size })
    }

    fn describe(self) -> String {
        format!("block of {} bytes from byte {}", self.size, self.start)
    }
}

/// A block without the list of entries whose keys are whole: as many numbers as the last one says.
fn entries(block: &[u8]) -> Option<&[u8]> {
    let (rest, count) = block.split_last_chunk()?;
    let list = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let end = rest.len().checked_sub(list.checked_mul(4)?)?;
    Some(&rest[..end])
}

/// Takes an entry off the start of `rest`: how many bytes of its key are those of the one before, the others, and
/// its value.
fn entry<'a>(rest: &mut &'a [u8]) -> Option<(usize, &'a [u8], &'a [u8])> {
    let mut length = || usize::try_from(varint(rest)?).ok();
    let (shared, own, value) = (length()?, length()?, length()?);
    let (own, after) = rest.split_at_checked(own)?;
    let (value, after) = after.split_at_checked(value)?;
    *rest = after;
    Some((shared, own, value))
}

/// A checksum as files hold it, changed so that a checksum of bytes with checksums in them is a good one.
pub(super) fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}
