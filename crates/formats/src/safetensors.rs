//! Safetensors: read, and written tensor by tensor, the same bytes each time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use ::safetensors::tensor::{Metadata, TensorInfo};
use ::safetensors::{Dtype, View};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::FormatError;
use crate::floats::{FloatRows, FloatType};
use crate::regular;

/// A longer header than this is not read: 100 MB, as the format has it.
const LONGEST_HEADER: u64 = 100_000_000;

/// A tensor that becomes bytes only when they are asked for, so that no checkpoint is in memory whole.
pub struct LazyTensor<'a> {
    /// In the file.
    pub name: String,
    /// In the layout of files.
    pub shape: Vec<usize>,
    /// As many as the shape says, row-major.
    pub values: Box<dyn Fn() -> Vec<f32> + 'a>,
}

impl View for &LazyTensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = (self.values)();
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        bytes.collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        4 * self.shape.iter().product::<usize>()
    }
}

/// Writes a file: the header's length, the header, the tensors one after the other, in their order.
///
/// # Errors
/// What the writer returned.
pub fn write(
    writer: &mut impl Write,
    metadata: &BTreeMap<String, String>,
    tensors: &[LazyTensor<'_>],
) -> io::Result<()> {
    let shapes = tensors.iter().map(|tensor| (&*tensor.name, &*tensor.shape));
    writer.write_all(&header(metadata, shapes)?)?;
    for tensor in tensors {
        writer.write_all(&View::data(&tensor))?;
    }
    Ok(())
}

/// What stands before the data of tensors of 32-bit floats with these names and shapes, one after the other.
/// The library's own has its metadata in another order each time.
///
/// # Errors
/// If there is no JSON of it.
pub fn header<'a>(
    metadata: &BTreeMap<String, String>,
    tensors: impl Iterator<Item = (&'a str, &'a [usize])>,
) -> io::Result<Vec<u8>> {
    let mut end = 0;
    let tensors = tensors
        .map(|(name, shape)| {
            let start = end;
            end += 4 * shape.iter().product::<usize>();
            let info = TensorInfo {
                dtype: Dtype::F32,
                shape: shape.to_vec(),
                data_offsets: (start, end),
            };
            (name, info)
        })
        .collect();
    let mut text = serde_json::to_vec(&Header { metadata, tensors })?;
    // The data starts at a multiple of its elements' size.
    text.resize(text.len().next_multiple_of(8), b' ');
    let length = (text.len() as u64).to_le_bytes();
    Ok([&length, &text[..]].concat())
}

struct Header<'a> {
    metadata: &'a BTreeMap<String, String>,
    tensors: Vec<(&'a str, TensorInfo)>,
}

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.tensors.len()))?;
        map.serialize_entry("__metadata__", self.metadata)?;
        for (name, info) in &self.tensors {
            map.serialize_entry(name, info)?;
        }
        map.end()
    }
}

/// A file of which tensors are read when they are asked for.
#[derive(Debug)]
pub struct SafetensorsFile {
    file: Arc<File>,
    header: Metadata,
    data_start: u64,
    place: String,
}

impl SafetensorsFile {
    /// Whether the file looks like one: a length, then an object.
    pub fn is_one(path: &Path) -> bool {
        let mut start = [0; 9];
        regular::open(path).is_ok_and(|mut file| file.read_exact(&mut start).is_ok())
            && start[8] == b'{'
            && start[..2] != *b"PK"
    }

    /// Reads the header.
    ///
    /// # Errors
    /// If the file cannot be read, is none, or is not as long as it says.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let place = path.display().to_string();
        let damaged = |found: String| {
            let expected = "a whole safetensors file";
            let remedy = "It is not a whole safetensors file: write or copy it again";
            FormatError::mismatch(&place, "header", expected, found, remedy)
        };
        let read = |source| FormatError::io("read", path)(source);
        let mut file = regular::open(path).map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length)
            .map_err(|error| damaged(error.to_string()))?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER.min(size) {
            return Err(damaged(format!("a header of {length} bytes")));
        }
        let mut text = vec![0; length as usize];
        file.read_exact(&mut text)
            .map_err(|error| damaged(error.to_string()))?;
        let header: Metadata =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        let data_start = 8 + length;
        let data = header.data_len() as u64;
        if Some(size) != data.checked_add(data_start) {
            return Err(damaged(format!("{size} bytes, with {data} of data")));
        }
        Ok(Self {
            file: Arc::new(file),
            header,
            data_start,
            place,
        })
    }

    /// What is told in the metadata under this key.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let metadata = self.header.metadata().as_ref()?;
        metadata.get(key).map(String::as_str)
    }

    /// The tensors' names, types and shapes.
    pub fn tensors(&self) -> impl Iterator<Item = (String, Dtype, &[usize])> {
        let names = self.header.offset_keys().into_iter();
        names.filter_map(|name| {
            let info = self.header.info(&name)?;
            Some((name, info.dtype, &*info.shape))
        })
    }

    /// A tensor of floats.
    ///
    /// # Errors
    /// If there is none of this name, or it is of another type.
    pub fn floats(&self, name: &str) -> Result<FloatRows, FormatError> {
        let wrong = |found: String| {
            let expected = format!("floats (F16, BF16, F32 or F64) in {name}");
            let remedy = "Save it as one of these types";
            FormatError::mismatch(&self.place, "tensor", expected, found, remedy)
        };
        let info = self.header.info(name);
        let info = info.ok_or_else(|| wrong("no such tensor".to_owned()))?;
        let kind = FloatType::of_safetensors(info.dtype);
        let kind = kind.ok_or_else(|| wrong(format!("{:?}", info.dtype)))?;
        let start = self.data_start + info.data_offsets.0 as u64;
        let shape = info.shape.clone();
        Ok(FloatRows::in_file(self.file.clone(), start, kind, shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_the_same_each_time_and_is_read() {
        let keys = ["format", "config", "step", "weights", "sha256", "updates"];
        let metadata: BTreeMap<_, _> = keys
            .iter()
            .map(|key| ((*key).to_owned(), format!("{key}!")))
            .collect();
        let tensor = |name: &str, shape: Vec<usize>| LazyTensor {
            name: name.to_owned(),
            values: {
                let count: usize = shape.iter().product();
                Box::new(move || (0..count).map(|i| i as f32 / 3.0).collect())
            },
            shape,
        };
        let tensors = [tensor("b", vec![2, 3]), tensor("a", vec![4])];
        let mut bytes = Vec::new();
        write(&mut bytes, &metadata, &tensors).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
        assert_eq!(
            header.trim_end(),
            r#"{"__metadata__":{"config":"config!","format":"format!","sha256":"sha256!","step":"step!","updates":"updates!","weights":"weights!"},"b":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"a":{"dtype":"F32","shape":[4],"data_offsets":[24,40]}}"#
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        std::fs::write(&path, &bytes).unwrap();
        assert!(SafetensorsFile::is_one(&path));
        let file = SafetensorsFile::open(&path).unwrap();
        assert_eq!(file.metadata("step"), Some("step!"));
        let read = file.floats("b").unwrap().read(1..2).unwrap();
        assert_eq!(read.values, [1.0, 4.0 / 3.0, 5.0 / 3.0]);
        for end in [0, 7, 9, length, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..end]).unwrap();
            assert!(SafetensorsFile::open(&path).is_err(), "{end}");
        }
    }
}
