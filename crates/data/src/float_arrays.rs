//! .npz files of named arrays of numbers: what NumPy writes and reads, beside images.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveWriter};

use crate::error::DataError;
use crate::npy::Header;

const REMEDY: &str = "Write the file with numpy.savez, arrays of float32";

/// Numbers in row-major order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatArray {
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// As many as the product of the shape.
    pub values: Vec<f32>,
}

impl FloatArray {
    /// Adds the rows (the first axis) of `other`, whose other axes are the same.
    pub fn append(&mut self, other: Self) {
        if self.shape.is_empty() {
            *self = other;
            return;
        }
        debug_assert_eq!(self.shape[1..], other.shape[1..]);
        self.shape[0] += other.shape[0];
        self.values.extend(other.values);
    }
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
    pub fn read_npz(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Self, DataError> {
        let place = path.display().to_string();
        let file = fs::read(path).map_err(DataError::io("read", path))?;
        let damaged = |error: rawzip::Error| {
            let expected = "a zip archive";
            DataError::mismatch(&place, "archive", expected, error, REMEDY)
        };
        let archive = ZipArchive::from_slice(&file[..]).map_err(damaged)?;
        let mut result = Self::default();
        let mut records = archive.entries();
        while let Some(record) = records.next_entry().map_err(damaged)? {
            let path = String::from_utf8_lossy(record.file_path().as_ref()).into_owned();
            let Some(name) = path.strip_suffix(".npy") else {
                continue;
            };
            if name != "metadata" && !wanted(name) {
                continue;
            }
            let entry = archive.get_entry(record.wayfinder()).map_err(damaged)?;
            let method = record.compression_method();
            let place = format!("{place}[{name}]");
            let mut npy = Vec::new();
            let unpacked = match method {
                CompressionMethod::STORE => {
                    entry.verifying_reader(entry.data()).read_to_end(&mut npy)
                }
                CompressionMethod::DEFLATE => entry
                    .verifying_reader(DeflateDecoder::new(entry.data()))
                    .read_to_end(&mut npy),
                other => Err(io::Error::other(format!("compression {other:?}"))),
            };
            let error = |error| {
                DataError::mismatch(&place, "data", "a stored or deflated array", error, REMEDY)
            };
            unpacked.map_err(error)?;
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
    writer.write_all(&npy_header(descr, shape))?;
    data(&mut writer)?;
    let (buffered, descriptor) = writer.finish().map_err(io::Error::other)?;
    buffered.into_inner().map_err(|error| error.into_error())?;
    file.finish(descriptor).map_err(io::Error::other)?;
    Ok(())
}

/// The header of a .npy file (format 1.0) of numbers in C order; `descr` is NumPy's name of their type.
pub fn npy_header(descr: &str, shape: &[usize]) -> Vec<u8> {
    let shape: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let shape = match shape.trim_end() {
        // A tuple of one needs its comma, one of several reads better without.
        one if one.matches(',').count() <= 1 => one,
        several => several.trim_end_matches(','),
    };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The data starts at a multiple of 64 bytes, after a line end.
    let prefix = 10;
    let padding = (64 - (prefix + text.len() + 1) % 64) % 64;
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((text.len() as u16).to_le_bytes());
    header.extend(text.bytes());
    header
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
