//! Convolutions whose kernel lies anywhere over its input: shifted ones, those that halve the sides, and their
//! mirror, which doubles them.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use vdvae_kernels::window::{self as kernel, Gradients, Transposed};

use super::before::{Applied, Before};
use super::fused::{CpuOperation, apply, host_slice, is_cpu};

/// Rows and columns of zeros around an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Padding {
    pub top: usize,
    pub bottom: usize,
    pub left: usize,
    pub right: usize,
}

/// How a convolution lies over its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Zeros around the (activated) input.
    pub padding: Padding,
    /// Pixels from one place of the kernel to the next, 1 or 2, in both directions.
    pub stride: usize,
}

impl Window {
    /// One pixel sees itself.
    pub fn point() -> Self {
        Self {
            kernel: [1, 1],
            padding: Padding::default(),
            stride: 1,
        }
    }

    /// A pixel sees as far in all directions; an odd number of rows and columns.
    pub fn around(kernel: usize) -> Self {
        let side = kernel / 2;
        Self {
            kernel: [kernel; 2],
            padding: Padding {
                top: side,
                bottom: side,
                left: side,
                right: side,
            },
            stride: 1,
        }
    }

    /// A pixel sees rows above and its own, as far to the left as to the right; an odd number of columns
    /// ("down-shifted" in PixelCNN++).
    pub fn down(kernel: [usize; 2]) -> Self {
        let side = kernel[1] / 2;
        Self {
            kernel,
            padding: Padding {
                top: kernel[0] - 1,
                left: side,
                right: side,
                ..Padding::default()
            },
            stride: 1,
        }
    }

    /// A pixel sees those above and to the left, and itself ("down-right-shifted" in PixelCNN++).
    pub fn right(kernel: [usize; 2]) -> Self {
        Self {
            kernel,
            padding: Padding {
                top: kernel[0] - 1,
                left: kernel[1] - 1,
                ..Padding::default()
            },
            stride: 1,
        }
    }

    /// The same at every `stride`-th pixel of every `stride`-th row, 1 or 2.
    pub fn with_stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }
}

/// Convolution of what `before` makes of `x` [B, H, W, C_in], an [`Activation`](super::Activation) as a rule, with
/// `weight` [kh, kw, C_in, C_out] (twice as many inputs after `ConcatElu`) and `bias` `[C_out]`; returns
/// [B, H', W', C_out], where H' is `(H + top + bottom - kh) / stride + 1`, rounded down. What is activated is not kept
/// for the backward pass, but computed again.
pub fn convolve<'a>(
    x: Tensor<4>,
    before: impl Into<Before<'a>>,
    window: &Window,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::convolve(x, before, window, weight, bias);
    }
    let [batch, height, width, c_in] = x.dims();
    let before = before.into().of(x.dims());
    let Padding {
        top,
        bottom,
        left,
        right,
    } = window.padding;
    let shape = kernel::Window {
        batch,
        height,
        width,
        c_in,
        c_out: weight.dims()[3],
        activation: before.kernel().activation,
        kernel: window.kernel,
        before: [top, left],
        after: [bottom, right],
        stride: window.stride,
    };
    assert_eq!(
        weight.dims(),
        [
            window.kernel[0],
            window.kernel[1],
            shape.inputs(),
            shape.c_out
        ],
        "weights of {window:?}"
    );
    let operation = Convolution { shape, before };
    let [x, weight] = [x, weight].map(Tensor::into_dispatch);
    match bias {
        Some(bias) => apply(operation, [x, weight, bias.into_dispatch()]),
        None => apply(operation, [x, weight]),
    }
}

#[derive(Clone, Debug)]
struct Convolution {
    shape: kernel::Window,
    before: Applied,
}

/// Of inputs, weights and, where there is one, a bias.
impl<const N: usize> CpuOperation<N> for Convolution {
    type Saved = ();

    fn name(&self) -> String {
        let [rows, columns] = self.shape.kernel;
        format!("conv {rows}x{columns}")
    }

    fn operations(&self) -> usize {
        self.shape.operations()
    }

    fn output_shape(&self) -> Vec<usize> {
        let [height, width] = self.shape.size_out();
        vec![self.shape.batch, height, width, self.shape.c_out]
    }

    fn forward(&self, inputs: [&[f32]; N], saved: Option<&mut Option<()>>) -> Vec<f32> {
        saved.map(|saved| saved.insert(()));
        let bias = inputs.get(2).copied();
        let input = (inputs[0], self.before.kernel());
        kernel::forward_new(&self.shape, input, inputs[1], bias)
    }

    fn backward(
        &self,
        inputs: [&[f32]; N],
        _: &(),
        gradient: &[f32],
        wanted: [bool; N],
        earlier: &mut [Option<FlexTensor>; N],
    ) -> [Option<Vec<f32>>; N] {
        let other = if wanted[0] { earlier[0].take() } else { None };
        all(kernel::backward_new(
            &self.shape,
            (inputs[0], self.before.kernel()),
            inputs[1],
            gradient,
            N > 2,
            wanted[0],
            other.as_ref().map(host_slice),
        ))
    }
}

/// Gradients in the order of inputs.
fn all<const N: usize>(gradients: Gradients) -> [Option<Vec<f32>>; N] {
    let Gradients { x, weights, bias } = gradients;
    let mut all = [x, Some(weights), Some(bias)].into_iter();
    std::array::from_fn(|_| all.next().flatten())
}

