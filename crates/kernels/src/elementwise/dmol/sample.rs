//! Drawing pixels from the mixture.

use super::{DmolShape, LEAST_LOG_SCALE, expect_len, lanes};
use crate::detect::{Kernel, dispatch};
use crate::math::{exp, ln, tanh};
use crate::scratch::Scratch;
use crate::simd::Simd;
use rayon::prelude::*;

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
    let tasks = out.par_chunks_mut(PIXELS_PER_TASK * colours).enumerate();
    tasks.for_each(|(i, out)| {
        let first = i * PIXELS_PER_TASK;
        let end = first + out.len() / colours;
        let mut scratch = Scratch::take(2 * k * lanes::MOST);
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
    /// `2 K` vectors: the logits of the components, the noise for the component.
    scratch: &'a mut [f32],
}

impl<const COLOURS: usize> Kernel for Sample<'_, COLOURS> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let k = self.mixtures;
        let p = k * if COLOURS == 1 { 3 } else { 10 };
        let (logits, noise) = self.scratch.split_at_mut(k * S::LANES);
        let mut values = [0.0; 3 * lanes::MOST];
        for first in (0..self.out.len() / COLOURS).step_by(S::LANES) {
            let pixels = &self.logits[first * p..];
            lanes::gather(s, pixels, p, k, logits);
            lanes::gather(s, &self.noise.0[first * k..], k, k, noise);
            let uniform = &self.noise.1[first * COLOURS..];
            lanes::gather(s, uniform, COLOURS, COLOURS, &mut values);
            let chosen = choose(s, k, logits, noise);
            let component = pick::<COLOURS>(k, pixels.chunks_exact(p), &chosen[..S::LANES]);
            draw_colours::<S, COLOURS>(s, &component, &mut values);
            lanes::scatter(s, &values, COLOURS, &mut self.out[first * COLOURS..]);
        }
    }
}

/// The component of each lane with the largest `logit - ln(-ln u)`; the first of equals.
#[inline(always)]
fn choose<S: Simd>(s: S, k: usize, logits: &[f32], noise: &[f32]) -> [f32; lanes::MOST] {
    let mut best = s.splat(f32::NEG_INFINITY);
    let mut chosen = s.splat(0.0);
    for mixture in 0..k {
        let gumbel = ln(s, s.neg(ln(s, lanes::get(s, noise, mixture))));
        let score = s.sub(lanes::get(s, logits, mixture), gumbel);
        let better = s.lt(best, score);
        best = s.select(better, score, best);
        chosen = s.select(better, s.splat(mixture as f32), chosen);
    }
    let mut lanes = [0.0; lanes::MOST];
    s.store(&mut lanes, chosen);
    lanes
}

/// Mean, log scale and coefficient of a colour, one pixel a lane.
type Colour = [[f32; lanes::MOST]; 3];

/// The parameters of the chosen components.
#[inline(always)]
fn pick<'a, const COLOURS: usize>(
    k: usize,
    pixels: impl Iterator<Item = &'a [f32]>,
    chosen: &[f32],
) -> [Colour; COLOURS] {
    let kinds = if COLOURS == 1 { 2 } else { 3 };
    let mut component = [[[0.0; lanes::MOST]; 3]; COLOURS];
    for (lane, (pixel, &chosen)) in pixels.zip(chosen).enumerate() {
        // Numbers of components are exact in f32.
        let of_component = pixel[k + chosen as usize..].iter().step_by(k);
        let places = component.iter_mut().flat_map(|colour| &mut colour[..kinds]);
        for (place, &value) in places.zip(of_component) {
            place[lane] = value;
        }
    }
    component
}

/// Replaces the uniform noise of each colour by its value.
#[inline(always)]
fn draw_colours<S: Simd, const COLOURS: usize>(
    s: S,
    component: &[Colour; COLOURS],
    values: &mut [f32],
) {
    let one = s.splat(1.0);
    let mut x = [s.splat(0.0); COLOURS];
    for (colour, [mean, log_scale, _]) in component.iter().enumerate() {
        let mut mean = s.load(mean);
        for before in 0..colour {
            // Green: the coefficient stored with red. Blue: those with green and with blue.
            let coefficient = tanh(s, s.load(&component[colour - 1 + before][2]));
            mean = s.fma(coefficient, x[before], mean);
        }
        let u = lanes::get(s, values, colour);
        let noise = s.sub(ln(s, u), ln(s, s.sub(one, u)));
        let scale = exp(s, s.max(s.splat(LEAST_LOG_SCALE), s.load(log_scale)));
        let value = s.fma(scale, noise, mean);
        x[colour] = s.min(one, s.max(s.neg(one), value));
        lanes::set(s, values, colour, x[colour]);
    }
}
