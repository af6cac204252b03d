//! Transposed convolutions of stride 2, to images of twice the sides.

use super::{Gradients, TOGETHER, Taps, Ties, bordered, gather, spread};
use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::detect::dispatch;
use crate::grid::Map;
use crate::groups::Groups;
use crate::layer::{Finish, Source};
use crate::pack::Weights;
use crate::parallel::{Job, Shared, enter, for_items, for_jobs};
use crate::precision::Precision;
use crate::sizes::{check_images, product};
use crate::tile::Segment;
use crate::weight_gradient::{ColumnSums, WeightGradient};

/// The shape of a transposed convolution: pixel (r, c) of `[batch, height, width, c_in]` gives by tap (i, j) to pixel
/// (2 r + i, 2 c + j - left) of `[batch, 2 height, 2 width, c_out]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transposed {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub c_in: usize,
    pub c_out: usize,
    /// Rows and columns.
    pub kernel: [usize; 2],
    /// Columns of the whole output that are cut off.
    pub left: usize,
}

impl Transposed {
    /// Length of the weights, `[kernel, kernel, c_in, c_out]`.
    pub fn weight_length(&self) -> usize {
        product(&[self.kernel[0], self.kernel[1], self.c_in, self.c_out])
    }

    fn input_length(&self) -> usize {
        product(&[self.batch, self.height, self.width, self.c_in])
    }

    /// Length of the output, `[batch, 2 height, 2 width, c_out]`.
    pub fn output_length(&self) -> usize {
        product(&[self.batch, 2 * self.height, 2 * self.width, self.c_out])
    }

    /// Multiplications and additions of a forward pass; each gradient takes as many.
    pub fn operations(&self) -> usize {
        (2 * self.batch * self.height * self.width).saturating_mul(self.weight_length())
    }

    fn ties(&self) -> Ties {
        Ties {
            batch: self.batch,
            fine: [2 * self.height, 2 * self.width],
            coarse: [self.height, self.width],
            kernel: self.kernel,
            before: [0, self.left],
            stride: 2,
        }
    }

    fn check(&self, x: &[f32], weights: &[f32]) {
        assert!(
            self.c_in > 0 && self.c_out > 0 && self.height * self.width > 0,
            "a convolution without pixels or channels: {self:?}"
        );
        let [rows, columns] = self.kernel;
        assert!(rows * columns > 0, "a kernel without taps: {self:?}");
        let (height, width) = (2 * self.height + rows, 2 * self.width + columns + self.left);
        check_images(self.batch, height, width, self.c_in.max(self.c_out));
        check_length("x", x.len(), self.input_length());
        check_length("weights", weights.len(), self.weight_length());
    }
}

/// Computes `[batch, 2 height, 2 width, c_out]`.
///
/// # Panics
/// If a slice does not have the length that the shape says, or there are no channels, pixels or taps.
pub fn transposed_forward_new(
    shape: &Transposed,
    x: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    shape.check(x, weights);
    if let Some(bias) = bias {
        check_length("bias", bias.len(), shape.c_out);
    }
    let ties = shape.ties();
    let x = Map::of(x, ties.coarse_grid(), shape.c_in, Precision::Fp32);
    let mut y = Blank::new(shape.output_length());
    let to = Map {
        at: y.at(),
        grid: ties.fine_grid(),
        channels: shape.c_out,
        precision: Precision::Fp32,
    };
    enter(shape.operations(), || {
        let rows = ties.taps() * shape.c_in;
        let weights = Weights::forward(weights, rows, shape.c_out, x.grid.pixels());
        let taps = Taps {
            weights: &weights,
            reversed: false,
            bias,
            outputs: shape.c_out,
        };
        let together = TOGETHER.div_ceil(shape.height * shape.width);
        for_items(shape.batch, together, shape.operations(), |images| {
            let ties = ties.images(images.len());
            let to = to.images(&images);
            let mut room = None;
            // SAFETY: lengths were checked; ranges of images are disjoint.
            unsafe {
                let from = bordered(x.images(&images), ties.bordered_coarse(), &mut room);
                spread(ties, from, &taps, |grid| Finish::Store {
                    to: to.view(grid),
                    add: None,
                });
            }
        });
    });
    // SAFETY: all pixels were written.
    unsafe { y.written() }
}

