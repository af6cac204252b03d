//! The forward pass with given statistics: an image's result does not depend on the others.

use super::forward::{Ending, from_panels};
use super::panels::{Mode, Panels};
use super::{Inverted, Weights};
use crate::batch_norm::{Parts, Scaling, Statistics, normalise};
use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::depthwise::taps::PANEL;
use crate::detect::dispatch;
use crate::pack::Weights as Packed;
use crate::parallel::{Shared, enter, for_items, for_ranges};
use crate::scratch::Scratch;
use std::ops::Range;

/// Computes the output, `[batch, height, width, c_out]`, with given statistics of the four
/// normalisations; `skip` is what the rest is added to, of the output's size.
///
/// # Panics
/// If a slice does not have the length that the shape says, or there are no pixels.
pub fn evaluate(
    shape: &Inverted,
    x: &[f32],
    skip: &[f32],
    weights: &Weights,
    statistics: &[Statistics; 4],
) -> Vec<f32> {
    shape.check(x, weights);
    check_length("skip", skip.len(), shape.outputs().length());
    let channels = [shape.c_in, shape.expanded, shape.expanded, shape.c_out];
    for (statistics, channels) in statistics.iter().zip(channels) {
        statistics.check(channels);
    }
    let mut y = Blank::new(shape.outputs().length());
    let to = y.at();
    enter(shape.operations(), || {
        let scaling = |i: usize| Scaling::new(&weights.norms[i], &statistics[i], shape.epsilon);
        let project = weights.project;
        let evaluation = Evaluation {
            shape,
            x,
            skip,
            weights,
            scalings: [
                scaling(0),
                scaling(1).padded(PANEL),
                scaling(2).padded(PANEL),
                scaling(3),
            ],
            projection: Packed::forward(project, shape.expanded, shape.c_out, shape.pixels_out()),
            to,
        };
        for_items(shape.batch, 1, shape.operations(), |images| {
            // A few images together make up for reading the weights.
            let together = TOGETHER.div_ceil(shape.outputs().pixels);
            for start in images.clone().step_by(together) {
                let images = start..images.end.min(start + together);
                // SAFETY: lengths were checked; ranges of images are disjoint.
                unsafe { evaluation.images(images) };
            }
        });
    });
    // SAFETY: all images were written.
    unsafe { y.written() }
}

/// Pixels whose activations are worth reading all weights for, and few enough for the caches.
const TOGETHER: usize = 256;

struct Evaluation<'a> {
    shape: &'a Inverted,
    x: &'a [f32],
    skip: &'a [f32],
    weights: &'a Weights<'a>,
    scalings: [Scaling; 4],
    projection: Packed<'a>,
    to: Shared,
}

impl Evaluation<'_> {
    /// All steps of some images.
    ///
    /// # Safety
    /// Nobody else may write these images.
    unsafe fn images(&self, images: Range<usize>) {
        let shape = &Inverted {
            batch: images.len(),
            ..*self.shape
        };
        let [first, second, third, last] = &self.scalings;
        let (inputs, outputs) = (shape.inputs(), shape.outputs());
        let at_in = images.start * inputs.pixels * inputs.channels;
        let at_out = images.start * outputs.pixels * outputs.channels;
        let mut input = Scratch::take(inputs.length());
        let mut room = Scratch::take(shape.panels() * shape.pixels_out() * PANEL);
        let mut projected = Scratch::take(outputs.length());
        let to = Shared(room.as_mut_ptr());
        // SAFETY: promised by the caller; rooms are as large as the shape says.
        unsafe {
            let x = &self.x[at_in..at_in + inputs.length()];
            let input_at = inputs.map(Shared(input.as_mut_ptr()));
            normalise(inputs, x, first, false, input_at);
            for_ranges(shape.panels(), 1, shape.operations(), |range| {
                dispatch(Panels {
                    shape,
                    input: &input,
                    weights: self.weights,
                    mode: Mode::Evaluate([second, third]),
                    to,
                    range,
                });
            });
            let matrix = (&self.projection, shape.c_out);
            let projected_at = Shared(projected.as_mut_ptr());
            from_panels(shape, &room, shape.pixels_out(), matrix, projected_at);
            let end = Ending {
                scaling: last,
                scale: shape.scale,
            };
            let means = Parts::moments(outputs, &projected).image_means();
            let pooled = end.pooled(&end.centred(&means));
            let gates = self.weights.squeeze.gates(pooled);
            let skip = &self.skip[at_out..at_out + outputs.length()];
            end.run(
                outputs,
                &projected,
                skip,
                &gates,
                Shared(self.to.after(at_out)),
            );
        }
    }
}
