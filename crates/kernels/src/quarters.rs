//! Four 1x1 convolutions, each over another one of the four pixels of every square of two by two: what
//! halves the sides of a skip.
//!
//! Of the swish of `x`, `[batch, height, width, c_in]`, to `[batch, height / 2, width / 2, 4 part]`: the first
//! `part` channels from the pixels at even rows and columns, then from odd rows and columns, from odd
//! columns, and from odd rows.

use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::detect::{Kernel, dispatch};
use crate::math::{swish, swish_and_slope};
use crate::multiply::{CHUNK, Product, Rows, multiply};
use crate::pack::Weights;
use crate::parallel::{Job, Shared, enter, for_jobs, for_ranges};
use crate::precision::Single;
use crate::rows::{load, store};
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::sizes::{check_images, product};
use crate::tile::Segment;
use crate::weight_gradient::{Block, Run};

use std::ops::Range;

/// Row and column in the square of the pixel that each convolution reads.
const PLACES: [(usize, usize); 4] = [(0, 0), (1, 1), (0, 1), (1, 0)];

/// The shape of the four convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarters {
    pub batch: usize,
    /// Height of the input, even.
    pub height: usize,
    /// Width of the input, even.
    pub width: usize,
    pub c_in: usize,
    /// Outputs of each convolution.
    pub part: usize,
}

/// Gradients in the layout of what they belong to.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Gradients {
    pub x: Vec<f32>,
    pub weights: [Vec<f32>; 4],
    pub biases: [Vec<f32>; 4],
}

impl Quarters {
    fn pixels_out(&self) -> usize {
        self.batch * (self.height / 2) * (self.width / 2)
    }

    fn input_length(&self) -> usize {
        product(&[self.batch, self.height, self.width, self.c_in])
    }

    fn output_length(&self) -> usize {
        product(&[self.pixels_out(), 4, self.part])
    }

    /// Multiplications and additions of a forward pass; each gradient takes as many.
    pub fn operations(&self) -> usize {
        let each = product(&[self.pixels_out(), self.c_in, self.part]);
        8_usize.saturating_mul(each)
    }

    fn check(&self, x: &[f32], weights: &[&[f32]; 4]) {
        let even = self.height.is_multiple_of(2) && self.width.is_multiple_of(2);
        assert!(
            even && self.c_in > 0 && self.part > 0,
            "no squares of two by two, or no channels: {self:?}"
        );
        check_images(
            self.batch,
            self.height,
            self.width,
            self.c_in.max(self.part),
        );
        check_length("x", x.len(), self.input_length());
        for weights in weights {
            check_length("weights", weights.len(), product(&[self.c_in, self.part]));
        }
    }

    /// The pixels of the input that the four convolutions read for a pixel of the output.
    #[inline(always)]
    fn places(&self, pixel: usize) -> [usize; 4] {
        let across = self.width / 2;
        let (row, column) = (pixel / across, pixel % across);
        PLACES.map(|(y, x)| (2 * row + y) * self.width + 2 * column + x)
    }
}

/// Computes the output from `weights` `[c_in, part]` and `biases` `[part]`.
///
/// # Panics
/// If a slice does not have the length that the shape says, or a side is odd.
pub fn forward_new(
    shape: &Quarters,
    x: &[f32],
    weights: &[&[f32]; 4],
    biases: &[&[f32]; 4],
) -> Vec<f32> {
    shape.check(x, weights);
    for bias in biases {
        check_length("bias", bias.len(), shape.part);
    }
    let pixels = shape.pixels_out();
    let mut y = Blank::new(shape.output_length());
    let to = y.at();
    enter(shape.operations(), || {
        let read = activated(shape, x);
        let packed =
            weights.map(|weights| Weights::forward(weights, shape.c_in, shape.part, pixels));
        for_ranges(pixels, 8, shape.operations(), |range| {
            for i in 0..4 {
                let product = Forward {
                    from: (&read[i * shape.c_in..], 4 * shape.c_in),
                    inputs: shape.c_in,
                    weights: &packed[i],
                    bias: Some(biases[i]),
                    outputs: shape.part,
                    // SAFETY: the channels of a convolution.
                    to: unsafe { (Shared(to.after(i * shape.part)), 4 * shape.part) },
                    range: range.clone(),
                };
                dispatch(product);
            }
        });
    });
    // SAFETY: all channels of all pixels were written.
    unsafe { y.written() }
}

