//! Checkpoints of TensorFlow: the tensors that a `Saver` or a `Checkpoint` wrote, by their names.
//!
//! Both formats are read. The newer ("V2") is `PREFIX.index` and `PREFIX.data-00000-of-00001`, the older ("V1") a
//! single file, or `PREFIX-00000-of-00002` and so on. Checksums guard names and numbers of both, and are compared. Nothing in a
//! checkpoint is run; the graph (`PREFIX.meta`) is not looked at.

mod bundle;
mod find;
mod proto;
mod slices;
mod table;
mod tensor;
mod version;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::find::Named;
use self::table::{COPY_AGAIN, Table};
use self::tensor::Slice;
use crate::FormatError;
use crate::floats::FloatArray;

pub use tensor::{Dtype, Tensor};

/// A checkpoint of which tensors are read when they are asked for.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    tensors: BTreeMap<String, Listed>,
}

/// A tensor, and where its parts are: one that is the whole, unless its variable was partitioned.
#[derive(Debug)]
struct Listed {
    tensor: Tensor,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    slice: Slice,
    home: Home,
}

/// Where numbers are.
#[derive(Debug)]
enum Home {
    /// In the newer format.
    Shard(bundle::Stored),
    /// In the older.
    Table(Arc<Table>),
}

impl Checkpoint {
    /// Whether a path names what looks like a checkpoint, in one of the ways of [`open`](Self::open).
    pub fn is_one(path: &Path) -> bool {
        find::find(path).is_ok_and(|named| match named {
            Named::Bundle(prefix) => Table::is_one(&find::with(&prefix, ".index")),
            Named::Tables(paths) => paths.iter().all(|path| Table::is_one(path)),
        })
    }

    /// Reads what tensors there are. A checkpoint may be named by
    ///
    /// - what the names of its files begin with, as `Saver.save` returns it;
    /// - one of its files;
    /// - the folder with a file `checkpoint`, which tells the latest, or that file.
    ///
    /// # Errors
    /// It is not there, not whole, of a newer version, of a big-endian machine, or damaged, as far as that shows
    /// without a look at the tensors' numbers.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let (path, tensors) = match find::find(path)? {
            Named::Bundle(prefix) => (find::with(&prefix, ".index"), bundle::open(&prefix)?),
            Named::Tables(paths) => {
                let tensors = slices::open(&paths)?;
                let first = paths.into_iter().next();
                (first.unwrap_or_else(|| path.to_owned()), tensors)
            }
        };
        Ok(Self { path, tensors })
    }

    /// The file with the list of tensors, of several the first.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors' names, types and shapes, in the order of the names.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        let tensors = self.tensors.iter();
        tensors.map(|(name, listed)| (name.as_str(), &listed.tensor))
    }

    /// The numbers of a tensor, row-major, in single precision: floats to the nearest, whole numbers exactly. Those
    /// of a partitioned variable are put together.
    ///
    /// # Errors
    /// There is no tensor of the name; it is no numbers, or whole ones that 32-bit floats do not hold; its bytes
    /// cannot be read, or have another checksum; its parts leave something out, or overlap.
    pub fn read(&self, name: &str) -> Result<FloatArray, FormatError> {
        let wrong = |expected: &str, found: String, remedy: &str| {
            let place = format!("{}[{name}]", self.path.display());
            FormatError::mismatch(&place, "tensor", expected, found, remedy)
        };
        let Some(Listed { tensor, parts }) = self.tensors.get(name) else {
            let remedy = "Look at the names that there are";
            return Err(wrong("a tensor", "none of this name".to_owned(), remedy));
        };
        let Tensor { dtype, shape } = tensor;
        let Some(width) = dtype.bytes() else {
            let remedy = "It cannot be weights: leave it out";
            return Err(wrong("numbers", dtype.to_string(), remedy));
        };
        let mut read = Vec::new();
        for part in parts {
            let place = part.slice.within(shape).ok_or_else(|| {
                let found = format!("part ({})", part.slice);
                wrong("parts within its shape", found, COPY_AGAIN)
            })?;
            let bytes = match &part.home {
                Home::Shard(stored) => stored.read(name)?,
                Home::Table(table) => slices::read(table, name, *dtype, &part.slice)?,
            };
            let elements: usize = place.iter().map(ExactSizeIterator::len).product();
            if elements.checked_mul(width) != Some(bytes.len()) {
                let found = format!("{} bytes for {elements} of {dtype}", bytes.len());
                return Err(wrong("a number for each place", found, COPY_AGAIN));
            }
            let values = dtype.read(&bytes).map_err(|number| {
                let remedy = "It is no weight: leave it out";
                wrong("whole numbers that 32-bit floats hold", number, remedy)
            })?;
            read.push((place, values));
        }
        let values = together(shape, read).map_err(|found| {
            let remedy = "Save it with all parts of the variable";
            wrong(
                "parts that are the whole, each once",
                found.to_owned(),
                remedy,
            )
        })?;
        let shape = shape.clone();
        Ok(FloatArray { shape, values })
    }
}

/// A tensor of its parts; or what is wrong with them.
fn together(
    shape: &[usize],
    mut parts: Vec<(Vec<Range<usize>>, Vec<f32>)>,
) -> Result<Vec<f32>, &'static str> {
    let elements: usize = shape.iter().product();
    let there: usize = parts.iter().map(|(_, values)| values.len()).sum();
    if there < elements {
        return Err("parts that leave places out");
    }
    if parts.len() == 1 {
        return Ok(parts.remove(0).1);
    }
    let mut whole = vec![None; elements];
    for (axes, values) in &parts {
        for (index, &value) in values.iter().enumerate() {
            let mut rest = index;
            let (mut at, mut stride) = (0, 1);
            for (range, side) in axes.iter().zip(shape).rev() {
                at += (range.start + rest % range.len()) * stride;
                rest /= range.len();
                stride *= side;
            }
            if whole[at].replace(value).is_some() {
                return Err("parts that overlap");
            }
        }
    }
    let whole: Option<Vec<f32>> = whole.into_iter().collect();
    whole.ok_or("parts that leave places out")
}
