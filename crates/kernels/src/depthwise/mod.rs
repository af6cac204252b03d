//! Depthwise convolutions, each channel on its own: `k x k` with zero padding and stride 1, k = 3 or 5.
//!
//! Activations are `[batch, height, width, channels]`, weights `[k, k, channels]`. An image is taken a
//! panel of channels at a time, so that all that a tap reads is in the first caches.

pub(crate) mod taps;

use crate::batch_norm::{Norm, Scaling, Statistics};
use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::detect::{Kernel, dispatch};
use crate::parallel::{Shared, enter, for_ranges};
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::sizes::{check_images, product};
use std::ops::Range;
use taps::{
    PANEL, Plane, Transform, add_tap_gradients, bordered_length, correlate, fill_bordered,
    panel_weights,
};

/// The shape of a depthwise convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depthwise {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// 3 or 5.
    pub kernel: usize,
}

/// A normalisation with swish behind it, which is applied to the input as it is read.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// `[channels]` each.
    pub norm: Norm<'a>,
    /// `[channels]` each.
    pub statistics: &'a Statistics,
    /// Added to the variance.
    pub epsilon: f32,
}

impl Depthwise {
    /// Length of inputs and outputs.
    ///
    /// # Panics
    /// If they are more than memory could hold.
    pub fn length(&self) -> usize {
        product(&[self.batch, self.height, self.width, self.channels])
    }

    /// Length of the weights.
    ///
    /// # Panics
    /// If they are more than memory could hold.
    pub fn weight_length(&self) -> usize {
        product(&[self.kernel, self.kernel, self.channels])
    }

    /// Multiplications and additions of a forward pass; each gradient takes as many.
    pub fn operations(&self) -> usize {
        2_usize
            .saturating_mul(self.length())
            .saturating_mul(self.kernel * self.kernel)
    }

    fn check(&self, x: &[f32], weights: &[f32]) {
        let kernel = self.kernel;
        assert!(kernel == 3 || kernel == 5, "kernel is 3 or 5, not {kernel}");
        check_images(
            self.batch,
            self.height.saturating_add(4),
            self.width.saturating_add(4),
            self.channels.saturating_add(PANEL),
        );
        check_length("x", x.len(), self.length());
        check_length("weights", weights.len(), self.weight_length());
    }

    fn border(&self) -> usize {
        self.kernel / 2
    }

    fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    fn plane(&self) -> Plane {
        Plane {
            line: self.width * self.channels,
            pixel: self.channels,
        }
    }

    fn image(&self) -> usize {
        self.height * self.width * self.channels
    }

    fn panels(&self) -> usize {
        self.channels.div_ceil(PANEL)
    }

    /// The channels of a panel.
    fn panel(&self, panel: usize) -> Range<usize> {
        panel * PANEL..self.channels.min((panel + 1) * PANEL)
    }
}

/// Computes the output, `[batch, height, width, channels]`, of `x` or of what comes before.
///
/// # Panics
/// If a slice does not have the length that the shape says.
pub fn forward_new(
    shape: &Depthwise,
    x: &[f32],
    before: Option<&Before>,
    weights: &[f32],
) -> Vec<f32> {
    shape.check(x, weights);
    let before = before.map(|before| before.scaling(shape.channels));
    // SAFETY: lengths were checked.
    unsafe { correlate_all(shape, x, before.as_ref(), weights, false) }
}

/// The gradients with respect to what the convolution reads (`x`, or the activation that comes before)
/// and to the weights, from the gradient `dy` with respect to the output.
///
/// # Panics
/// If a slice does not have the length that the shape says.
pub fn backward_new(
    shape: &Depthwise,
    x: &[f32],
    before: Option<&Before>,
    weights: &[f32],
    dy: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    shape.check(x, weights);
    check_length("dy", dy.len(), shape.length());
    let before = before.map(|before| before.scaling(shape.channels));
    // SAFETY: lengths were checked.
    let dx = unsafe { correlate_all(shape, dy, None, weights, true) };
    let mut gradient = vec![0.0; weights.len()];
    let to = Shared(gradient.as_mut_ptr());
    enter(shape.operations(), || {
        for_ranges(shape.panels(), 1, shape.operations(), |panels| {
            dispatch(WeightGradient {
                shape,
                x,
                before: before.as_ref(),
                dy,
                to,
                panels,
            });
        });
    });
    (dx, gradient)
}

impl Before<'_> {
    fn scaling(&self, channels: usize) -> Scaling {
        self.norm.check(channels);
        self.statistics.check(channels);
        Scaling::new(&self.norm, self.statistics, self.epsilon).padded(PANEL)
    }
}

