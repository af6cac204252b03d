//! .npz files: zip archives of .npy files, as `numpy.savez` and `numpy.savez_compressed` write them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use flate2::read::DeflateDecoder;
use rawzip::{
    CompressionMethod, FileReader, ZipArchive, ZipArchiveEntryWayfinder, ZipArchiveWriter,
    ZipEntry, ZipSliceArchive,
};

use crate::FormatError;
use crate::floats::FloatRows;
use crate::npy::{Header, LONGEST_HEADER, header};
use crate::regular;

/// A compressed array is unpacked into memory up to this size: 4 GiB.
const LARGEST: u64 = 4 << 30;

/// An archive whose bytes are in memory, or mapped into it.
pub struct Npz<B> {
    archive: ZipSliceArchive<B>,
    entries: Vec<Entry>,
    place: String,
}

/// An array in the archive.
struct Entry {
    name: String,
    method: CompressionMethod,
    location: ZipArchiveEntryWayfinder,
}

impl<B: AsRef<[u8]>> Npz<B> {
    /// Reads the archive's directory.
    ///
    /// # Errors
    /// [`FormatError::Mismatch`] at `place` if it is no zip archive, or damaged.
    pub fn open(bytes: B, place: &str) -> Result<Self, FormatError> {
        let damaged = |error| damaged(place, error);
        let archive = ZipArchive::from_slice(bytes).map_err(damaged)?;
        let mut entries = Vec::new();
        let mut records = archive.entries();
        while let Some(record) = records.next_entry().map_err(damaged)? {
            let path = String::from_utf8_lossy(record.file_path().as_ref()).into_owned();
            if let Some(name) = path.strip_suffix(".npy") {
                entries.push(Entry {
                    name: name.to_owned(),
                    method: record.compression_method(),
                    location: record.wayfinder(),
                });
            }
        }
        Ok(Self {
            archive,
            entries,
            place: place.to_owned(),
        })
    }

    /// The arrays' names, in the order of the archive.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// What to call array `index` in messages: `a.npz[x]`.
    pub fn place(&self, index: usize) -> String {
        format!("{}[{}]", self.place, self.entries[index].name)
    }

    /// The first bytes of array `index`'s .npy file, `limit` or as many as it has. Its checksum is not looked at.
    ///
    /// # Errors
    /// [`FormatError::Mismatch`] if the archive is damaged, or packed in another way than NumPy's.
    pub fn start_of(&self, index: usize, limit: usize) -> Result<Vec<u8>, FormatError> {
        let entry = &self.entries[index];
        let located = self.archive.get_entry(entry.location);
        let located = located.map_err(|error| damaged(&self.place, error))?;
        let packed = located.data();
        let mut start = Vec::new();
        let read = match entry.method {
            CompressionMethod::STORE => packed.take(limit as u64).read_to_end(&mut start),
            CompressionMethod::DEFLATE => DeflateDecoder::new(packed)
                .take(limit as u64)
                .read_to_end(&mut start),
            _ => return self.read(index),
        };
        read.map_err(|error| damaged(&self.place(index), error))?;
        Ok(start)
    }

    /// Where in the archive's bytes the .npy file of array `index` is, if it is not compressed. Its checksum is
    /// not looked at.
    ///
    /// # Errors
    /// [`FormatError::Mismatch`] if the archive is damaged.
    pub fn stored(&self, index: usize) -> Result<Option<Range<usize>>, FormatError> {
        let entry = &self.entries[index];
        let located = self.archive.get_entry(entry.location);
        let located = located.map_err(|error| damaged(&self.place, error))?;
        let (start, end) = located.compressed_data_range();
        let range = start as usize..end as usize; // within the bytes, so within the address space
        Ok((entry.method == CompressionMethod::STORE).then_some(range))
    }

    /// The .npy file of array `index`, unpacked, with the checksum that the archive says.
    ///
    /// # Errors
    /// [`FormatError::Mismatch`] if it is damaged, compressed by another method than NumPy's, or unpacks to more
    /// than 4 GiB, whatever the archive claims.
    pub fn read(&self, index: usize) -> Result<Vec<u8>, FormatError> {
        let entry = &self.entries[index];
        let name = self.place(index);
        let located = self.archive.get_entry(entry.location);
        let located = located.map_err(|error| damaged(&self.place, error))?;
        match entry.method {
            CompressionMethod::STORE => whole(located.verifying_reader(located.data()), &name),
            CompressionMethod::DEFLATE => {
                let unpacked = DeflateDecoder::new(located.data());
                whole(located.verifying_reader(unpacked), &name)
            }
            other => Err(other_method(other, &name)),
        }
    }

    /// The archive's bytes.
    pub fn into_bytes(self) -> B {
        self.archive.into_inner()
    }
}

