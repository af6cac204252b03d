//! The backward pass.

use super::forward::from_panels;
use super::panels_backward::{PanelsBackward, Places};
use super::{Gradients, Inverted, Saved, Weights};
use crate::batch_norm::{
    Combination, NormGradient, Parts, Scaling, Slopes, combine, normalise, total,
};
use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::depthwise::taps::PANEL;
use crate::detect::dispatch;
use crate::pack::Weights as Packed;
use crate::parallel::{Shared, enter, for_ranges};
use crate::scratch::Scratch;
use crate::squeeze::SqueezeGradient;

/// The gradients with respect to `x` and all that is learned, from the gradient `dy` with respect to the
/// output and what [`super::forward_new`] kept. That of the skip is `dy` itself. What others found for the
/// gradient of `x`, such as `dy` where `x` is also the skip, is added to it.
///
/// # Panics
/// If a slice does not have the length that the shape says.
pub fn backward_new(
    shape: &Inverted,
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
    let mut parameters = [&weights.expand, &weights.depthwise, &weights.project]
        .map(|weights| Blank::new(weights.len()));
    let mut norms: [NormGradient; 4] = Default::default();
    for norm in &mut norms[1..3] {
        norm.gamma = vec![0.0; shape.expanded];
        norm.beta = vec![0.0; shape.expanded];
    }
    let to = dx.at();
    let [_, second, third, _] = &mut norms;
    let inner = [second, third]
        .map(|norm| [&mut norm.gamma, &mut norm.beta].map(|values| Shared(values.as_mut_ptr())));
    let [expand, depthwise, project] = parameters.each_mut().map(Blank::at);
    let backward = Backward {
        shape,
        x,
        weights,
        saved,
        dy,
        others,
        places: Places {
            expand,
            depthwise,
            project,
            norms: inner,
        },
        to,
    };
    // SAFETY: lengths were checked, all places have room for what the shape says.
    let (first, last, squeeze) = enter(2 * shape.operations(), || unsafe { backward.run() });
    norms[0] = first;
    norms[3] = last;
    // SAFETY: all was written.
    unsafe {
        let [expand, depthwise, project] = parameters.map(|blank| blank.written());
        Gradients {
            x: dx.written(),
            norms,
            expand,
            depthwise,
            project,
            squeeze,
        }
    }
}

impl Inverted {
    fn check_saved(&self, saved: &Saved) {
        let expanded = self.panels() * self.pixels_in() * PANEL;
        check_length("expanded", saved.expanded.len(), expanded);
        check_length("projected", saved.projected.len(), self.outputs().length());
        check_length("means", saved.centred_means.len(), self.batch * self.c_out);
        check_length("gates", saved.gates.gate.len(), self.batch * self.c_out);
        let channels = [self.c_in, self.expanded, self.expanded, self.c_out];
        for (statistics, channels) in saved.statistics.iter().zip(channels) {
            statistics.check(channels);
        }
    }
}

struct Backward<'a> {
    shape: &'a Inverted,
    x: &'a [f32],
    weights: &'a Weights<'a>,
    saved: &'a Saved,
    dy: &'a [f32],
    others: [Option<&'a [f32]>; 2],
    places: Places,
    to: Shared,
}