/// The gradients with respect to `x`, weights and biases from the one with respect to the output. What others
/// found for the gradient of `x` is added to it.
///
/// # Panics
/// If a slice does not have the length that the shape says, or a side is odd.
pub fn backward_new(
    shape: &Quarters,
    x: &[f32],
    weights: &[&[f32]; 4],
    dy: &[f32],
    other: Option<&[f32]>,
) -> Gradients {
    shape.check(x, weights);
    check_length("dy", dy.len(), shape.output_length());
    if let Some(other) = other {
        check_length("gradient of x", other.len(), x.len());
    }
    let (pixels, c_in, part) = (shape.pixels_out(), shape.c_in, shape.part);
    let mut gradients = Gradients {
        x: vec![0.0; x.len()],
        weights: [(); 4].map(|()| vec![0.0; c_in * part]),
        biases: [(); 4].map(|()| vec![0.0; part]),
    };
    for (i, row) in dy.chunks_exact(part).enumerate() {
        let bias = &mut gradients.biases[i % 4];
        bias.iter_mut().zip(row).for_each(|(b, d)| *b += d);
    }
    let to = Shared(gradients.x.as_mut_ptr());
    let dweights = gradients.weights.each_mut().map(|w| Shared(w.as_mut_ptr()));
    enter(2 * shape.operations(), || {
        let read = activated(shape, x);
        let turned = weights.map(|weights| Weights::transposed(weights, 1, c_in, part, c_in));
        let mut slopes = Scratch::take(read.len());
        let place = Shared(slopes.as_mut_ptr());
        for_ranges(pixels, 8, shape.operations(), |range| {
            for i in 0..4 {
                dispatch(Forward {
                    from: (&dy[i * part..], 4 * part),
                    inputs: part,
                    weights: &turned[i],
                    bias: None,
                    outputs: c_in,
                    // SAFETY: the channels of a convolution.
                    to: unsafe { (Shared(place.after(i * c_in)), 4 * c_in) },
                    range: range.clone(),
                });
            }
        });
        for_ranges(pixels, 8, 40 * slopes.len(), |range| {
            dispatch(Scatter {
                shape,
                x,
                slopes: &slopes,
                other,
                to,
                range,
            });
        });
        let jobs = [0, 1, 2, 3].map(|i| Job {
            count: c_in,
            granule: 16,
            operations: 2 * pixels * c_in * part,
            body: Box::new({
                let (read, dweights) = (&read, &dweights);
                move |range: Range<usize>| {
                    dispatch(WeightGradient {
                        from: &read[i * c_in..],
                        c_in,
                        dy: &dy[i * part..],
                        part,
                        pixels,
                        to: dweights[i],
                        range,
                    });
                }
            }),
        });
        if pixels > 0 {
            for_jobs(&jobs);
        }
    });
    gradients
}

/// The swish of `x`, `[pixels of the output, 4, c_in]`.
fn activated(shape: &Quarters, x: &[f32]) -> Scratch {
    let mut to = Scratch::take(x.len());
    let place = Shared(to.as_mut_ptr());
    for_ranges(shape.pixels_out(), 8, 20 * x.len(), |range| {
        dispatch(Gather {
            shape,
            x,
            to: place,
            range,
        });
    });
    to
}

/// Some pixels of the output.
struct Gather<'a> {
    shape: &'a Quarters,
    x: &'a [f32],
    to: Shared,
    range: Range<usize>,
}

