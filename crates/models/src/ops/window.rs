//! Convolutions whose kernel lies anywhere over its input: shifted ones, those that halve the sides, and their
//! mirror, which doubles them.

use burn::tensor::Tensor;
use vdvae_kernels::activation::Activation;

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

/// Convolution of the activation of `x` [B, H, W, C_in] with `weight` [kh, kw, C_in, C_out] (twice as many inputs
/// after [`Activation::ConcatElu`]) and `bias` `[C_out]`; returns [B, H', W', C_out], where H' is
/// `(H + top + bottom - kh) / stride + 1`, rounded down. What is activated is not kept for the backward pass, but
/// computed again.
pub fn convolve(
    x: Tensor<4>,
    before: Activation,
    window: &Window,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
) -> Tensor<4> {
    composed::convolve(x, before, window, weight, bias)
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
    composed::convolve_transposed(x, weight, bias, left)
}

/// `x` [B, H, W, C], each image so many rows further down and columns further to the right; zeros come in.
pub fn shift(x: Tensor<4>, rows: usize, columns: usize) -> Tensor<4> {
    composed::shift(x, rows, columns)
}

pub(super) mod composed {
    use super::*;
    use burn::tensor::module::{conv_transpose2d, conv2d};
    use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};

    use crate::ops::composed::activate;

    /// [`super::convolve`] of Burn's operations.
    pub fn convolve(
        x: Tensor<4>,
        before: Activation,
        window: &Window,
        weight: Tensor<4>,
        bias: Option<Tensor<1>>,
    ) -> Tensor<4> {
        let x = padded(activate(x, before), window.padding);
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

    /// `x` [B, H, W, C] with zeros around it.
    fn padded(x: Tensor<4>, padding: Padding) -> Tensor<4> {
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
