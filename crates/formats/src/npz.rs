//! .npz files: zip archives of .npy files, as `numpy.savez` and `numpy.savez_compressed` write them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;

use flate2::read::DeflateDecoder;
use rawzip::{
    CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder, ZipArchiveWriter, ZipSliceArchive,
};

use crate::FormatError;
use crate::npy::{FloatArray, Header, header};

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
        let mut bytes = Vec::new();
        let unpacked = match entry.method {
            CompressionMethod::STORE => located
                .verifying_reader(located.data())
                .read_to_end(&mut bytes),
            CompressionMethod::DEFLATE => located
                .verifying_reader(DeflateDecoder::new(located.data()))
                .take(LARGEST + 1)
                .read_to_end(&mut bytes),
            other => {
                return Err(FormatError::mismatch(
                    &name,
                    "compression",
                    "stored or deflated",
                    format!("{other:?}"),
                    "Write the file with numpy.savez",
                ));
            }
        };
        if entry.method == CompressionMethod::DEFLATE && bytes.len() as u64 > LARGEST {
            let expected = format!("at most {LARGEST} bytes when unpacked");
            let remedy = "Unpack the .npz and give the .npy file in it, which stays on the disk";
            return Err(FormatError::mismatch(
                &name, "size", expected, "more", remedy,
            ));
        }
        unpacked.map_err(|error| {
            let remedy = "The file is damaged: write it again with numpy.savez";
            FormatError::mismatch(&name, "data", "compressed data", error, remedy)
        })?;
        Ok(bytes)
    }

    /// The archive's bytes.
    pub fn into_bytes(self) -> B {
        self.archive.into_inner()
    }
}

fn damaged(place: &str, error: impl ToString) -> FormatError {
    let remedy = "The file is damaged or no .npz: write it again with numpy.savez";
    FormatError::mismatch(place, "archive", "a zip archive", error, remedy)
}

/// What a .npz file of numbers holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatArrays {
    /// Text about the arrays: an array of bytes called `metadata`.
    pub metadata: Option<String>,
    /// By name.
    pub arrays: BTreeMap<String, FloatArray>,
}

impl FloatArrays {
    /// Writes a .npz file without compression. `arrays` need not be in memory all at once.
    ///
    /// # Errors
    /// What `writer` returned.
    pub fn write_npz<'a>(
        writer: &mut impl Write,
        metadata: &str,
        arrays: impl IntoIterator<Item = (String, &'a FloatArray)>,
    ) -> io::Result<()> {
        let mut archive = ZipArchiveWriter::new(writer);
        let shape = [metadata.len()];
        entry(&mut archive, "metadata", "|u1", &shape, &mut |out| {
            out.write_all(metadata.as_bytes())
        })?;
        for (name, array) in arrays {
            entry(&mut archive, &name, "<f4", &array.shape, &mut |out| {
                let mut values = array.values.iter();
                values.try_for_each(|value| out.write_all(&value.to_le_bytes()))
            })?;
        }
        archive.finish().map_err(io::Error::other)?;
        Ok(())
    }

    /// Reads the arrays of a .npz file for whose name `wanted` is true, of 32 or 64 bit floats.
    ///
    /// # Errors
    /// If the file cannot be read, is no .npz, or a wanted array is no array of floats.
    pub fn read_npz(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Self, FormatError> {
        let file = fs::read(path).map_err(FormatError::io("read", path))?;
        let archive = Npz::open(&file[..], &path.display().to_string())?;
        let mut result = Self::default();
        for (index, name) in archive.names().enumerate() {
            if name != "metadata" && !wanted(name) {
                continue;
            }
            let npy = archive.read(index)?;
            let place = archive.place(index);
            let header = Header::parse(&npy, &place)?;
            if name == "metadata" {
                let text = String::from_utf8_lossy(&npy[header.data_start..]);
                result.metadata = Some(text.into_owned());
            } else {
                let array = header.floats(&npy, &place)?;
                result.arrays.insert(name.to_owned(), array);
            }
        }
        Ok(result)
    }
}

/// Adds one .npy file to the archive.
fn entry<W: Write>(
    archive: &mut ZipArchiveWriter<W>,
    name: &str,
    descr: &str,
    shape: &[usize],
    data: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let path = format!("{name}.npy");
    let builder = archive.new_file(&path);
    let builder = builder.compression_method(CompressionMethod::STORE);
    let (mut file, config) = builder.start().map_err(io::Error::other)?;
    let mut writer = config.wrap(io::BufWriter::new(&mut file));
    writer.write_all(&header(descr, shape))?;
    data(&mut writer)?;
    let (buffered, descriptor) = writer.finish().map_err(io::Error::other)?;
    buffered.into_inner().map_err(|error| error.into_error())?;
    file.finish(descriptor).map_err(io::Error::other)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let all = arrays.iter().map(|(name, array)| (name.clone(), array));
        let mut file = Vec::new();
        FloatArrays::write_npz(&mut file, "{\"a\": \"\u{e4}\"}", all).unwrap();
        fs::write(&path, file).unwrap();
        (folder, path)
    }

    #[test]
    fn what_is_written_is_read() {
        let (_folder, path) = written();
        let read = FloatArrays::read_npz(&path, |_| true).unwrap();
        assert_eq!(read.arrays, arrays());
        assert_eq!(read.metadata.as_deref(), Some("{\"a\": \"\u{e4}\"}"));
        let some = FloatArrays::read_npz(&path, |name| name.ends_with("/z")).unwrap();
        assert!(some.arrays.keys().eq(["layer_000/z"]));
    }

    #[test]
    fn damaged_files_are_errors_or_the_same_numbers() {
        let (_folder, path) = written();
        let whole = fs::read(&path).unwrap();
        let expected = FloatArrays::read_npz(&path, |_| true).unwrap();
        let mut errors = 0;
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 16;
            fs::write(&path, &flipped).unwrap();
            match FloatArrays::read_npz(&path, |_| true) {
                Ok(read) => {
                    for (name, array) in &read.arrays {
                        assert!(
                            expected.arrays.values().any(|other| other == array),
                            "{name}"
                        );
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
