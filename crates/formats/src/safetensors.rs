//! Safetensors, written tensor by tensor.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use ::safetensors::tensor::{Metadata, TensorInfo};
use ::safetensors::{Dtype, View};

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
    metadata: BTreeMap<String, String>,
    tensors: &[LazyTensor<'_>],
) -> io::Result<()> {
    let mut end = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = end;
        end += View::data_len(&tensor);
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape: tensor.shape.clone(),
            data_offsets: (start, end),
        };
        (tensor.name.clone(), info)
    });
    let header = Metadata::new(Some(metadata.into_iter().collect()), infos.collect());
    let mut header = serde_json::to_vec(&header.map_err(io::Error::other)?)?;
    // The data starts at a multiple of its elements' size.
    header.resize(header.len().next_multiple_of(8), b' ');
    writer.write_all(&(header.len() as u64).to_le_bytes())?;
    writer.write_all(&header)?;
    for tensor in tensors {
        writer.write_all(&View::data(&tensor))?;
    }
    Ok(())
}