/// Transposed convolution with stride 2 of `x` [B, H, W, C_in] with `weight` [kh, kw, C_in, C_out] and `bias`
/// `[C_out]`, cropped to [B, 2H, 2W, C_out]: row and column (2r + i, 2c + j - left) get what pixel (r, c) and tap
/// (i, j) give. `left` columns are cut off, 1 for a kernel of three columns. Places that no tap reaches are the
/// bias.
pub fn convolve_transposed(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    left: usize,
) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::convolve_transposed(x, weight, bias, left);
    }
    let [batch, height, width, c_in] = x.dims();
    let [rows, columns, _, c_out] = weight.dims();
    let shape = Transposed {
        batch,
        height,
        width,
        c_in,
        c_out,
        kernel: [rows, columns],
        left,
    };
    let [x, weight] = [x, weight].map(Tensor::into_dispatch);
    match bias {
        Some(bias) => apply(shape, [x, weight, bias.into_dispatch()]),
        None => apply(shape, [x, weight]),
    }
}

/// Of inputs, weights and, where there is one, a bias.
impl<const N: usize> CpuOperation<N> for Transposed {
    type Saved = ();

    fn name(&self) -> String {
        let [rows, columns] = self.kernel;
        format!("transposed conv {rows}x{columns}")
    }

    fn operations(&self) -> usize {
        Transposed::operations(self)
    }

    fn output_shape(&self) -> Vec<usize> {
        vec![self.batch, 2 * self.height, 2 * self.width, self.c_out]
    }

    fn forward(&self, inputs: [&[f32]; N], saved: Option<&mut Option<()>>) -> Vec<f32> {
        saved.map(|saved| saved.insert(()));
        kernel::transposed_forward_new(self, inputs[0], inputs[1], inputs.get(2).copied())
    }

    fn backward(
        &self,
        inputs: [&[f32]; N],
        _: &(),
        gradient: &[f32],
        _: [bool; N],
        earlier: &mut [Option<FlexTensor>; N],
    ) -> [Option<Vec<f32>>; N] {
        let other = earlier[0].take();
        let other = other.as_ref().map(host_slice);
        let [x, weight] = [inputs[0], inputs[1]];
        all(kernel::transposed_backward_new(
            self,
            x,
            weight,
            gradient,
            N > 2,
            other,
        ))
    }
}

pub(super) mod composed {
    use super::*;
    use burn::tensor::module::{conv_transpose2d, conv2d};
    use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};

    use crate::ops::before;

    /// [`super::convolve`] of Burn's operations.
    pub fn convolve<'a>(
        x: Tensor<4>,
        before: impl Into<Before<'a>>,
        window: &Window,
        weight: Tensor<4>,
        bias: Option<Tensor<1>>,
    ) -> Tensor<4> {
        let x = before::composed::before(x, before.into());
        let x = padded(x, window.padding);
        let strides = [window.stride; 2];
        let options = ConvOptions::new(strides, [0, 0], [1, 1], 1);
        let weight = weight.permute([3, 2, 0, 1]); // [C_out, C_in, kh, kw]
        conv2d(x.permute([0, 3, 1, 2]), weight, bias, options).permute([0, 2, 3, 1])
    }

    /// [`super::convolve_transposed`] of Burn's operations.
    pub fn convolve_transposed(
        x: Tensor<4>,
        weight: Tensor<4>,
        bias: Option<Tensor<1>>,
        left: usize,
    ) -> Tensor<4> {
        let [_, height, width, _] = x.dims();
        let weight = weight.permute([2, 3, 0, 1]); // [C_in, C_out, kh, kw]
        let options = ConvTransposeOptions::new([2, 2], [0, 0], [0, 0], [1, 1], 1);
        let y = conv_transpose2d(x.permute([0, 3, 1, 2]), weight, None, options);
        let y = y.permute([0, 2, 3, 1]);
        // As many rows and columns as are cut out, at least.
        let [_, rows, columns, _] = y.dims();
        let missing = Padding {
            bottom: (2 * height).saturating_sub(rows),
            right: (left + 2 * width).saturating_sub(columns),
            ..Padding::default()
        };
        let y = padded(y, missing).narrow(1, 0, 2 * height);
        let y = y.narrow(2, left, 2 * width);
        match bias {
            Some(bias) => y + bias.unsqueeze(),
            None => y,
        }
    }

    /// `x` [B, H, W, C] with zeros around it.
    pub(in crate::ops) fn padded(x: Tensor<4>, padding: Padding) -> Tensor<4> {
        let device = x.device();
        let grown = |x: Tensor<4>, axis, [before, after]: [usize; 2]| {
            let zeros = |count| {
                let mut shape = x.dims();
                shape[axis] = count;
                Tensor::<4>::zeros(shape, &device)
            };
            let parts = [(before, None), (1, Some(x.clone())), (after, None)];
            let parts = parts.into_iter().filter(|part| part.0 > 0);
            Tensor::cat(
                parts.map(|(n, x)| x.unwrap_or_else(|| zeros(n))).collect(),
                axis,
            )
        };
        let x = grown(x, 1, [padding.top, padding.bottom]);
        grown(x, 2, [padding.left, padding.right])
    }
}
