//! Drawing pixels from the mixture.

use super::super::for_chunks;
use super::{DmolShape, LEAST_LOG_SCALE, expect_len, lanes};
use crate::detect::{Kernel, dispatch};
use crate::math::{exp, ln, tanh};
use crate::scratch::Scratch;
use crate::simd::Simd;

/// Pixels that one task draws.
const PIXELS_PER_TASK: usize = 64;

/// Draws values in [-1, 1] from given uniform noise: the component by Gumbel-max from
/// `u_mixture [batch, pixels, K]`, the colours by the inverse of the logistic distribution from
/// `u_logistic [batch, pixels, colours]`, each shifted by the ones before it and clamped.
///
/// `logits` is `[batch, pixels, P]`, `out` `[batch, pixels, colours]`. The noise lies strictly
/// between 0 and 1; the published model keeps 1e-5 from both ends.
///
/// # Panics
/// If the shape has no mixture, not 1 or 3 colours or not 5 or 8 bits, or the lengths do not
/// agree.
pub fn sample(
    shape: &DmolShape,
    logits: &[f32],
    u_mixture: &[f32],
    u_logistic: &[f32],
    out: &mut [f32],
) {
    shape.check(logits.len());
    let (p, k, colours) = (shape.parameters(), shape.mixtures, shape.colours);
    let pixels = shape.batch * shape.pixels;
    expect_len("mixture noise", u_mixture.len(), pixels * k);
    expect_len("logistic noise", u_logistic.len(), pixels * colours);
    expect_len("out", out.len(), pixels * colours);
    for_chunks(out, PIXELS_PER_TASK * colours, |i, out| {
        let first = i * PIXELS_PER_TASK;
        let end = first + out.len() / colours;
        let mut scratch = Scratch::take((p + k) * lanes::MOST);
        let logits = &logits[first * p..end * p];
        let u_mixture = &u_mixture[first * k..end * k];
        let u_logistic = &u_logistic[first * colours..end * colours];
        let noise = (u_mixture, u_logistic);
        let scratch = &mut scratch;
        if colours == 1 {
            dispatch(Sample::<1> {
                mixtures: k,
                logits,
                noise,
                out,
                scratch,
            });
        } else {
            dispatch(Sample::<3> {
                mixtures: k,
                logits,
                noise,
                out,
                scratch,
            });
        }
    });
}

struct Sample<'a, const COLOURS: usize> {
    mixtures: usize,
    logits: &'a [f32],
    /// For the component, for the colours.
    noise: (&'a [f32], &'a [f32]),
    out: &'a mut [f32],
    /// `P + K` vectors: the parameters, the noise for the component.
    scratch: &'a mut [f32],
}

impl<const COLOURS: usize> Kernel for Sample<'_, COLOURS> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let k = self.mixtures;
        let p = k * if COLOURS == 1 { 3 } else { 10 };
        let (parameters, noise) = self.scratch.split_at_mut(p * S::LANES);
        let mut values = [0.0; 3 * lanes::MOST];
        for first in (0..self.out.len() / COLOURS).step_by(S::LANES) {
            lanes::gather(s, &self.logits[first * p..], p, parameters);
            lanes::gather(s, &self.noise.0[first * k..], k, noise);
            lanes::gather(s, &self.noise.1[first * COLOURS..], COLOURS, &mut values);
            let component = choose::<S, COLOURS>(s, k, parameters, noise);
            draw_colours::<S, COLOURS>(s, &component, &mut values);
            lanes::scatter(s, &values, COLOURS, &mut self.out[first * COLOURS..]);
        }
    }
}

/// Mean, log scale and coefficient of each colour of the component with the largest
/// `logit - ln(-ln u)`; the first of equals.
#[inline(always)]
fn choose<S: Simd, const COLOURS: usize>(
    s: S,
    k: usize,
    parameters: &[f32],
    noise: &[f32],
) -> [[S::F; 3]; COLOURS] {
    let kinds = if COLOURS == 1 { 2 } else { 3 };
    let mut best = s.splat(f32::NEG_INFINITY);
    let mut chosen = [[s.splat(0.0); 3]; COLOURS];
    for mixture in 0..k {
        let gumbel = ln(s, s.neg(ln(s, lanes::get(s, noise, mixture))));
        let score = s.sub(lanes::get(s, parameters, mixture), gumbel);
        let better = s.lt(best, score);
        best = s.select(better, score, best);
        for colour in 0..COLOURS {
            for kind in 0..kinds {
                let at = k + (colour * kinds + kind) * k + mixture;
                let new = lanes::get(s, parameters, at);
                chosen[colour][kind] = s.select(better, new, chosen[colour][kind]);
            }
        }
    }
    chosen
}

/// Replaces the uniform noise of each colour by its value.
#[inline(always)]
fn draw_colours<S: Simd, const COLOURS: usize>(
    s: S,
    component: &[[S::F; 3]; COLOURS],
    values: &mut [f32],
) {
    let one = s.splat(1.0);
    let mut x = [s.splat(0.0); COLOURS];
    for colour in 0..COLOURS {
        let [mut mean, log_scale, _] = component[colour];
        for before in 0..colour {
            // Green: the coefficient stored with red. Blue: those with green and with blue.
            let coefficient = tanh(s, component[colour - 1 + before][2]);
            mean = s.fma(coefficient, x[before], mean);
        }
        let u = lanes::get(s, values, colour);
        let noise = s.sub(ln(s, u), ln(s, s.sub(one, u)));
        let scale = exp(s, s.max(s.splat(LEAST_LOG_SCALE), log_scale));
        let value = s.fma(scale, noise, mean);
        x[colour] = s.min(one, s.max(s.neg(one), value));
        lanes::set(s, values, colour, x[colour]);
    }
}
