//! What tensors are: types, shapes, and slices of them.

use std::fmt;
use std::ops::Range;

use super::proto::{Wire, fields};
use crate::floats::FloatType;

/// The type of a tensor's elements. (TensorFlow, `core/framework/types.proto`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// Floats of 16 to 64 bits.
    Float(FloatType),
    /// Whole numbers.
    Int {
        /// Of each.
        bytes: usize,
        /// Whether they can be negative.
        signed: bool,
    },
    /// A byte, 0 or 1.
    Bool,
    /// What cannot be weights, such as texts, by its number: tensors of it are listed, and not read.
    Other(u64),
}

impl Dtype {
    pub(super) fn of(number: u64) -> Self {
        let int = |bytes, signed| Self::Int { bytes, signed };
        match number {
            1 => Self::Float(FloatType::F32),
            2 => Self::Float(FloatType::F64),
            3 => int(4, true),
            4 => int(1, false),
            5 => int(2, true),
            6 => int(1, true),
            9 => int(8, true),
            10 => Self::Bool,
            14 => Self::Float(FloatType::Bf16),
            17 => int(2, false),
            19 => Self::Float(FloatType::F16),
            22 => int(4, false),
            23 => int(8, false),
            other => Self::Other(other),
        }
    }

    /// Bytes of an element, where elements are numbers.
    pub fn bytes(self) -> Option<usize> {
        match self {
            Self::Float(float) => Some(float.bytes()),
            Self::Int { bytes, .. } => Some(bytes),
            Self::Bool => Some(1),
            Self::Other(_) => None,
        }
    }

    /// The numbers in these bytes; `Err` with one that 32-bit floats do not hold.
    pub(super) fn read(self, bytes: &[u8]) -> Result<Vec<f32>, String> {
        match self {
            Self::Float(float) => Ok(float.read(bytes)),
            Self::Bool => Ok(bytes.iter().map(|&byte| f32::from(byte != 0)).collect()),
            Self::Int {
                bytes: size,
                signed,
            } => {
                let numbers = bytes.chunks_exact(size);
                numbers.map(|bytes| exact(int(bytes, signed))).collect()
            }
            Self::Other(_) => Err(self.to_string()),
        }
    }
}

/// Of little-endian bytes, at most eight.
pub(super) fn int(bytes: &[u8], signed: bool) -> i128 {
    let is_negative = signed && bytes.last().is_some_and(|&byte| byte >= 128);
    let mut wide = [if is_negative { 0xFF } else { 0 }; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    i128::from_le_bytes(wide)
}

fn exact(int: i128) -> Result<f32, String> {
    let float = int as f32;
    if float as i128 == int {
        Ok(float)
    } else {
        Err(int.to_string())
    }
}

/// As TensorFlow names it.
impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Float(FloatType::Bf16) => write!(f, "bfloat16"),
            Self::Float(float) => write!(f, "float{}", 8 * float.bytes()),
            Self::Int { bytes, signed } => {
                let sign = if signed { "" } else { "u" };
                write!(f, "{sign}int{}", 8 * bytes)
            }
            Self::Bool => write!(f, "bool"),
            Self::Other(7) => write!(f, "string"),
            Self::Other(8) => write!(f, "complex64"),
            Self::Other(18) => write!(f, "complex128"),
            Self::Other(number) => write!(f, "type {number}"),
        }
    }
}

/// A tensor as a checkpoint lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Of the elements.
    pub dtype: Dtype,
    /// Lengths of the axes, whose product is a `usize`.
    pub shape: Vec<usize>,
}

/// Such as `float32 [3, 2]`.
impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.dtype, self.shape)
    }
}

/// The lengths of the axes in a message (`TensorShapeProto`).
pub(super) fn shape(message: &[u8]) -> Result<Vec<usize>, String> {
    let mut shape = Vec::new();
    for field in fields(message) {
        match field? {
            (2, Wire::Bytes(axis)) => shape.push(side(axis)?),
            (3, Wire::Varint(1)) => return Err("a tensor without a known shape".to_owned()),
            _ => {}
        }
    }
    match shape.iter().try_fold(1_usize, |a, &b| a.checked_mul(b)) {
        Some(_) => Ok(shape),
        None => Err(format!("a shape of {shape:?}")),
    }
}

fn side(axis: &[u8]) -> Result<usize, String> {
    let mut side = 0;
    for field in fields(axis) {
        if let (1, Wire::Varint(size)) = field? {
            side = size;
        }
    }
    length(side)
}

/// Negative numbers are large ones.
fn length(number: u64) -> Result<usize, String> {
    let too_long = |_| format!("an axis of {}", number.cast_signed());
    i64::try_from(number)
        .and_then(usize::try_from)
        .map_err(too_long)
}

/// A part of a tensor: of each axis the first place and how many, or the whole axis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slice(Vec<Option<(usize, usize)>>);

