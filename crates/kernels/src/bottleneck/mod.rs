//! The bottleneck block, the unit that VDVAE is made of.
//!
//! `y = c4(gelu(c3(gelu(c2(gelu(c1(gelu(concat(x, act)))))))))`, plus `x` if residual. The outer
//! convolutions are 1x1, the inner ones 1x1 or 3x3 with zero padding. All activations are
//! `[batch, height, width, channels]`.

mod backward;
mod draw;
mod forward;
mod laid_out;
mod parameters;

pub use backward::{backward, backward_new};
pub use draw::{Draw, add_drawn};
pub use forward::{forward, forward_in_place, forward_new};
pub use laid_out::LaidOut;

use crate::grid::{Grid, Map};
use crate::groups::Groups;
use crate::layer::{Finish, Layer, Source};
use crate::pack::Weights as Packed;
use crate::precision::Precision;
use crate::sizes::{check_images, product};
use crate::winograd::{self, Winograd};

/// The shape of a bottleneck block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bottleneck {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    /// Channels of the first input.
    pub c_x: usize,
    /// Channels of the second input, 0 where there is none.
    pub c_act: usize,
    /// Channels between the convolutions.
    pub mid: usize,
    /// Channels of the output.
    pub c_out: usize,
    /// Size of the inner convolutions: 1 or 3.
    pub kernel: usize,
    /// Whether `x` is added to the output; then `c_out == c_x`.
    pub residual: bool,
    /// What the operands of multiplications are rounded to, see [`Bottleneck::precisions`], and the
    /// hidden activations that are kept.
    pub precision: Precision,
}

/// Weights `[kernel, kernel, c_in, c_out]` and biases `[c_out]` of the four convolutions.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Weights<'a> {
    pub w1: &'a [f32],
    pub b1: &'a [f32],
    pub w2: &'a [f32],
    pub b2: &'a [f32],
    pub w3: &'a [f32],
    pub b3: &'a [f32],
    pub w4: &'a [f32],
    pub b4: &'a [f32],
    /// What [`LaidOut::new`] made of these weights, for forward passes.
    pub laid_out: Option<&'a LaidOut>,
}

/// Outputs of the first three convolutions before gelu, `[batch, height, width, mid]` each, in
/// the block's precision: what [`backward()`] needs from [`forward()`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hidden {
    /// Elements of the block's precision.
    maps: [Vec<f32>; 3],
}

/// Gradients of the weights and biases, in their layout.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Gradients {
    pub w1: Vec<f32>,
    pub b1: Vec<f32>,
    pub w2: Vec<f32>,
    pub b2: Vec<f32>,
    pub w3: Vec<f32>,
    pub b3: Vec<f32>,
    pub w4: Vec<f32>,
    pub b4: Vec<f32>,
}

impl Hidden {
    /// Room for the hidden activations of a block.
    pub fn new(shape: &Bottleneck) -> Self {
        Self {
            maps: [(); 3].map(|()| vec![0.0; shape.hidden_length()]),
        }
    }

    /// The activations as numbers, `[batch, height, width, mid]` each.
    ///
    /// # Panics
    /// If these are not the activations of a block of this shape.
    pub fn values(&self, shape: &Bottleneck) -> [Vec<f32>; 3] {
        shape.check_hidden(self);
        self.maps.each_ref().map(|map| match shape.precision {
            Precision::Fp32 => map.clone(),
            Precision::Bf16 => unpaired(map, shape.mid),
        })
    }
}

/// The numbers of rows of `channels` in pairs.
fn unpaired(map: &[f32], channels: usize) -> Vec<f32> {
    let mut numbers = Vec::new();
    for pixel in map.chunks_exact(Precision::Bf16.elements(channels).max(1)) {
        for channel in 0..channels {
            let pair = pixel[channel / 2].to_bits();
            let high = [pair << 16, pair][channel % 2] & 0xffff_0000;
            numbers.push(f32::from_bits(high));
        }
    }
    numbers
}

