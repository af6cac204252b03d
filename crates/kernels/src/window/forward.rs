//! Convolutions.

use super::{Gradients, TOGETHER, Taps, Ties, bordered, gather, seen, segments, spread};
use crate::activation::{Activation, ActivationGradient, Before, Input};
use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::grid::Map;
use crate::groups::Groups;
use crate::layer::{Finish, Source};
use crate::pack::Weights;
use crate::parallel::{Shared, enter, for_items, for_jobs};
use crate::precision::Precision;
use crate::scratch::Scratch;
use crate::sizes::{check_images, product};
use crate::weight_gradient::WeightGradient;
use std::ops::Range;

/// The shape of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub c_in: usize,
    pub c_out: usize,
    /// What is done to the input before zeros are added.
    pub activation: Activation,
    /// Rows and columns.
    pub kernel: [usize; 2],
    /// Rows of zeros above the image, columns to its left.
    pub before: [usize; 2],
    /// Rows of zeros below the image, columns to its right.
    pub after: [usize; 2],
    /// Pixels from one place of the kernel to the next, in both directions.
    pub stride: usize,
}

impl Window {
    /// Height and width of the output.
    ///
    /// # Panics
    /// If the kernel is larger than the image with its zeros, or the stride is 0.
    pub fn size_out(&self) -> [usize; 2] {
        assert!(self.stride > 0, "a stride of 0");
        let sides = [self.height, self.width];
        std::array::from_fn(|axis| {
            let room = self.before[axis] + sides[axis] + self.after[axis];
            let kernel = self.kernel[axis];
            assert!(
                0 < kernel && kernel <= room,
                "a kernel of {kernel} for {room} pixels with their zeros"
            );
            (room - kernel) / self.stride + 1
        })
    }

    /// Channels that the weights see.
    pub fn inputs(&self) -> usize {
        self.activation.channels(self.c_in)
    }

    /// Length of the weights, `[kernel, kernel, inputs, c_out]`.
    pub fn weight_length(&self) -> usize {
        product(&[self.kernel[0], self.kernel[1], self.inputs(), self.c_out])
    }

    /// Length of the output, `[batch, height, width, c_out]`.
    pub fn output_length(&self) -> usize {
        let [height, width] = self.size_out();
        product(&[self.batch, height, width, self.c_out])
    }

    /// Multiplications and additions of a forward pass; each gradient takes as many.
    pub fn operations(&self) -> usize {
        let [height, width] = self.size_out();
        (2 * self.batch * height * width).saturating_mul(self.weight_length())
    }

    fn input_length(&self) -> usize {
        product(&[self.batch, self.height, self.width, self.c_in])
    }

    fn ties(&self) -> Ties {
        Ties {
            batch: self.batch,
            fine: [self.height, self.width],
            coarse: self.size_out(),
            kernel: self.kernel,
            before: self.before,
            stride: self.stride,
        }
    }

    fn check(&self, weights: &[f32]) {
        assert!(
            self.c_in > 0 && self.c_out > 0 && self.height * self.width > 0,
            "a convolution without pixels or channels: {self:?}"
        );
        let most = self.inputs().max(self.c_out);
        let [height, width] = std::array::from_fn(|axis| {
            [self.height, self.width][axis]
                + self.before[axis]
                + self.after[axis]
                + self.kernel[axis]
        });
        check_images(self.batch, height, width, most);
        check_length("weights", weights.len(), self.weight_length());
    }

    fn input<'a>(&self, x: &[f32], before: Before<'a>) -> Input {
        assert!(before.activation == self.activation);
        check_length("x", x.len(), self.input_length());
        Input::new(x, self.ties().fine_grid(), self.c_in, before)
    }
}

/// What a convolution reads: its input, or what becomes of that in `room`, in the border that the ties need.
///
/// # Safety
/// The input must be alive.
unsafe fn read(ties: Ties, input: Input, room: &mut Option<Scratch>) -> Map {
    let grid = ties.bordered_fine();
    if input.is_x() && grid.is_plain() {
        return input.x;
    }
    let room = room.insert(Scratch::take(grid.places() * input.channels()));
    let to = Map::new(room, grid, input.channels(), Precision::Fp32);
    // SAFETY: promised by the caller.
    unsafe { input.fill(to) };
    to
}

/// Computes `[batch, height, width, c_out]` from `x` `[batch, height, width, c_in]`, what `before` makes of it,
/// weights and `bias` `[c_out]`.
///
/// # Panics
/// If a slice does not have the length that the shape says, or no convolution is like that.
pub fn forward_new(
    shape: &Window,
    input: (&[f32], Before),
    weights: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let mut y = Blank::new(shape.output_length());
    let to = Map {
        at: y.at(),
        grid: shape.ties().coarse_grid(),
        channels: shape.c_out,
        precision: Precision::Fp32,
    };
    let finish = |images: &Range<usize>| Finish::Store {
        to: to.images(images),
        add: None,
    };
    // SAFETY: there is room for all pixels, and all are written.
    unsafe {
        shape.run(input, weights, bias, finish);
        y.written()
    }
}

