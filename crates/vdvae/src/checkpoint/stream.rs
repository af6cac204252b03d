//! Safetensors, written tensor by tensor.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use burn::tensor::Tensor;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, View};

use crate::parameters::TensorSpec;

/// A tensor that becomes bytes only when they are asked for, so that no checkpoint is in memory whole.
pub(super) struct LazyTensor<'a> {
    pub name: String,
    /// In the layout of files.
    pub shape: Vec<usize>,
    /// As many as the shape says, row-major.
    pub values: Box<dyn Fn() -> Vec<f32> + 'a>,
}

impl LazyTensor<'_> {
    /// The numbers of a model's tensor, or as many that belong to it, `[n]` in the order of memory.
    pub fn new(prefix: &str, spec: &TensorSpec, numbers: Tensor<1>) -> Self {
        let spec = spec.clone();
        Self {
            name: format!("{prefix}{}", spec.name),
            shape: spec.shape.clone(),
            values: Box::new(move || spec.to_file(numbers.clone())),
        }
    }
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

/// The format of safetensors: the header's length, the header, the tensors one after the other.
pub(super) fn write(
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