impl Gradients {
    /// Room for the gradients of a block.
    pub fn new(shape: &Bottleneck) -> Self {
        Self::from_all(shape.gradient_lengths().map(|n| vec![0.0; n]))
    }

    /// From `w1`, `b1`, `w2` and so on.
    fn from_all([w1, b1, w2, b2, w3, b3, w4, b4]: [Vec<f32>; 8]) -> Self {
        Self {
            w1,
            b1,
            w2,
            b2,
            w3,
            b3,
            w4,
            b4,
        }
    }

    /// `w1`, `b1`, `w2` and so on.
    fn all_mut(&mut self) -> [&mut Vec<f32>; 8] {
        let Self {
            w1,
            b1,
            w2,
            b2,
            w3,
            b3,
            w4,
            b4,
        } = self;
        [w1, b1, w2, b2, w3, b3, w4, b4]
    }
}

impl Bottleneck {
    /// Pixels of the batch.
    ///
    /// # Panics
    /// If they are more than memory could hold.
    pub fn pixels(&self) -> usize {
        product(&[self.batch, self.height, self.width])
    }

    /// Multiplications and additions of a forward pass (direct convolutions, borders included);
    /// a backward pass takes twice as many.
    pub fn operations(&self) -> usize {
        let weights: usize = self.weight_lengths().iter().sum();
        (2 * self.pixels()).saturating_mul(weights)
    }

    /// What the operands of each of the four convolutions are rounded to. 3x3 convolutions with
    /// Winograd's filtering stay in single precision: they take a quarter of the multiplications,
    /// which is faster than twice as many a second, and would not bear rounding.
    pub fn precisions(&self) -> [Precision; 4] {
        let inner = if winograd::suits(self.bordered()) {
            Precision::Fp32
        } else {
            self.precision
        };
        [self.precision, inner, inner, self.precision]
    }

    /// Lengths of the four weights.
    ///
    /// # Panics
    /// If they are more than memory could hold.
    pub fn weight_lengths(&self) -> [usize; 4] {
        let inner = product(&[self.kernel, self.kernel, self.mid, self.mid]);
        [
            product(&[self.c_x.saturating_add(self.c_act), self.mid]),
            inner,
            inner,
            product(&[self.mid, self.c_out]),
        ]
    }

    /// Lengths of all gradients: `w1`, `b1`, `w2` and so on.
    fn gradient_lengths(&self) -> [usize; 8] {
        let ([w1, w2, w3, w4], mid) = (self.weight_lengths(), self.mid);
        [w1, mid, w2, mid, w3, mid, w4, self.c_out]
    }

    /// Images that are worth reading all weights for.
    fn images_together(&self) -> usize {
        /// Pixels below which a thread would mostly read weights.
        const PIXELS: usize = 256;
        PIXELS.div_ceil((self.height * self.width).max(1))
    }

    /// Groups of images for the gradients of parameters.
    fn groups(&self) -> Groups {
        if self.leaves_gradients() {
            // What pixels do not contribute to would not be there to add.
            return Groups::one(self.batch);
        }
        // A gradient for each number of the inputs and outputs; for hidden ones also their gelu.
        let numbers = 2 * (self.c_x + self.c_act + self.c_out) + 9 * self.mid;
        Groups::new(self.batch, 4 * numbers * self.height * self.width)
    }

    /// Elements of each of the hidden activations.
    fn hidden_length(&self) -> usize {
        product(&[self.pixels(), self.precision.elements(self.mid)])
    }

    /// The pixels as they lie in inputs and outputs.
    fn plain(&self) -> Grid {
        Grid::plain(self.batch, self.height, self.width)
    }

    /// The pixels as they lie in what the inner convolutions read.
    fn bordered(&self) -> Grid {
        Grid::bordered(self.kernel, self.batch, self.height, self.width)
    }

