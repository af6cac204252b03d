//! Writes the zip archive of `torch.save`.

use std::io::{self, Write};

use rawzip::extra_fields::ExtraFieldId;
use rawzip::{Header, ZipArchiveWriter};
use safetensors::View;

use crate::safetensors::LazyTensor;

/// Storages begin at multiples of this many bytes, so that they can be mapped into memory.
const ALIGNMENT: u64 = 64;
/// The extra field of the zip header that fills the gap, as PyTorch writes it.
const PADDING: ExtraFieldId = ExtraFieldId::new(u16::from_le_bytes(*b"FB"));
/// Bytes of a zip entry's header without its name and extra fields.
const HEADER: u64 = 30;

/// What Python is to find in the file.
#[derive(Clone, Debug)]
pub enum Object {
    /// None.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i32),
    /// A float.
    Float(f64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Object>),
    /// A tuple of two.
    Pair(Box<(Object, Object)>),
    /// A dictionary.
    Dict(Vec<(Object, Object)>),
    /// One of the file's tensors, by its index.
    Tensor(usize),
}

impl From<&str> for Object {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Writes an archive of `object`, whose tensors are `tensors`.
///
/// # Errors
/// What the writer returned.
pub fn write(writer: impl Write, object: &Object, tensors: &[LazyTensor<'_>]) -> io::Result<()> {
    let mut archive = ZipArchiveWriter::new(writer);
    let mut pickle = vec![0x80, 2];
    append(&mut pickle, object, tensors);
    pickle.push(b'.');
    entry(&mut archive, "archive/data.pkl", &pickle)?;
    entry(&mut archive, "archive/byteorder", b"little")?;
    for (index, tensor) in tensors.iter().enumerate() {
        let name = format!("archive/data/{index}");
        entry(&mut archive, &name, &View::data(&tensor))?;
    }
    entry(&mut archive, "archive/version", b"3\n")?;
    archive.finish().map_err(io::Error::other)?.flush()
}

fn entry<W: Write>(
    archive: &mut ZipArchiveWriter<W>,
    name: &str,
    content: &[u8],
) -> io::Result<()> {
    // The field itself has 4 bytes before its content.
    let unpadded = archive.stream_offset() + HEADER + name.len() as u64 + 4;
    let padding = unpadded.next_multiple_of(ALIGNMENT) - unpadded;
    let padding = vec![b'Z'; padding as usize];
    let file = archive
        .new_file(name)
        .extra_field(PADDING, &padding, Header::LOCAL);
    let (mut file, config) = file
        .and_then(|file| file.start())
        .map_err(io::Error::other)?;
    let mut data = config.wrap(&mut file);
    data.write_all(content)?;
    let (_, descriptor) = data.finish().map_err(io::Error::other)?;
    file.finish(descriptor).map_err(io::Error::other)?;
    Ok(())
}

/// Appends the instructions that make `object`.
fn append(pickle: &mut Vec<u8>, object: &Object, tensors: &[LazyTensor<'_>]) {
    match object {
        Object::None => pickle.push(b'N'),
        Object::Bool(truth) => pickle.push(if *truth { 0x88 } else { 0x89 }),
        Object::Int(int) => {
            pickle.push(b'J');
            pickle.extend(int.to_le_bytes());
        }
        Object::Float(float) => {
            pickle.push(b'G');
            pickle.extend(float.to_be_bytes());
        }
        Object::Text(text) => append_text(pickle, text),
        Object::List(elements) => {
            pickle.extend(b"](");
            for element in elements {
                append(pickle, element, tensors);
            }
            pickle.push(b'e');
        }
        Object::Pair(pair) => {
            append(pickle, &pair.0, tensors);
            append(pickle, &pair.1, tensors);
            pickle.push(0x86);
        }
        Object::Dict(entries) => {
            pickle.extend(b"}(");
            for (key, value) in entries {
                append(pickle, key, tensors);
                append(pickle, value, tensors);
            }
            pickle.push(b'u');
        }
        Object::Tensor(index) => append_tensor(pickle, *index, &tensors[*index].shape),
    }
}

/// `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`.
fn append_tensor(pickle: &mut Vec<u8>, index: usize, shape: &[usize]) {
    let count: usize = shape.iter().product();
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    append_text(pickle, "storage");
    pickle.extend(b"ctorch\nFloatStorage\n");
    append_text(pickle, &index.to_string());
    append_text(pickle, "cpu");
    append_size(pickle, count);
    pickle.extend(b"tQ");
    append_size(pickle, 0);
    for sides in [shape, &strides] {
        pickle.push(b'(');
        for &side in sides {
            append_size(pickle, side);
        }
        pickle.push(b't');
    }
    pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
}

fn append_text(pickle: &mut Vec<u8>, text: &str) {
    pickle.push(b'X');
    pickle.extend((text.len() as u32).to_le_bytes());
    pickle.extend(text.as_bytes());
}

/// An integer of 9 bytes, the highest 0: it is not negative.
fn append_size(pickle: &mut Vec<u8>, size: usize) {
    pickle.extend([0x8A, 9]);
    pickle.extend((size as u64).to_le_bytes());
    pickle.push(0);
}