/// The gradients from `dy`, the one with respect to the output; of `x` with `other` added, which others found.
///
/// # Panics
/// As [`transposed_forward_new`].
pub fn transposed_backward_new(
    shape: &Transposed,
    x: &[f32],
    weights: &[f32],
    dy: &[f32],
    has_bias: bool,
    other: Option<&[f32]>,
) -> Gradients {
    shape.check(x, weights);
    check_length("dy", dy.len(), shape.output_length());
    if let Some(other) = other {
        check_length("gradient of x", other.len(), x.len());
    }
    let ties = shape.ties();
    let lengths = [weights.len(), if has_bias { shape.c_out } else { 0 }];
    if shape.batch == 0 {
        let [weights, bias] = lengths.map(|length| vec![0.0; length]);
        let x = Some(Vec::new());
        return Gradients { x, weights, bias };
    }
    let mut dx = Blank::new(x.len());
    let mut blanks = lengths.map(Blank::new);
    let to = blanks.each_mut().map(Blank::at);
    let of = |buffer: &[f32]| Map::of(buffer, ties.coarse_grid(), shape.c_in, Precision::Fp32);
    let (x, add) = (of(x), other.map(of));
    let dx_map = Map { at: dx.at(), ..x };
    let slope = Map::of(dy, ties.fine_grid(), shape.c_out, Precision::Fp32);
    let numbers = shape.height * shape.width * (2 * shape.c_in + 4 * shape.c_out);
    let operations = 2 * shape.operations();
    enter(operations, || {
        let turned = Weights::transposed(weights, ties.taps(), shape.c_in, shape.c_out, shape.c_in);
        let taps = Taps {
            weights: &turned,
            reversed: true,
            bias: None,
            outputs: shape.c_in,
        };
        // SAFETY: all buffers were checked and are distinct; groups have images and sums of their own.
        unsafe {
            let groups = Groups::new(shape.batch, 4 * numbers);
            groups.sum(lengths, to, operations, |images, [weights, bias]| {
                let ties = ties.images(images.len());
                let slope = slope.images(&images);
                let mut room = None;
                let from = bordered(slope, ties.bordered_fine(), &mut room);
                let bias = has_bias.then_some((slope, bias));
                parameters(ties, x.images(&images), from, weights, bias);
                let to = dx_map.images(&images);
                let add = add.map(|add| add.images(&images));
                gather(ties, from, &taps, Finish::Store { to, add });
            });
        }
    });
    // SAFETY: all of them were written.
    unsafe {
        let [weights, bias] = blanks.map(|blank| blank.written());
        let x = Some(dx.written());
        Gradients { x, weights, bias }
    }
}

/// The gradients of the weights, tap by tap, from the gradient of the output, bordered; and of the bias from that
/// without border.
///
/// # Safety
/// There must be room for both, used by nobody else; the border must be clear.
unsafe fn parameters(ties: Ties, x: Map, slope: Map, weights: Shared, bias: Option<(Map, Shared)>) {
    let gradients: Vec<_> = (0..ties.taps())
        .map(|tap| {
            let first = [tap / ties.kernel[1], tap % ties.kernel[1]];
            let grid = slope.grid.view(first, ties.coarse, ties.stride);
            WeightGradient {
                source: Source::Map(x),
                segments: vec![Segment {
                    input: 0,
                    row: tap * x.channels,
                    rows: x.channels,
                }],
                slope: slope.view(grid),
                weights,
                bias: None,
            }
        })
        .collect();
    // SAFETY: promised by the caller.
    let mut jobs: Vec<_> = unsafe { gradients.iter().map(|gradient| gradient.job()).collect() };
    if let Some((of, to)) = bias {
        jobs.push(Job {
            count: 1,
            granule: 1,
            operations: 10 * of.grid.pixels() * of.channels,
            body: Box::new(move |_| dispatch(ColumnSums { of, to })),
        });
    }
    for_jobs(&jobs);
}