    fn check(&self, x: &[f32], act: Option<&[f32]>, weights: &Weights) {
        assert!(
            self.kernel == 1 || self.kernel == 3,
            "kernel is 1 or 3, not {}",
            self.kernel
        );
        assert!(
            !self.residual || self.c_out == self.c_x,
            "a residual block has as many outputs ({}) as inputs ({})",
            self.c_out,
            self.c_x
        );
        let most = self.c_x.saturating_add(self.c_act);
        let most = most.max(self.mid).max(self.c_out);
        check_images(self.batch, self.height, self.width, most);
        check_length("x", x.len(), self.pixels() * self.c_x);
        let act = act.map_or(0, <[f32]>::len);
        check_length("act", act, self.pixels() * self.c_act);
        self.check_weights(weights);
        if let Some(laid_out) = weights.laid_out {
            assert!(
                laid_out.suits(self),
                "weights laid out for another shape or instruction set"
            );
        }
    }

    fn check_weights(&self, weights: &Weights) {
        let [w1, w2, w3, w4] = self.weight_lengths();
        check_length("w1", weights.w1.len(), w1);
        check_length("w2", weights.w2.len(), w2);
        check_length("w3", weights.w3.len(), w3);
        check_length("w4", weights.w4.len(), w4);
        check_length("b1", weights.b1.len(), self.mid);
        check_length("b2", weights.b2.len(), self.mid);
        check_length("b3", weights.b3.len(), self.mid);
        check_length("b4", weights.b4.len(), self.c_out);
    }

    fn check_hidden(&self, hidden: &Hidden) {
        let elements = self.hidden_length();
        for (name, map) in ["h1", "h2", "h3"].into_iter().zip(&hidden.maps) {
            check_length(name, map.len(), elements);
        }
    }

    /// The two inputs as buffers.
    fn inputs(&self, x: &[f32], act: Option<&[f32]>) -> (Map, Option<Map>) {
        let act = act.filter(|_| self.c_act > 0);
        (
            Map::of(x, self.plain(), self.c_x, Precision::Fp32),
            act.map(|act| Map::of(act, self.plain(), self.c_act, Precision::Fp32)),
        )
    }
}

/// # Panics
/// If a length is not what the shape says.
pub(crate) fn check_length(name: &str, found: usize, expected: usize) {
    assert!(
        found == expected,
        "{name} has {found} numbers, the shape needs {expected}"
    );
}

/// An inner convolution: as many outputs as inputs.
struct Inner<'a> {
    from: Map,
    kernel: usize,
    /// As [`Bottleneck::inner_weights`] makes them.
    weights: &'a Packed<'a>,
    bias: Option<&'a [f32]>,
    finish: Finish,
}

impl Bottleneck {
    /// Weights of an inner convolution for the way that these images are convolved.
    fn inner_weights<'a>(&self, weights: Packed<'a>) -> Packed<'a> {
        if winograd::suits(self.bordered()) {
            weights.winograd(self.mid, self.mid)
        } else {
            weights
        }
    }
}

impl Inner<'_> {
    /// Computes all pixels, the fastest way that these images allow.
    ///
    /// # Safety
    /// See [`Layer::run`].
    unsafe fn run(self) {
        let Self {
            from,
            kernel,
            weights,
            bias,
            finish,
        } = self;
        let Map {
            grid,
            channels,
            precision,
            ..
        } = from;
        // SAFETY: promised by the caller.
        unsafe {
            if winograd::suits(grid) {
                Winograd {
                    from,
                    weights,
                    bias,
                    outputs: channels,
                    finish,
                }
                .run();
            } else {
                Layer {
                    source: Source::Map(from),
                    segments: grid.segments(kernel, from.elements()),
                    precision,
                    weights,
                    bias,
                    outputs: channels,
                    finish,
                }
                .run(grid.pixels());
            }
        }
    }
}