impl Slice {
    /// All of a tensor with so many axes.
    pub fn whole(axes: usize) -> Self {
        Self(vec![None; axes])
    }

    /// Of a message (`TensorSliceProto`).
    pub fn parse(message: &[u8]) -> Result<Self, String> {
        let mut axes = Vec::new();
        for field in fields(message) {
            if let (1, Wire::Bytes(extent)) = field? {
                axes.push(extent_of(extent)?);
            }
        }
        Ok(Self(axes))
    }

    /// Where it lies in a tensor of this shape, if it does.
    pub fn within(&self, shape: &[usize]) -> Option<Vec<Range<usize>>> {
        if self.0.len() != shape.len() {
            return None;
        }
        let axes = self.0.iter().zip(shape);
        axes.map(|(extent, &side)| {
            let (start, length) = extent.unwrap_or((0, side));
            let end = start.checked_add(length)?;
            (end <= side).then_some(start..end)
        })
        .collect()
    }

    /// The key of a part of a tensor in a table: 0, the name, the number of axes, and of each axis first place and
    /// length (-1 for all of it), in codes that sort as what they stand for.
    /// (TensorFlow, `core/util/saved_tensor_slice_util.cc`, `core/lib/strings/ordered_code.cc`.)
    pub fn key(&self, name: &str) -> Vec<u8> {
        let mut key = unsigned(0);
        for &byte in name.as_bytes() {
            key.push(byte);
            if byte == 0 {
                key.push(0xFF);
            }
        }
        key.extend([0, 1]);
        key.extend(unsigned(self.0.len()));
        for extent in &self.0 {
            let (start, length) = extent.map_or((0, -1), |(start, length)| {
                (start as i64, length as i64) // as they were in the file
            });
            key.extend(signed(start));
            key.extend(signed(length));
        }
        key
    }
}

/// As TensorFlow shows it: `0,2:-`.
impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (axis, extent) in self.0.iter().enumerate() {
            let colon = if axis == 0 { "" } else { ":" };
            match extent {
                Some((start, length)) => write!(f, "{colon}{start},{length}")?,
                None => write!(f, "{colon}-")?,
            }
        }
        Ok(())
    }
}

fn extent_of(message: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let (mut start, mut all) = (0, None);
    for field in fields(message) {
        match field? {
            (1, Wire::Varint(number)) => start = length(number)?,
            (2, Wire::Varint(number)) => all = Some(length(number)?),
            _ => {}
        }
    }
    Ok(all.map(|length| (start, length)))
}

/// How many bytes follow, and these, the highest first.
fn unsigned(number: usize) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    let bytes = &bytes[zeros..];
    [&[bytes.len() as u8], bytes].concat()
}

/// As few bytes as hold the number when each lends one bit to the length, which is told by as many leading ones (of
/// a negative number zeros).
fn signed(number: i64) -> Vec<u8> {
    let magnitude = if number < 0 { !number } else { number };
    let bits = 65 - magnitude.leading_zeros();
    let bytes = bits.div_ceil(7);
    let ones = ((1_i128 << bytes) - 1) << (7 * bytes);
    let code = (i128::from(number) ^ ones).to_be_bytes();
    code[code.len() - bytes as usize..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read off files that TensorFlow 2.21 wrote for slices that begin there.
    #[test]
    fn numbers_in_keys_are_those_of_tensorflow() {
        let codes: [(i64, &[u8]); 10] = [
            (-1, &[0x7F]),
            (0, &[0x80]),
            (63, &[0xBF]),
            (64, &[0xC0, 0x40]),
            (8191, &[0xDF, 0xFF]),
            (8192, &[0xE0, 0x20, 0x00]),
            (1_048_575, &[0xEF, 0xFF, 0xFF]),
            (1_048_576, &[0xF0, 0x10, 0x00, 0x00]),
            (200_000_000, &[0xF8, 0x0B, 0xEB, 0xC2, 0x00]),
            (1 << 40, &[0xFD, 0x00, 0x00, 0x00, 0x00, 0x00]),
        ];
        for (number, code) in codes {
            assert_eq!(signed(number), code, "{number}");
        }
        assert_eq!(signed(i64::MAX).len(), 10);
        assert_eq!(unsigned(0), [0]);
        assert_eq!(unsigned(300), [2, 1, 44]);
    }

    #[test]
    fn whole_numbers_are_exact_or_refused() {
        let (long, byte) = (Dtype::of(9), Dtype::of(4));
        assert_eq!(long.read(&(-5_i64).to_le_bytes()).unwrap(), [-5.0]);
        assert_eq!(byte.read(&[200]).unwrap(), [200.0]);
        assert_eq!(Dtype::of(6).read(&[200]).unwrap(), [-56.0]);
        let odd = (1_i64 << 24) + 1;
        assert_eq!(long.read(&odd.to_le_bytes()).unwrap_err(), odd.to_string());
    }
}