/// All that a reader has, up to [`LARGEST`].
fn whole(reader: impl Read, place: &str) -> Result<Vec<u8>, FormatError> {
    let mut bytes = Vec::new();
    let read = reader.take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(error, place))?;
    if bytes.len() as u64 > LARGEST {
        let expected = format!("at most {LARGEST} bytes when unpacked");
        let remedy = "Unpack the .npz and give the .npy file in it, which stays on the disk";
        return Err(FormatError::mismatch(
            place, "size", expected, "more", remedy,
        ));
    }
    Ok(bytes)
}

fn unreadable(error: io::Error, place: &str) -> FormatError {
    let remedy = "The file is damaged: write it again with numpy.savez";
    FormatError::mismatch(place, "data", "compressed data", error, remedy)
}

fn other_method(found: CompressionMethod, place: &str) -> FormatError {
    FormatError::mismatch(
        place,
        "compression",
        "stored or deflated",
        format!("{found:?}"),
        "Write the file with numpy.savez",
    )
}

fn damaged(place: &str, error: impl ToString) -> FormatError {
    let remedy = "The file is damaged or no .npz: write it again with numpy.savez";
    FormatError::mismatch(place, "archive", "a zip archive", error, remedy)
}

/// What a .npz file of numbers holds.
#[derive(Clone, Debug, Default)]
pub struct FloatArrays {
    /// Text about the arrays: an array of bytes called `metadata`.
    pub metadata: Option<String>,
    /// By name.
    pub arrays: BTreeMap<String, FloatRows>,
}

/// The array of bytes that text about the others is in.
const METADATA: &str = "metadata";

/// Writes a .npz file without compression, of arrays of 32-bit floats: name, shape, and where their
/// little-endian bytes are read.
///
/// # Errors
/// What `writer` or a reader returned.
pub fn write_floats<R: Read>(
    writer: &mut impl Write,
    metadata: &str,
    arrays: impl IntoIterator<Item = (String, Vec<usize>, R)>,
) -> io::Result<()> {
    let mut archive = ZipArchiveWriter::new(writer);
    let shape = [metadata.len()];
    let mut text = metadata.as_bytes();
    entry(&mut archive, METADATA, "|u1", &shape, &mut text)?;
    for (name, shape, mut data) in arrays {
        entry(&mut archive, &name, "<f4", &shape, &mut data)?;
    }
    archive.finish().map_err(io::Error::other)?;
    Ok(())
}

impl FloatArrays {
    /// Finds the arrays of a .npz file for whose name `wanted` is true, of floats. Those that are neither
    /// compressed nor in Fortran's order stay in the file; their checksums are compared here.
    ///
    /// # Errors
    /// If the file cannot be read, is no .npz, or a wanted array is no array of floats.
    pub fn read_npz(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Self, FormatError> {
        let place = path.display().to_string();
        let open = || regular::open(path).map_err(FormatError::io("read", path));
        let damaged = |error| damaged(&place, error);
        let file = Arc::new(open()?);
        let mut buffer = vec![0; rawzip::RECOMMENDED_BUFFER_SIZE];
        let archive = ZipArchive::from_file(open()?, &mut buffer).map_err(damaged)?;
        let mut entries = archive.entries(&mut buffer);
        let mut result = Self::default();
        while let Some(record) = entries.next_entry().map_err(damaged)? {
            let entry = String::from_utf8_lossy(record.file_path().as_ref()).into_owned();
            let Some(name) = entry.strip_suffix(".npy") else {
                continue;
            };
            if name != METADATA && !wanted(name) {
                continue;
            }
            let member = Member {
                entry: archive.get_entry(record.wayfinder()).map_err(damaged)?,
                method: record.compression_method(),
                place: format!("{place}[{name}]"),
            };
            if name == METADATA {
                let npy = member.read()?;
                let header = Header::parse(&npy, &member.place)?;
                let text = String::from_utf8_lossy(&npy[header.data_start..]);
                result.metadata = Some(text.into_owned());
            } else {
                let rows = member.rows(&file)?;
                result.arrays.insert(name.to_owned(), rows);
            }
        }
        Ok(result)
    }
}

/// A .npy file in an archive.
struct Member<'a> {
    entry: ZipEntry<'a, FileReader>,
    method: CompressionMethod,
    place: String,
}