impl Scaling {
    /// What is done to a panel's numbers as they are copied.
    fn transform(this: Option<&Self>, start: usize, repeat: usize) -> Transform {
        Transform {
            channels: this.map(|scaling| scaling.channels_from(start)),
            repeat,
        }
    }
}

/// # Safety
/// Lengths must have been checked.
unsafe fn correlate_all(
    shape: &Depthwise,
    x: &[f32],
    before: Option<&Scaling>,
    weights: &[f32],
    reversed: bool,
) -> Vec<f32> {
    let mut y = Blank::new(shape.length());
    let to = y.at();
    let count = shape.batch * shape.panels();
    enter(shape.operations(), || {
        for_ranges(count, 1, shape.operations(), |range| {
            dispatch(Correlate {
                shape,
                x,
                before,
                weights,
                reversed,
                to,
                range,
            });
        });
    });
    // SAFETY: every panel of every image was written.
    unsafe { y.written() }
}

/// Some panels of some images, counted by panel and then image.
struct Correlate<'a> {
    shape: &'a Depthwise,
    x: &'a [f32],
    before: Option<&'a Scaling>,
    weights: &'a [f32],
    reversed: bool,
    to: Shared,
    range: Range<usize>,
}

impl Kernel for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let shape = self.shape;
        let (size, border) = (shape.size(), shape.border());
        let mut room = Scratch::take(bordered_length(shape.height, shape.width, border));
        room.fill(0.0);
        let mut weights = Scratch::take(shape.kernel * shape.kernel * PANEL);
        let mut last = usize::MAX;
        for i in self.range {
            let (panel, image) = (i / shape.batch, i % shape.batch);
            let channels = shape.panel(panel);
            let (start, n) = (channels.start, channels.len());
            let at = image * shape.image() + start;
            // SAFETY: channels of an image, which no other range has; the room is that of a panel.
            unsafe {
                if panel != last {
                    let from = (self.weights, shape.channels);
                    panel_weights(s, from, start, self.reversed, weights.as_mut_ptr());
                    last = panel;
                }
                let from = (self.x.as_ptr().add(at), shape.plane());
                let transform = Scaling::transform(self.before, start, 1);
                fill_bordered(s, from, size, n, transform, (room.as_mut_ptr(), border));
                let from = (room.as_ptr(), Plane::bordered(shape.width, border));
                let to = (self.to.after(at), shape.plane());
                match shape.kernel {
                    3 => correlate::<S, 3>(s, from, weights.as_ptr(), size, to, n),
                    _ => correlate::<S, 5>(s, from, weights.as_ptr(), size, to, n),
                }
            }
        }
    }
}

/// The gradient of the weights of some panels.
struct WeightGradient<'a> {
    shape: &'a Depthwise,
    x: &'a [f32],
    before: Option<&'a Scaling>,
    dy: &'a [f32],
    to: Shared,
    panels: Range<usize>,
}

impl Kernel for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let shape = self.shape;
        let (size, border, taps) = (shape.size(), shape.border(), shape.kernel * shape.kernel);
        let length = bordered_length(shape.height, shape.width, border);
        let mut rooms = [length, length].map(Scratch::take);
        rooms.iter_mut().for_each(|room| room.fill(0.0));
        let mut sums = Scratch::take(taps * PANEL);
        for panel in self.panels {
            let channels = shape.panel(panel);
            let (start, n) = (channels.start, channels.len());
            sums.fill(0.0);
            for image in 0..shape.batch {
                let at = image * shape.image() + start;
                let plane = Plane::bordered(shape.width, border);
                let [room, slopes] = &mut rooms;
                // SAFETY: channels of an image; the rooms are those of a panel.
                unsafe {
                    let from = (self.x.as_ptr().add(at), shape.plane());
                    let transform = Scaling::transform(self.before, start, 1);
                    fill_bordered(s, from, size, n, transform, (room.as_mut_ptr(), border));
                    let from = (self.dy.as_ptr().add(at), shape.plane());
                    let transform = Scaling::transform(None, start, 1);
                    fill_bordered(s, from, size, n, transform, (slopes.as_mut_ptr(), border));
                    let from = (room.as_ptr(), plane);
                    let first = border * (plane.line + plane.pixel);
                    let slope = (slopes.as_ptr().add(first), plane);
                    let to = sums.as_mut_ptr();
                    match shape.kernel {
                        3 => add_tap_gradients::<S, 3>(s, from, slope, size, n, to),
                        _ => add_tap_gradients::<S, 5>(s, from, slope, size, n, to),
                    }
                }
            }
            for tap in 0..taps {
                // SAFETY: the channels of a panel, which no other range has.
                let to = unsafe {
                    let to = self.to.after(tap * shape.channels + start);
                    std::slice::from_raw_parts_mut(to, n)
                };
                to.copy_from_slice(&sums[tap * PANEL..][..n]);
            }
        }
    }
}
