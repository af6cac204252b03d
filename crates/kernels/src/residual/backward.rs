//! The backward pass.

use super::forward::{activated, strided};
use super::{Gradients, Residual, Saved, Weights};
use crate::batch_norm::{
    Combination, Images, NormGradient, Parts, Scaling, Slopes, combine, total,
};
use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::conv3;
use crate::grid::Map;
use crate::parallel::{Shared, enter};
use crate::precision::Precision;
use crate::scratch::Scratch;
use crate::squeeze::SqueezeGradient;

/// The gradients with respect to `x` and all that is learned, from the gradient `dy` with respect to the
/// output and what [`super::forward_new`] kept. That of the skip is `dy` itself. What others found for the
/// gradient of `x`, such as `dy` where `x` is also the skip, is added to it.
///
/// # Panics
/// If a slice does not have the length that the shape says.
pub fn backward_new(
    shape: &Residual,
    x: &[f32],
    weights: &Weights,
    saved: &Saved,
    dy: &[f32],
    others: [Option<&[f32]>; 2],
) -> Gradients {
    shape.check(x, weights);
    shape.check_saved(saved);
    check_length("dy", dy.len(), shape.outputs().length());
    for other in others.into_iter().flatten() {
        check_length("gradient of x", other.len(), x.len());
    }
    let mut dx = Blank::new(x.len());
    let mut convolutions = weights.convolutions.map(|w| Blank::new(w.len()));
    let mut biases = weights.biases.map(|b| Blank::new(b.len()));
    let to = dx.at();
    let places: [[Shared; 2]; 2] = std::array::from_fn(|i| [convolutions[i].at(), biases[i].at()]);
    let backward = Backward {
        shape,
        weights,
        saved,
        dy,
        places,
    };
    // SAFETY: lengths were checked, all places have room for what the shape says.
    let (norms, squeeze) = enter(2 * shape.operations(), || unsafe {
        backward.run(x, others, to)
    });
    // SAFETY: all was written.
    unsafe {
        Gradients {
            x: dx.written(),
            norms,
            convolutions: convolutions.map(|blank| blank.written()),
            biases: biases.map(|blank| blank.written()),
            squeeze,
        }
    }
}

impl Residual {
    fn check_saved(&self, saved: &Saved) {
        for outputs in &saved.outputs {
            check_length("outputs", outputs.len(), self.outputs().length());
        }
        saved.statistics[0].check(self.c_in);
        saved.statistics[1].check(self.c_out);
        check_length("gates", saved.gates.gate.len(), self.batch * self.c_out);
    }
}

struct Backward<'a> {
    shape: &'a Residual,
    weights: &'a Weights<'a>,
    saved: &'a Saved,
    dy: &'a [f32],
    /// Of the weights and biases of the convolutions.
    places: [[Shared; 2]; 2],
}

impl Backward<'_> {
    /// Returns the gradients of the normalisations and of the squeeze.
    ///
    /// # Safety
    /// There must be room for all results, used by nobody else.
    unsafe fn run(
        &self,
        x: &[f32],
        others: [Option<&[f32]>; 2],
        to: Shared,
    ) -> ([NormGradient; 2], SqueezeGradient) {
        let shape = self.shape;
        let (inputs, outputs) = (shape.inputs(), shape.outputs());
        let grids = shape.grids();
        // SAFETY: rooms are as large as the grids say.
        unsafe {
            let mut room = Scratch::take(grids[1].places() * shape.c_out);
            let slope = Map::new(&mut room, grids[1], shape.c_out, Precision::Fp32);
            slope.clear_border();
            let squeeze = self.excitation(slope);
            // Of what the first convolution made, where the second one reads it.
            let mut first_room = Scratch::take(grids[0].places() * shape.c_out);
            let first_slope = Map::new(&mut first_room, grids[0], shape.c_out, Precision::Fp32);
            let dsecond = if shape.stride == 1 {
                first_slope.clear_border();
                self.step(
                    1,
                    &self.saved.outputs[0],
                    outputs,
                    slope,
                    [None; 2],
                    first_slope,
                )
            } else {
                let mut plain = Scratch::take(outputs.length());
                let to = outputs.map(Shared(plain.as_mut_ptr()));
                let second = self.step(1, &self.saved.outputs[0], outputs, slope, [None; 2], to);
                first_room.fill(0.0);
                scatter(shape, &plain, first_slope);
                second
            };
            let dfirst = self.step(0, x, inputs, first_slope, others, inputs.map(to));
            ([dfirst, dsecond], squeeze)
        }
    }

    /// The gradient with respect to what the second convolution made.
    unsafe fn excitation(&self, to: Map) -> SqueezeGradient {
        let (shape, gates) = (self.shape, &self.saved.gates);
        let (images, n) = (shape.outputs(), shape.c_out);
        let h = &self.saved.outputs[1];
        let plain = Scaling::identity(n);
        // SAFETY: lengths were checked.
        let sums = unsafe { Parts::products(images, (self.dy, h), plain.channels(), false) };
        let [_, products] = sums.image_sums();
        let scaled = products.iter().map(|p| f64::from(shape.scale) * p);
        let dgate: Vec<f32> = scaled.map(|d| d as f32).collect();
        let (dpooled, gradient) = self.weights.squeeze.backward(gates, &dgate);
        let factor: Vec<f32> = gates.gate.iter().map(|g| shape.scale * g).collect();
        let share = 1.0 / images.pixels as f32;
        let constant: Vec<f32> = dpooled.iter().map(|d| share * d).collect();
        let combination = Combination {
            u: self.dy,
            factor: &factor,
            constant: Some(&constant),
            centred: None,
            swish: false,
            add: [None; 2],
        };
        // SAFETY: promised by the caller.
        unsafe { combine(images, &combination, to) };
        gradient
    }

    /// Through a convolution and the normalisation before it: from the gradient with respect to what the
    /// convolution made, bordered, to the one with respect to `x`, which is normalised.
    unsafe fn step(
        &self,
        which: usize,
        x: &[f32],
        images: Images,
        slope: Map,
        others: [Option<&[f32]>; 2],
        to: Map,
    ) -> NormGradient {
        let (shape, grid) = (self.shape, slope.grid);
        let statistics = &self.saved.statistics[which];
        let scaling = Scaling::new(&self.weights.norms[which], statistics, shape.epsilon);
        // SAFETY: promised by the caller; rooms are as large as the grids say.
        unsafe {
            let mut room = Scratch::take(grid.places() * images.channels);
            let read = activated(grid, images, x, &scaling, &mut room);
            conv3::gradients(read, slope, self.places[which]);
            // The room is free for the gradient with respect to what it held.
            let d = images.map(read.at);
            conv3::run(slope, shape.filters(self.weights, which, true), None, d);
            let d = &room[..images.length()];
            let sums = Parts::products(images, (d, x), scaling.channels(), true);
            let pixels = images.batch * images.pixels;
            let sums = total(&sums.image_sums(), images.channels);
            let slopes = Slopes::new(&scaling, sums, pixels);
            combine(
                images,
                &slopes.combination(&scaling, d, x, true, others),
                to,
            );
            slopes.gradient()
        }
    }
}

/// Copies pixels to every second place of every second line.
///
/// # Safety
/// `to` must be of the input's pixels.
unsafe fn scatter(shape: &Residual, from: &[f32], to: Map) {
    let n = shape.c_out;
    for (pixel, place) in strided(shape).enumerate() {
        // SAFETY: promised by the caller.
        unsafe {
            let to = to.pixel(place);
            to.copy_from_nonoverlapping(from[pixel * n..][..n].as_ptr(), n);
        }
    }
}
