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
    /// One of the file's tensors, by its index. Named twice, it is one tensor with two names.
    Tensor(usize),
    /// A tensor of its own, without axes, of one 64-bit integer.
    Count(i64),
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
    let mut script = Script::new(tensors);
    script.append(object);
    let Script { pickle, counts, .. } = script;
    entry(
        &mut archive,
        "archive/data.pkl",
        &[&pickle[..], b"."].concat(),
    )?;
    entry(&mut archive, "archive/byteorder", b"little")?;
    for (index, tensor) in tensors.iter().enumerate() {
        let name = format!("archive/data/{index}");
        entry(&mut archive, &name, &View::data(&tensor))?;
    }
    for (index, count) in counts.iter().enumerate() {
        let name = format!("archive/data/{}", tensors.len() + index);
        entry(&mut archive, &name, &count.to_le_bytes())?;
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

/// The instructions that make an object.
struct Script<'a, 't> {
    pickle: Vec<u8>,
    tensors: &'a [LazyTensor<'t>],
    /// The integers that are tensors, whose storages come after those of `tensors`.
    counts: Vec<i64>,
}

impl<'a, 't> Script<'a, 't> {
    fn new(tensors: &'a [LazyTensor<'t>]) -> Self {
        Self {
            pickle: vec![0x80, 2],
            tensors,
            counts: Vec::new(),
        }
    }

    fn append(&mut self, object: &Object) {
        match object {
            Object::None => self.pickle.push(b'N'),
            Object::Bool(truth) => self.pickle.push(if *truth { 0x88 } else { 0x89 }),
            Object::Int(int) => {
                self.pickle.push(b'J');
                self.pickle.extend(int.to_le_bytes());
            }
            Object::Float(float) => {
                self.pickle.push(b'G');
                self.pickle.extend(float.to_be_bytes());
            }
            Object::Text(text) => self.text(text),
            Object::List(elements) => {
                self.pickle.extend(b"](");
                for element in elements {
                    self.append(element);
                }
                self.pickle.push(b'e');
            }
            Object::Pair(pair) => {
                self.append(&pair.0);
                self.append(&pair.1);
                self.pickle.push(0x86);
            }
            Object::Dict(entries) => {
                self.pickle.extend(b"}(");
                for (key, value) in entries {
                    self.append(key);
                    self.append(value);
                }
                self.pickle.push(b'u');
            }
            Object::Tensor(index) => {
                let shape = &self.tensors[*index].shape;
                self.tensor("FloatStorage", *index, shape);
            }
            Object::Count(count) => {
                self.tensor("LongStorage", self.tensors.len() + self.counts.len(), &[]);
                self.counts.push(*count);
            }
        }
    }

    /// `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`.
    fn tensor(&mut self, storage: &str, index: usize, shape: &[usize]) {
        let count: usize = shape.iter().product();
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        self.pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.pickle.extend(format!("ctorch\n{storage}\n").bytes());
        self.text(&index.to_string());
        self.text("cpu");
        self.size(count);
        self.pickle.extend(b"tQ");
        self.size(0);
        for sides in [shape, &strides] {
            self.pickle.push(b'(');
            for &side in sides {
                self.size(side);
            }
            self.pickle.push(b't');
        }
        self.pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }

    fn text(&mut self, text: &str) {
        self.pickle.push(b'X');
        self.pickle.extend((text.len() as u32).to_le_bytes());
        self.pickle.extend(text.as_bytes());
    }

    /// An integer of 9 bytes, the highest 0: it is not negative.
    fn size(&mut self, size: usize) {
        self.pickle.extend([0x8A, 9]);
        self.pickle.extend((size as u64).to_le_bytes());
        self.pickle.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch::{Dtype, TorchFile, entries, entry};

    #[test]
    fn tensors_with_two_names_and_counts_are_read_again() {
        let tensors = [LazyTensor {
            name: "a".to_owned(),
            shape: vec![2, 1],
            values: Box::new(|| vec![0.5, -3.0]),
        }];
        let object = Object::Dict(vec![
            ("a".into(), Object::Tensor(0)),
            ("batches".into(), Object::Count(1 << 40)),
            ("again".into(), Object::Tensor(0)),
            ("more".into(), Object::Count(-7)),
        ]);
        let path = std::env::temp_dir().join(format!("vdvae-counts-{}.pt", std::process::id()));
        let mut bytes = Vec::new();
        write(&mut bytes, &object, &tensors).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let file = TorchFile::open(&path);
        std::fs::remove_file(&path).unwrap();
        let file = file.unwrap();
        let pickle = file.pickle().unwrap();
        let root = entries(pickle.root()).unwrap();
        let tensor = |name| file.tensor(name, entry(&root, name).unwrap()).unwrap();
        for name in ["a", "again"] {
            assert_eq!(tensor(name).shape, [2, 1]);
            assert_eq!(file.values(&tensor(name)), [0.5, -3.0]);
        }
        for (name, count) in [("batches", (1_u64 << 40) as f64), ("more", -7.0)] {
            assert_eq!(
                (tensor(name).dtype, tensor(name).shape.len()),
                (Dtype::Int(8), 0)
            );
            assert_eq!(file.number(entry(&root, name).unwrap()), Some(count));
        }
    }
}
