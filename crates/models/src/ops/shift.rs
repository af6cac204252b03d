//! Images moved by whole pixels.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use vdvae_kernels::elementwise::shift as kernel;

use super::fused::{CpuOperation, apply, is_cpu};

/// `x` [B, H, W, C], each image so many rows further down and columns further to the right; zeros come in.
pub fn shift(x: Tensor<4>, rows: usize, columns: usize) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::shift(x, rows, columns);
    }
    let [batch, height, width, channels] = x.dims();
    let shape = kernel::Shift {
        batch,
        height,
        width,
        channels,
        rows,
        columns,
    };
    apply(shape, [x.into_dispatch()])
}

impl CpuOperation<1> for kernel::Shift {
    type Saved = ();
    const KEEPS_INPUTS: bool = false;

    fn name(&self) -> String {
        "shift".to_owned()
    }

    fn output_shape(&self) -> Vec<usize> {
        vec![self.batch, self.height, self.width, self.channels]
    }

    fn forward(&self, [x]: [&[f32]; 1], saved: Option<&mut Option<()>>) -> Vec<f32> {
        saved.map(|saved| saved.insert(()));
        let mut y = vec![0.0; x.len()];
        kernel::shift(self, x, &mut y);
        y
    }

    fn backward(
        &self,
        _: [&[f32]; 1],
        _: &(),
        gradient: &[f32],
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<Vec<f32>>; 1] {
        let mut dx = vec![0.0; gradient.len()];
        kernel::shift_backward(self, gradient, &mut dx);
        [Some(dx)]
    }
}

pub(super) mod composed {
    use super::*;
    use crate::ops::window::{Padding, composed::padded};

    /// [`super::shift`] of Burn's operations.
    pub fn shift(x: Tensor<4>, rows: usize, columns: usize) -> Tensor<4> {
        let [_, height, width, _] = x.dims();
        let coming = Padding {
            top: rows,
            left: columns,
            ..Padding::default()
        };
        padded(x, coming).narrow(1, 0, height).narrow(2, 0, width)
    }
}
