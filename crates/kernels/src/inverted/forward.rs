//! The forward pass of training.

use super::panels::{Mode, Panels};
use super::{Inverted, Saved, Weights};
use crate::batch_norm::{Combination, Images, Parts, Scaling, Statistics, combine, normalise};
use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::depthwise::taps::PANEL;
use crate::detect::{Kernel, dispatch};
use crate::multiply::{CHUNK, GRANULE, Product, Rows, multiply};
use crate::pack::Weights as Packed;
use crate::parallel::{Shared, enter, for_ranges};
use crate::precision::Single;
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::squeeze::Gates;
use crate::tile::Segment;
use std::ops::Range;

/// Computes the output, `[batch, height, width, c_out]`, with the statistics of the batch; `skip` is what
/// the rest is added to, of the output's size. Returns what [`super::backward_new`] needs too.
///
/// # Panics
/// If a slice does not have the length that the shape says, or there are no pixels.
pub fn forward_new(
    shape: &Inverted,
    x: &[f32],
    skip: &[f32],
    weights: &Weights,
) -> (Vec<f32>, Saved) {
    shape.check(x, weights);
    check_length("skip", skip.len(), shape.outputs().length());
    let mut expanded = Blank::new(shape.panels() * shape.pixels_in() * PANEL);
    let mut projected = Blank::new(shape.outputs().length());
    let mut y = Blank::new(shape.outputs().length());
    let mut statistics: [Statistics; 4] = Default::default();
    let (expanded_at, projected_at, y_at) = (expanded.at(), projected.at(), y.at());
    for inner in &mut statistics[1..3] {
        inner.mean = vec![0.0; shape.expanded];
        inner.variance = vec![0.0; shape.expanded];
    }
    let (gates, centred_means) = enter(shape.operations(), || {
        let mut input = Scratch::take(x.len());
        let [first, second, third, last] = &mut statistics;
        *first = Parts::moments(shape.inputs(), x).total_moments().finish();
        let scaling = Scaling::new(&weights.norms[0], first, shape.epsilon);
        let mut room = Scratch::take(shape.panels() * shape.pixels_out() * PANEL);
        let to = Shared(room.as_mut_ptr());
        // SAFETY: lengths were checked; what is written has room for what the shape says.
        unsafe {
            let input_at = shape.inputs().map(Shared(input.as_mut_ptr()));
            normalise(shape.inputs(), x, &scaling, false, input_at);
            let places = |s: &mut Statistics| {
                [&mut s.mean, &mut s.variance].map(|values| Shared(values.as_mut_ptr()))
            };
            let mode = Mode::Train {
                expanded: expanded_at,
                statistics: [places(second), places(third)],
            };
            for_ranges(shape.panels(), 1, shape.operations(), |range| {
                dispatch(Panels {
                    shape,
                    input: &input,
                    weights,
                    mode,
                    to,
                    range,
                });
            });
            let pixels = shape.pixels_out();
            let matrix = Packed::forward(weights.project, shape.expanded, shape.c_out, pixels);
            from_panels(shape, &room, pixels, (&matrix, shape.c_out), projected_at);
            let projected = std::slice::from_raw_parts(projected_at.0, shape.outputs().length());
            let parts = Parts::moments(shape.outputs(), projected);
            *last = parts.total_moments().finish();
            let end = Ending {
                scaling: &Scaling::new(&weights.norms[3], last, shape.epsilon),
                scale: shape.scale,
            };
            let means = end.centred(&parts.image_means());
            let gates = weights.squeeze.gates(end.pooled(&means));
            end.run(shape.outputs(), projected, skip, &gates, y_at);
            (gates, means)
        }
    });
    // SAFETY: all was written.
    unsafe {
        let saved = Saved {
            expanded: written_padded(shape, expanded),
            projected: projected.written(),
            statistics,
            centred_means,
            gates,
        };
        (y.written(), saved)
    }
}