impl Member<'_> {
    /// The whole file, unpacked.
    fn read(&self) -> Result<Vec<u8>, FormatError> {
        let reader = self.entry.reader();
        match self.method {
            CompressionMethod::STORE => whole(self.entry.verifying_reader(reader), &self.place),
            CompressionMethod::DEFLATE => {
                let unpacked = DeflateDecoder::new(reader);
                whole(self.entry.verifying_reader(unpacked), &self.place)
            }
            other => Err(other_method(other, &self.place)),
        }
    }

    /// The array in it, of floats.
    fn rows(&self, file: &Arc<File>) -> Result<FloatRows, FormatError> {
        let (start, end) = self.entry.compressed_data_range();
        let mut beginning = Vec::new();
        let reader = self.entry.reader();
        let first = reader
            .take(LONGEST_HEADER as u64)
            .read_to_end(&mut beginning);
        first.map_err(|error| unreadable(error, &self.place))?;
        let is_stored = self.method == CompressionMethod::STORE;
        if is_stored {
            let header = Header::parse(&beginning, &self.place)?;
            if !header.fortran_order {
                let data = (end - start).saturating_sub(header.data_start as u64);
                let (kind, shape) = header.float_layout(data, &self.place)?;
                let mut checked = self.entry.verifying_reader(self.entry.reader());
                let copied = io::copy(&mut checked, &mut io::sink());
                copied.map_err(|error| unreadable(error, &self.place))?;
                let start = start + header.data_start as u64;
                return Ok(FloatRows::in_file(file.clone(), start, kind, shape));
            }
        }
        let npy = self.read()?;
        let header = Header::parse(&npy, &self.place)?;
        let array = header.floats(&npy, &self.place)?;
        Ok(FloatRows::in_memory(array))
    }
}

/// Adds one .npy file to the archive.
fn entry<W: Write>(
    archive: &mut ZipArchiveWriter<W>,
    name: &str,
    descr: &str,
    shape: &[usize],
    data: &mut dyn Read,
) -> io::Result<()> {
    let path = format!("{name}.npy");
    let builder = archive.new_file(&path);
    let builder = builder.compression_method(CompressionMethod::STORE);
    let (mut file, config) = builder.start().map_err(io::Error::other)?;
    let mut writer = config.wrap(io::BufWriter::new(&mut file));
    writer.write_all(&header(descr, shape))?;
    io::copy(data, &mut writer)?;
    let (buffered, descriptor) = writer.finish().map_err(io::Error::other)?;
    buffered.into_inner().map_err(|error| error.into_error())?;
    file.finish(descriptor).map_err(io::Error::other)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::floats::FloatArray;

    fn arrays() -> BTreeMap<String, FloatArray> {
        let array = |shape: &[usize]| FloatArray {
            shape: shape.to_vec(),
            values: (0..shape.iter().product())
                .map(|i| i as f32 / 3.0)
                .collect(),
        };
        BTreeMap::from([
            ("layer_000/z".to_owned(), array(&[2, 3, 3, 5])),
            ("layer_000/kl_per_image".to_owned(), array(&[2])),
            ("empty".to_owned(), array(&[0, 4])),
        ])
    }

    fn written() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npz");
        let arrays = arrays();
        let bytes = |array: &FloatArray| -> Vec<u8> {
            array
                .values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        };
        let all = arrays.iter().map(|(name, array)| {
            let bytes = io::Cursor::new(bytes(array));
            (name.clone(), array.shape.clone(), bytes)
        });
        let mut file = Vec::new();
        write_floats(&mut file, "{\"a\": \"\u{e4}\"}", all).unwrap();
        fs::write(&path, file).unwrap();
        (folder, path)
    }

    /// All arrays, in memory.
    fn read(path: &Path) -> Result<BTreeMap<String, FloatArray>, FormatError> {
        let arrays = FloatArrays::read_npz(path, |_| true)?.arrays.into_iter();
        Ok(arrays
            .map(|(name, rows)| (name, rows.read(0..rows.shape()[0]).unwrap()))
            .collect())
    }

    #[test]
    fn what_is_written_is_read() {
        let (_folder, path) = written();
        assert_eq!(read(&path).unwrap(), arrays());
        let read = FloatArrays::read_npz(&path, |_| true).unwrap();
        assert_eq!(read.metadata.as_deref(), Some("{\"a\": \"\u{e4}\"}"));
        let some = FloatArrays::read_npz(&path, |name| name.ends_with("/z")).unwrap();
        assert!(some.arrays.keys().eq(["layer_000/z"]));
    }

    #[test]
    fn damaged_files_are_errors_or_the_same_numbers() {
        let (_folder, path) = written();
        let whole = fs::read(&path).unwrap();
        let expected = read(&path).unwrap();
        let mut errors = 0;
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 16;
            fs::write(&path, &flipped).unwrap();
            match read(&path) {
                Ok(read) => {
                    for (name, array) in &read {
                        assert!(expected.values().any(|other| other == array), "{name}");
                    }
                }
                Err(_) => errors += 1,
            }
        }
        assert!(errors > 500, "{errors}");
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(FloatArrays::read_npz(&path, |_| true).is_err(), "{length}");
        }
    }
}