impl Backward<'_> {
    /// Returns the gradients of the first and the last normalisation and of the squeeze.
    ///
    /// # Safety
    /// There must be room for all results, used by nobody else.
    unsafe fn run(&self) -> (NormGradient, NormGradient, SqueezeGradient) {
        let (shape, weights, saved) = (self.shape, self.weights, self.saved);
        let (inputs, outputs) = (shape.inputs(), shape.outputs());
        let pixels = shape.pixels_in();
        let scaling =
            |i: usize| Scaling::new(&weights.norms[i], &saved.statistics[i], shape.epsilon);
        let (first, last) = (scaling(0), scaling(3));
        let mut input = Scratch::take(inputs.length());
        let mut slope = Scratch::take(outputs.length());
        let mut room = Scratch::take(shape.panels() * pixels * PANEL);
        let mut dnormal = Scratch::take(inputs.length());
        let (to, dnormal_at) = (Shared(room.as_mut_ptr()), Shared(dnormal.as_mut_ptr()));
        // SAFETY: rooms are as large as the shape says.
        unsafe {
            let slope_at = Shared(slope.as_mut_ptr());
            let (dlast, squeeze) = self.ending(&last, slope_at);
            let input_at = inputs.map(Shared(input.as_mut_ptr()));
            normalise(inputs, self.x, &first, false, input_at);
            for_ranges(shape.panels(), 1, 2 * shape.operations(), |range| {
                dispatch(PanelsBackward {
                    shape,
                    input: &input,
                    weights,
                    saved,
                    slope: &slope,
                    places: self.places,
                    to,
                    range,
                });
            });
            let (c_in, expanded) = (shape.c_in, shape.expanded);
            let turned = Packed::transposed(weights.expand, 1, c_in, expanded, c_in);
            from_panels(shape, &room, pixels, (&turned, c_in), dnormal_at);
            let sums = Parts::products(inputs, (&dnormal, self.x), first.channels(), false);
            let slopes = Slopes::new(&first, total(&sums.image_sums(), c_in), pixels);
            let combination = slopes.combination(&first, &dnormal, self.x, false, self.others);
            combine(inputs, &combination, inputs.map(self.to));
            (slopes.gradient(), dlast, squeeze)
        }
    }

    /// From the output to the gradient with respect to the projection.
    ///
    /// # Safety
    /// There must be room for it, used by nobody else.
    unsafe fn ending(&self, last: &Scaling, to: Shared) -> (NormGradient, SqueezeGradient) {
        let (shape, saved) = (self.shape, self.saved);
        let (outputs, n) = (shape.outputs(), shape.c_out);
        let (h, dy) = (&saved.projected[..], self.dy);
        // SAFETY: lengths were checked.
        let sums = unsafe { Parts::products(outputs, (dy, h), last.channels(), false) };
        let [sums, products] = sums.image_sums();
        let wide = |of: &[f32], i: usize| f64::from(of[i % n]);
        let scale = f64::from(shape.scale);
        let gate = |i: usize| scale * f64::from(saved.gates.gate[i]);
        let indices = 0..shape.batch * n;
        // The normalised output is `centred * factor + shift`.
        let dgate = |i: usize| {
            let product = products[i] * wide(&last.scale, i) + sums[i] * wide(&last.shift, i);
            (scale * product) as f32
        };
        let dgate: Vec<f32> = indices.clone().map(dgate).collect();
        let (dpooled, squeeze) = self.weights.squeeze.backward(&saved.gates, &dgate);
        // Every pixel has the same share of a mean's gradient.
        let share = |i: usize| f64::from(dpooled[i]) / outputs.pixels as f64;
        let mut totals = [(); 2].map(|()| vec![0.0; n]);
        for i in indices.clone() {
            let d = f64::from(dpooled[i]);
            totals[0][i % n] += gate(i) * sums[i] + d;
            totals[1][i % n] += gate(i) * products[i] + d * f64::from(saved.centred_means[i]);
        }
        let slopes = Slopes::new(last, totals, shape.pixels_out());
        let per_image = |f: &dyn Fn(usize) -> f64| -> Vec<f32> {
            indices.clone().map(|i| f(i) as f32).collect()
        };
        let factor = per_image(&|i| wide(&slopes.factor, i) * gate(i));
        let constant =
            per_image(&|i| wide(&slopes.factor, i) * share(i) + wide(&slopes.constant, i));
        let combination = Combination {
            u: dy,
            factor: &factor,
            constant: Some(&constant),
            centred: Some((h, &slopes.centred, last)),
            swish: false,
            add: [None; 2],
        };
        // SAFETY: promised by the caller.
        unsafe { combine(outputs, &combination, outputs.map(to)) };
        (slopes.gradient(), squeeze)
    }
}