/// The kept outputs of the expansion. Beyond the last channel, nothing has been written.
unsafe fn written_padded(shape: &Inverted, mut expanded: Blank) -> Vec<f32> {
    let pixels = shape.pixels_in();
    let last = shape.panels() - 1;
    let used = shape.panel(last).len();
    if used < PANEL {
        for pixel in 0..pixels {
            // SAFETY: numbers of the last panel.
            unsafe {
                let row = expanded.at().after((last * pixels + pixel) * PANEL + used);
                row.write_bytes(0, PANEL - used);
            }
        }
    }
    // SAFETY: promised by the caller.
    unsafe { expanded.written() }
}

/// Rows of all panels times a matrix of as many rows as they have channels.
///
/// # Safety
/// `to` must have room for so many rows of outputs and be used by nobody else.
pub(super) unsafe fn from_panels(
    shape: &Inverted,
    panels: &[f32],
    pixels: usize,
    (weights, outputs): (&Packed, usize),
    to: Shared,
) {
    let segments: Vec<_> = (0..shape.panels())
        .map(|panel| Segment {
            input: (panel * pixels * PANEL) as isize,
            row: panel * PANEL,
            rows: shape.panel(panel).len(),
        })
        .collect();
    let product = Product {
        segments: &segments,
        weights,
        bias: None,
        outputs,
        offset: 0,
    };
    let operations = 2 * pixels * shape.expanded * outputs;
    for_ranges(pixels, GRANULE, operations, |range| {
        dispatch(FromPanels {
            panels,
            product: &product,
            to,
            range,
        });
    });
}

struct FromPanels<'a> {
    panels: &'a [f32],
    product: &'a Product<'a>,
    to: Shared,
    range: Range<usize>,
}

impl Kernel for FromPanels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let outputs = self.product.outputs;
        let mut row = self.range.start;
        while row < self.range.end {
            let count = CHUNK.min(self.range.end - row);
            // SAFETY: `from_panels` requires room for all rows, its ranges are disjoint.
            unsafe {
                let from = self.panels.as_ptr().add(row * PANEL);
                let to = self.to.after(row * outputs);
                let rows = Rows::regular(from, PANEL, to, outputs, count);
                multiply::<S, Single>(s, self.product, &rows);
            }
            row += count;
        }
    }
}

/// The last normalisation with squeeze and excitation, and the skip.
pub(super) struct Ending<'a> {
    pub scaling: &'a Scaling,
    pub scale: f32,
}

impl Ending<'_> {
    /// Means of an image's channels less those that they are normalised with, `[batch, channels]`.
    pub fn centred(&self, means: &[f64]) -> Vec<f32> {
        let all = self.scaling.mean.iter().cycle();
        let centred = |(m, &mean): (&f64, &f32)| (m - f64::from(mean)) as f32;
        means.iter().zip(all).map(centred).collect()
    }

    /// Means of the normalised channels from these.
    pub fn pooled(&self, centred: &[f32]) -> Vec<f32> {
        let Scaling { scale, shift, .. } = self.scaling;
        let all = scale.iter().zip(shift).cycle();
        let normalised = |(m, (scale, shift)): (&f32, (&f32, &f32))| m * scale + shift;
        centred.iter().zip(all).map(normalised).collect()
    }

    /// Computes `to = skip + scale * gate * normalised projected`.
    ///
    /// # Safety
    /// `to` must have room for the images and be used by nobody else.
    pub unsafe fn run(
        &self,
        images: Images,
        projected: &[f32],
        skip: &[f32],
        gates: &Gates,
        to: Shared,
    ) {
        let n = images.channels;
        let per_image = |of: &[f32]| -> Vec<f32> {
            let each = gates.gate.iter().enumerate();
            each.map(|(i, g)| self.scale * g * of[i % n]).collect()
        };
        let (factor, constant) = (
            per_image(&self.scaling.scale),
            per_image(&self.scaling.shift),
        );
        let combination = Combination {
            u: skip,
            factor: &vec![1.0; n],
            constant: Some(&constant),
            centred: Some((projected, &factor, self.scaling)),
            swish: false,
            add: [None; 2],
        };
        // SAFETY: promised by the caller.
        unsafe { combine(images, &combination, images.map(to)) };
    }
}
