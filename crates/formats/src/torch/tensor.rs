//! Tensors as the pickle describes them: a view of a storage.

use std::collections::HashMap;
use std::ops::Range;

use crate::pickle::Value;
use half::{bf16, f16};

/// The type of a storage's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 16-bit float with the exponent of a 32-bit one.
    Bf16,
    /// 64-bit float.
    F64,
    /// Integer of so many bytes.
    Int(usize),
}

impl Dtype {
    fn of_storage(name: &str) -> Option<Self> {
        Some(match name {
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "DoubleStorage" => Self::F64,
            "LongStorage" => Self::Int(8),
            "IntStorage" => Self::Int(4),
            "ShortStorage" => Self::Int(2),
            "CharStorage" | "ByteStorage" | "BoolStorage" => Self::Int(1),
            _ => return None,
        })
    }

    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Int(bytes) => bytes,
        }
    }

    /// Whether the elements are numbers that weights can be.
    pub fn is_float(self) -> bool {
        !matches!(self, Self::Int(_))
    }

    /// The element in `bytes`, of which there are as many as it has. Integers are taken as signed.
    fn read(self, bytes: &[u8]) -> f64 {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let [a, b, c, d, ..] = wide;
        match self {
            Self::F32 => f64::from(f32::from_le_bytes([a, b, c, d])),
            Self::F16 => f16::from_le_bytes([a, b]).to_f64(),
            Self::Bf16 => bf16::from_le_bytes([a, b]).to_f64(),
            Self::F64 => f64::from_le_bytes(wide),
            Self::Int(bytes) => {
                let unused = 64 - 8 * bytes as u32;
                ((i64::from_le_bytes(wide) << unused) >> unused) as f64
            }
        }
    }
}

/// How the pickle refers to a storage.
pub(super) struct StorageName {
    pub key: String,
    pub dtype: Dtype,
    count: usize,
}

impl StorageName {
    /// Of ("storage", type, key, device, number of elements), and None behind it in the older form.
    pub fn of(reference: Value<'_>) -> Option<Self> {
        let parts = reference.elements()?;
        let (kind, view) = (parts.first()?.as_str()?, parts.get(5));
        let (_, storage_type) = parts.get(1)?.as_global()?;
        if kind != "storage" || view.is_some_and(|view| !view.is_none()) {
            return None;
        }
        Some(Self {
            key: parts.get(2)?.as_str()?.to_owned(),
            dtype: Dtype::of_storage(storage_type)?,
            count: usize::try_from(parts.get(4)?.as_int()?).ok()?,
        })
    }
}

/// A tensor in a file: a view of a storage, within its bounds.
#[derive(Clone, Debug)]
pub struct TorchTensor {
    /// Type of the elements.
    pub dtype: Dtype,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Elements between neighbours along each axis.
    strides: Vec<usize>,
    /// The byte of the file where the first element is.
    start: usize,
}

impl TorchTensor {
    /// The tensor that `value` describes, in one of the storages; or what was expected and found.
    pub(super) fn of(
        value: Value<'_>,
        storages: &HashMap<String, Range<usize>>,
    ) -> Result<Self, (&'static str, String)> {
        let not_a_tensor = || ("a tensor", value.describe());
        let mut call = value.as_call().ok_or_else(not_a_tensor)?;
        if call.name == "_rebuild_parameter" {
            let inner = call.arguments.first();
            call = inner
                .and_then(|inner| inner.as_call())
                .ok_or_else(not_a_tensor)?;
        }
        if !matches!(call.name, "_rebuild_tensor" | "_rebuild_tensor_v2") {
            return Err(not_a_tensor());
        }
        let [storage, offset, shape, strides, ..] = call.arguments[..] else {
            return Err(not_a_tensor());
        };
        let name = storage.as_persistent().and_then(StorageName::of);
        let name = name.ok_or_else(|| ("a tensor with a storage", storage.describe()))?;
        let range = storages.get(&name.key).ok_or_else(|| {
            let found = format!("no storage {}", name.key);
            ("a tensor whose storage is in the file", found)
        })?;
        if name.count.checked_mul(name.dtype.bytes()) != Some(range.len()) {
            let found = format!("storage {} of {} bytes", name.key, range.len());
            return Err(("a storage as long as the tensor says", found));
        }
        let offset = usize::try_from(offset.as_int().unwrap_or(-1)).ok();
        let view = offset.zip(sides(shape)).zip(sides(strides));
        let ((offset, shape), strides) = view.ok_or_else(not_a_tensor)?;
        if !is_within(name.count, offset, &shape, &strides) {
            let found = format!(
                "shape {shape:?}, strides {strides:?} from element {offset} of {}",
                name.count
            );
            return Err(("a tensor within its storage", found));
        }
        Ok(Self {
            dtype: name.dtype,
            start: range.start + offset * name.dtype.bytes(),
            shape,
            strides,
        })
    }

    /// The elements in row-major order. There may be far more than in the file, where strides are 0:
    /// compare the shape with what is expected first.
    pub(super) fn values(&self, file: &[u8]) -> Vec<f32> {
        let size = self.dtype.bytes();
        let count: usize = self.shape.iter().product();
        let element = |offset: usize| {
            let at = self.start + offset * size;
            self.dtype.read(&file[at..at + size]) as f32
        };
        // Along the last axis, and from row to row by the axes before it.
        let (Some((&width, outer)), Some((&step, strides))) =
            (self.shape.split_last(), self.strides.split_last())
        else {
            return vec![element(0)];
        };
        let mut values = Vec::with_capacity(count);
        for row in 0..count.checked_div(width).unwrap_or(0) {
            let (mut rest, mut base) = (row, 0);
            for (&side, &stride) in outer.iter().zip(strides).rev() {
                base += rest % side * stride;
                rest /= side;
            }
            values.extend((0..width).map(|column| element(base + column * step)));
        }
        values
    }

    /// The element of a tensor that has one.
    pub(super) fn single(&self, file: &[u8]) -> Option<f64> {
        let is_single = self.shape.iter().all(|&side| side == 1);
        is_single.then(|| {
            let bytes = &file[self.start..self.start + self.dtype.bytes()];
            self.dtype.read(bytes)
        })
    }
}

fn sides(value: Value<'_>) -> Option<Vec<usize>> {
    let sides = value.elements()?.into_iter();
    sides
        .map(|side| usize::try_from(side.as_int()?).ok())
        .collect()
}

/// Whether every element is one of the storage's `count`.
fn is_within(count: usize, offset: usize, shape: &[usize], strides: &[usize]) -> bool {
    if shape.len() != strides.len() || offset > count {
        return false;
    }
    if shape.contains(&0) {
        return true;
    }
    let last = shape
        .iter()
        .zip(strides)
        .try_fold(offset, |last, (&side, &stride)| {
            last.checked_add((side - 1).checked_mul(stride)?)
        });
    last.is_some_and(|last| last < count)
}
