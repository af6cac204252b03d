//! Convolutions with "same" padding, and what adds one to a state: the projections of latents.

use crate::activation::Activation;
use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::grid::{Grid, Map};
use crate::layer::Finish;
use crate::parallel::Shared;
use crate::precision::Precision;
use crate::sizes::product;
use crate::window::Window;
use std::ops::Range;

/// The shape of a convolution with zero padding and stride 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub c_in: usize,
    pub c_out: usize,
    /// 1 or 3.
    pub kernel: usize,
}

impl Conv {
    /// Pixels of the batch.
    ///
    /// # Panics
    /// If they are more than memory could hold.
    pub fn pixels(&self) -> usize {
        product(&[self.batch, self.height, self.width])
    }

    /// Length of the weights.
    ///
    /// # Panics
    /// If they are more than memory could hold.
    pub fn weight_length(&self) -> usize {
        product(&[self.kernel, self.kernel, self.c_in, self.c_out])
    }

    /// Multiplications and additions of a forward pass; each gradient takes as many.
    pub fn operations(&self) -> usize {
        (2 * self.pixels()).saturating_mul(self.weight_length())
    }

    /// The same as a window over inputs of which an activation is read first.
    pub fn window(&self, activation: Activation) -> Window {
        let kernel = self.kernel;
        assert!(kernel == 1 || kernel == 3, "kernel is 1 or 3, not {kernel}");
        let around = [kernel / 2; 2];
        Window {
            batch: self.batch,
            height: self.height,
            width: self.width,
            c_in: self.c_in,
            c_out: self.c_out,
            activation,
            kernel: [kernel; 2],
            before: around,
            after: around,
            stride: 1,
        }
    }

    /// The state and the prior's features, see [`forward_onto`].
    fn state_and_features(&self, x: &[f32], p: &[f32]) -> (Map, Map) {
        check_length("x", x.len(), self.pixels() * self.c_out);
        let channels = p.len().checked_div(self.pixels()).unwrap_or(self.c_out);
        check_length("p", p.len(), self.pixels() * channels.max(self.c_out));
        let grid = Grid::plain(self.batch, self.height, self.width);
        let map = |buffer, channels| Map::of(buffer, grid, channels, Precision::Fp32);
        (map(x, self.c_out), map(p, channels))
    }
}

/// What a stochastic layer does to the state, into new memory, which need not be cleared: the
/// convolution of the latents `z`, plus `x` `[batch, height, width, c_out]`, plus the last
/// `c_out` channels of `p` `[batch, height, width, .. + c_out]`, the prior's features.
///
/// # Panics
/// If a slice does not have the length that the shape says, or `p` has too few channels.
pub fn forward_onto(
    shape: &Conv,
    z: &[f32],
    weights: &[f32],
    bias: &[f32],
    (x, p): (&[f32], &[f32]),
) -> Vec<f32> {
    let mut y = Blank::new(x.len());
    let (x, p) = shape.state_and_features(x, p);
    // SAFETY: every pixel of `y` is written.
    unsafe {
        run_onto(shape, z, weights, bias, Map { at: y.at(), ..x }, (x, p));
        y.written()
    }
}

/// [`forward_onto`] in the place of `x`.
///
/// # Panics
/// If a slice does not have the length that the shape says, or `p` has too few channels.
pub fn forward_onto_in_place(
    shape: &Conv,
    z: &[f32],
    weights: &[f32],
    bias: &[f32],
    (x, p): (&mut [f32], &[f32]),
) {
    let at = Shared(x.as_mut_ptr());
    let (x, p) = shape.state_and_features(x, p);
    let x = Map { at, ..x };
    // SAFETY: nobody else uses `x`, of which only the numbers are read in whose place is written.
    unsafe { run_onto(shape, z, weights, bias, x, (x, p)) };
}

/// Checks the other inputs and computes all pixels.
///
/// # Safety
/// The buffers must be alive, `to` used by nobody else, but that it may be `x`.
unsafe fn run_onto(
    shape: &Conv,
    z: &[f32],
    weights: &[f32],
    bias: &[f32],
    to: Map,
    (x, p): (Map, Map),
) {
    let window = shape.window(Activation::None);
    let finish = |images: &Range<usize>| {
        let [to, x, p] = [to, x, p].map(|map| map.images(images));
        Finish::StoreOnto { to, x, p }
    };
    // SAFETY: promised by the caller, lengths are checked.
    unsafe { window.run((z, Activation::None.into()), weights, Some(bias), finish) };
}
