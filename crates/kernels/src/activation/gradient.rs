//! Gradients of what convolutions read, taken to their inputs.

use super::curves::slopes;
use super::{Before, Input};
use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::detect::{Kernel, dispatch};
use crate::grid::{Grid, Map};
use crate::layer::Finish;
use crate::parallel::for_ranges;
use crate::precision::Precision;
use crate::rows::{load, store};
use crate::simd::Simd;
use crate::sizes::product;
use std::ops::Range;

/// The gradient of what a convolution read, taken to its input.
#[derive(Clone, Copy)]
pub(crate) struct ActivationGradient {
    /// Of the input's pixels, as they lie there.
    pub to: Map,
    pub of: Input,
    /// Added to it, if anything.
    pub add: Option<Map>,
}

impl ActivationGradient {
    /// Some of the images.
    pub fn images(self, range: &Range<usize>) -> Self {
        Self {
            to: self.to.images(range),
            of: self.of.images(range),
            add: self.add.map(|add| add.images(range)),
        }
    }

    /// What becomes of the outputs of the layer that computes the gradient of what was read.
    pub fn finish(self) -> Finish {
        if self.of.is_x() {
            let (to, add) = (self.to, self.add);
            return Finish::Store { to, add };
        }
        Finish::Activated(self)
    }

    /// The same buffers, other pixels.
    pub fn view(self, grid: Grid) -> Self {
        Self {
            to: self.to.view(grid),
            of: self.of.view(grid),
            add: self.add.map(|add| add.view(grid)),
        }
    }

    /// Stores a pixel, given the gradient `h` of what was read of it.
    ///
    /// # Safety
    /// The place must be one of the buffers', and `h` readable for all channels of the result.
    #[inline(always)]
    pub unsafe fn store<S: Simd>(self, s: S, h: *const f32, place: usize) {
        let Self { to, of, add } = self;
        let channels = to.channels;
        let mut i = 0;
        while i < channels {
            let n = S::LANES.min(channels - i);
            // SAFETY: promised by the caller.
            unsafe {
                let x = load(s, of.x.at_place(place).add(i), n);
                let slopes = slopes(s, of.activation, x);
                let mut sum = s.splat(0.0);
                for j in 0..of.activation.channels(1) {
                    let mut h = load(s, h.add(j * channels + i), n);
                    if let Some(kept) = of.kept {
                        h = s.mul(h, of.factors(s, kept, place, j * channels + i));
                    }
                    let part = s.mul(h, slopes[j]);
                    sum = if j == 0 { part } else { s.add(sum, part) };
                }
                if let Some(add) = add {
                    sum = s.add(sum, load(s, add.at_place(place).add(i), n));
                }
                store(s, to.at_place(place).add(i), sum, n);
            }
            i += n;
        }
    }
}

/// The gradient with respect to `x` from the one with respect to [`super::activate_new`], plus `add`.
///
/// # Panics
/// If a length does not agree with the channels.
pub fn activate_backward_new(
    channels: usize,
    x: &[f32],
    before: Before,
    dy: &[f32],
    add: Option<&[f32]>,
) -> Vec<f32> {
    let grid = Grid::line_of(x.len().checked_div(channels).unwrap_or(0));
    let of = Input::new(x, grid, channels, before);
    check_length("dy", dy.len(), product(&[grid.pixels(), of.channels()]));
    let mut dx = Blank::new(x.len());
    let to = Map {
        at: dx.at(),
        ..of.x
    };
    let gradient = ActivationGradient {
        to,
        of,
        add: add.map(|add| {
            check_length("gradient of x", add.len(), x.len());
            Map::of(add, grid, channels, Precision::Fp32)
        }),
    };
    for_ranges(grid.pixels(), 1, 20 * dy.len(), |pixels| {
        dispatch(Gradient {
            gradient,
            dy,
            pixels,
        });
    });
    // SAFETY: all pixels were written.
    unsafe { dx.written() }
}

struct Gradient<'a> {
    gradient: ActivationGradient,
    dy: &'a [f32],
    pixels: Range<usize>,
}

impl Kernel for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.gradient.of.channels();
        for pixel in self.pixels {
            let h = self.dy[pixel * channels..].as_ptr();
            // SAFETY: lengths were checked; ranges are disjoint.
            unsafe { self.gradient.store(s, h, pixel) };
        }
    }
}