impl Window {
    /// Computes all pixels; `finish` says what becomes of those of some images.
    ///
    /// # Safety
    /// The buffers of `finish` must be alive and of the output's pixels, those that are written used by nobody else.
    ///
    /// # Panics
    /// As [`forward_new`].
    pub(crate) unsafe fn run(
        &self,
        (x, before): (&[f32], Before),
        weights: &[f32],
        bias: Option<&[f32]>,
        finish: impl Fn(&Range<usize>) -> Finish + Sync,
    ) {
        self.check(weights);
        let input = self.input(x, before);
        if let Some(bias) = bias {
            check_length("bias", bias.len(), self.c_out);
        }
        let ties = self.ties();
        let pixels = ties.coarse[0] * ties.coarse[1];
        enter(self.operations(), || {
            let rows = ties.taps() * self.inputs();
            let weights = Weights::forward(weights, rows, self.c_out, self.batch * pixels);
            let taps = Taps {
                weights: &weights,
                reversed: false,
                bias,
                outputs: self.c_out,
            };
            let together = TOGETHER.div_ceil(pixels);
            for_items(self.batch, together, self.operations(), |images| {
                let ties = ties.images(images.len());
                let mut room = None;
                // SAFETY: promised by the caller, lengths were checked; ranges of images are disjoint.
                unsafe {
                    let from = read(ties, input.images(&images), &mut room);
                    gather(ties, from, &taps, finish(&images));
                }
            });
        });
    }
}

/// The gradients from `dy`, the one with respect to the output; of `x` if it is `wanted`, with `other` added, which
/// others found.
///
/// # Panics
/// As [`forward_new`].
pub fn backward_new(
    shape: &Window,
    (x, before): (&[f32], Before),
    weights: &[f32],
    dy: &[f32],
    has_bias: bool,
    wanted: bool,
    other: Option<&[f32]>,
) -> Gradients {
    shape.check(weights);
    let input = shape.input(x, before);
    check_length("dy", dy.len(), shape.output_length());
    if let Some(other) = other {
        check_length("gradient of x", other.len(), x.len());
    }
    let ties = shape.ties();
    let lengths = [weights.len(), if has_bias { shape.c_out } else { 0 }];
    if shape.batch == 0 {
        let [weights, bias] = lengths.map(|length| vec![0.0; length]);
        let x = wanted.then(Vec::new);
        return Gradients { x, weights, bias };
    }
    let mut dx = wanted.then(|| Blank::new(x.len()));
    let mut blanks = lengths.map(Blank::new);
    let to = blanks.each_mut().map(Blank::at);
    let onto = |at: Shared| ActivationGradient {
        to: Map { at, ..input.x },
        of: input,
        add: other.map(|add| Map::of(add, input.x.grid, shape.c_in, Precision::Fp32)),
    };
    let dx_gradient = dx.as_mut().map(|dx| onto(dx.at()));
    let slope = Map::of(dy, ties.coarse_grid(), shape.c_out, Precision::Fp32);
    let pixels = [shape.height * shape.width, ties.coarse[0] * ties.coarse[1]];
    let numbers = pixels[0] * (shape.inputs() + shape.c_in) + pixels[1] * shape.c_out;
    let operations = 2 * shape.operations();
    enter(operations, || {
        let turned = dx_gradient.map(|_| {
            Weights::transposed(
                weights,
                ties.taps(),
                shape.inputs(),
                shape.c_out,
                shape.inputs(),
            )
        });
        // SAFETY: all buffers were checked and are distinct; groups have images and sums of their own.
        unsafe {
            let groups = Groups::new(shape.batch, 4 * numbers);
            groups.sum(lengths, to, operations, |images, [weights, bias]| {
                let ties = ties.images(images.len());
                let slope = slope.images(&images);
                let mut room = None;
                let from = read(ties, input.images(&images), &mut room);
                parameters(ties, from, slope, weights, has_bias.then_some(bias));
                if let (Some(gradient), Some(turned)) = (dx_gradient, &turned) {
                    let taps = Taps {
                        weights: turned,
                        reversed: true,
                        bias: None,
                        outputs: shape.inputs(),
                    };
                    let mut room = None;
                    let from = bordered(slope, ties.bordered_coarse(), &mut room);
                    let gradient = gradient.images(&images);
                    spread(ties, from, &taps, |grid| gradient.view(grid).finish());
                }
            });
        }
    });
    // SAFETY: all of them were written.
    unsafe {
        let [weights, bias] = blanks.map(|blank| blank.written());
        Gradients {
            x: dx.map(|dx| dx.written()),
            weights,
            bias,
        }
    }
}

/// The gradients of the weights and the bias.
///
/// # Safety
/// There must be room for both, used by nobody else; the border must be clear.
unsafe fn parameters(ties: Ties, from: Map, slope: Map, weights: Shared, bias: Option<Shared>) {
    let (seen, distances) = seen(ties, from);
    let inputs = from.channels;
    let gradient = WeightGradient {
        source: Source::Map(seen),
        segments: segments(inputs, |tap| tap, distances),
        slope,
        weights,
        bias,
    };
    // SAFETY: promised by the caller.
    unsafe { for_jobs(&[gradient.job()]) };
}