impl Kernel for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.shape.c_in;
        for pixel in self.range {
            let places = self.shape.places(pixel);
            for i in 0..4 {
                for c in (0..n).step_by(S::LANES) {
                    let lanes = S::LANES.min(n - c);
                    // SAFETY: pixels of both buffers, of `to` those that no other range has.
                    unsafe {
                        let x = load(s, self.x.as_ptr().add(places[i] * n + c), lanes);
                        let to = self.to.after((4 * pixel + i) * n + c);
                        store(s, to, swish(s, x), lanes);
                    }
                }
            }
        }
    }
}

/// Rows at regular distances times a matrix.
struct Forward<'a> {
    from: (&'a [f32], usize),
    inputs: usize,
    weights: &'a Weights<'a>,
    bias: Option<&'a [f32]>,
    outputs: usize,
    to: (Shared, usize),
    range: Range<usize>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let segments = [Segment {
            input: 0,
            row: 0,
            rows: self.inputs,
        }];
        let product = Product {
            segments: &segments,
            weights: self.weights,
            bias: self.bias,
            outputs: self.outputs,
            offset: 0,
        };
        let (from, stride) = self.from;
        let (to, to_stride) = self.to;
        let mut row = self.range.start;
        while row < self.range.end {
            let count = CHUNK.min(self.range.end - row);
            // SAFETY: rows of both buffers, of `to` those that no other range has.
            unsafe {
                let from = from.as_ptr().add(row * stride);
                let to = to.after(row * to_stride);
                let rows = Rows::regular(from, stride, to, to_stride, count);
                multiply::<S, Single>(s, &product, &rows);
            }
            row += count;
        }
    }
}

/// The gradient with respect to some pixels of the input, in squares.
struct Scatter<'a> {
    shape: &'a Quarters,
    x: &'a [f32],
    /// `[pixels of the output, 4, c_in]`.
    slopes: &'a [f32],
    other: Option<&'a [f32]>,
    to: Shared,
    range: Range<usize>,
}

impl Kernel for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.shape.c_in;
        for pixel in self.range {
            let places = self.shape.places(pixel);
            for i in 0..4 {
                for c in (0..n).step_by(S::LANES) {
                    let lanes = S::LANES.min(n - c);
                    let at = places[i] * n + c;
                    // SAFETY: pixels of all buffers, of `to` those that no other range has.
                    unsafe {
                        let slope = swish_and_slope(s, load(s, self.x.as_ptr().add(at), lanes)).1;
                        let from = self.slopes.as_ptr().add((4 * pixel + i) * n + c);
                        let mut d = s.mul(load(s, from, lanes), slope);
                        if let Some(other) = self.other {
                            d = s.add(d, load(s, other.as_ptr().add(at), lanes));
                        }
                        store(s, self.to.after(at), d, lanes);
                    }
                }
            }
        }
    }
}

/// Some rows of the gradient of one convolution's weights.
struct WeightGradient<'a> {
    /// Of the convolution; pixels lie four times `c_in` apart.
    from: &'a [f32],
    c_in: usize,
    /// Likewise, four times `part`.
    dy: &'a [f32],
    part: usize,
    pixels: usize,
    to: Shared,
    range: Range<usize>,
}

impl Kernel for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        /// Pixels summed before their sum is added to the gradient.
        const CHUNK: usize = 128;
        let (stride, slope_stride) = (4 * self.c_in, 4 * self.part);
        for first in (0..self.pixels).step_by(CHUNK) {
            let run = Run {
                input: self.from[first * stride..].as_ptr(),
                slope: self.dy[first * slope_stride..].as_ptr(),
                count: CHUNK.min(self.pixels - first),
            };
            let block = Block {
                runs: &[run],
                offset: self.range.start as isize,
                stride,
                rows: self.range.len(),
                outputs: self.part,
                slope_stride,
                to: self.to.0.wrapping_add(self.range.start * self.part),
                to_stride: self.part,
                first: first == 0,
            };
            // SAFETY: rows of the gradient, which no other range has.
            unsafe { block.add::<S, Single>(s) };
        }
    }
}
