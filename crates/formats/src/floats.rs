//! Arrays of floats in files: their types, orders, and rows read when they are asked for.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use ::safetensors::Dtype;
use half::{bf16, f16};

/// How a file holds numbers; all little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatType {
    /// IEEE half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl FloatType {
    /// Of NumPy's name, such as `<f4`.
    pub fn of_npy(descr: &str) -> Option<Self> {
        Some(match descr {
            "<f2" => Self::F16,
            "<f4" => Self::F32,
            "<f8" => Self::F64,
            _ => return None,
        })
    }

    /// Of a tensor in a safetensors file.
    pub fn of_safetensors(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            Dtype::F32 => Self::F32,
            Dtype::F64 => Self::F64,
            _ => return None,
        })
    }

    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The numbers in `bytes`, to the nearest in single precision.
    pub fn read(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F16 => numbers(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Self::Bf16 => numbers(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Self::F32 => numbers(bytes, f32::from_le_bytes),
            Self::F64 => numbers(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
        }
    }
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|&bytes| number(bytes)).collect()
}

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

    /// Of numbers that lie with these distances between neighbours along each axis, all within `values`.
    pub fn strided(values: &[f32], shape: Vec<usize>, strides: &[usize]) -> Self {
        let count = shape.iter().product();
        let place = |mut index: usize| {
            let axes = shape.iter().zip(strides).rev();
            axes.fold(0, |place, (&side, &stride)| {
                let at = index % side;
                index /= side;
                place + at * stride
            })
        };
        let values = (0..count).map(|index| values[place(index)]).collect();
        Self { shape, values }
    }
}

/// An array of which rows are read when they are asked for.
#[derive(Clone, Debug)]
pub struct FloatRows {
    shape: Vec<usize>,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Memory(Arc<[f32]>),
    File {
        file: Arc<File>,
        /// The first number's byte.
        start: u64,
        kind: FloatType,
    },
}

impl FloatRows {
    /// An array in memory.
    pub fn in_memory(array: FloatArray) -> Self {
        Self {
            shape: array.shape,
            source: Source::Memory(array.values.into()),
        }
    }

    /// An array of a file, row-major from the byte `start` on, which is as long as that says.
    pub fn in_file(file: Arc<File>, start: u64, kind: FloatType, shape: Vec<usize>) -> Self {
        Self {
            shape,
            source: Source::File { file, start, kind },
        }
    }

    /// Lengths of the axes, the rows first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The rows, all within the first axis.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(&self, rows: Range<usize>) -> io::Result<FloatArray> {
        let each: usize = self.shape.iter().skip(1).product();
        let mut shape = self.shape.clone();
        if let Some(first) = shape.first_mut() {
            *first = rows.len();
        }
        let numbers = rows.start * each..rows.end * each;
        let values = match &self.source {
            Source::Memory(values) => values[numbers].to_vec(),
            Source::File { file, start, kind } => {
                let width = kind.bytes();
                let mut bytes = vec![0; numbers.len() * width];
                read_at(file, start + (numbers.start * width) as u64, &mut bytes)?;
                kind.read(&bytes)
            }
        };
        Ok(FloatArray { shape, values })
    }
}

/// Without moving the place in the file, which others may be reading.
#[cfg(unix)]
pub(crate) fn read_at(file: &File, start: u64, bytes: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, start)
}

/// One reader after the other, as the place in the file is shared.
#[cfg(not(unix))]
pub(crate) fn read_at(mut file: &File, start: u64, bytes: &mut [u8]) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};

    static READING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = READING.lock();
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read() {
        let doubles = [0.5_f64, -3.0].map(f64::to_le_bytes).concat();
        let halves = [0.5_f32, -3.0].map(|value| f16::from_f32(value).to_le_bytes());
        let upper = [0.5_f32, -3.0].map(|value| bf16::from_f32(value).to_le_bytes());
        assert_eq!(FloatType::F64.read(&doubles), [0.5, -3.0]);
        assert_eq!(FloatType::F16.read(&halves.concat()), [0.5, -3.0]);
        assert_eq!(FloatType::Bf16.read(&upper.concat()), [0.5, -3.0]);
    }

    #[test]
    fn any_order_becomes_row_major() {
        // [[0, 1, 2], [3, 4, 5]], the first axis fastest.
        let fortran = [0.0, 3.0, 1.0, 4.0, 2.0, 5.0];
        let array = FloatArray::strided(&fortran, vec![2, 3], &[1, 2]);
        assert_eq!(array.values, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let empty = FloatArray::strided(&[], vec![0, 3], &[1, 0]);
        assert!(empty.values.is_empty());
    }

    #[test]
    fn rows_of_a_file_and_of_memory_are_the_same() {
        let array = FloatArray {
            shape: vec![4, 2],
            values: (0..8).map(|i| i as f32).collect(),
        };
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = array.values.iter().flat_map(|x| x.to_le_bytes()).collect();
        io::Write::write_all(&mut file, &[&[7; 3], &bytes[..]].concat()).unwrap();
        let on_disk = FloatRows::in_file(Arc::new(file), 3, FloatType::F32, vec![4, 2]);
        let in_memory = FloatRows::in_memory(array);
        for rows in [0..4, 1..3, 3..4, 2..2] {
            let read = on_disk.read(rows.clone()).unwrap();
            assert_eq!(read, in_memory.read(rows.clone()).unwrap());
            assert_eq!(read.shape, [rows.len(), 2]);
        }
        assert!(on_disk.read(3..5).is_err(), "beyond the end");
    }
}
