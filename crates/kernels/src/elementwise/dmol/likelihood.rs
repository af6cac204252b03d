//! The negative log likelihood and its gradient.

use super::{DmolShape, LEAST_LOG_SCALE, UPPER_EDGE, lanes};
use crate::detect::Kernel;
use crate::math::{exp, ln, ln_1p_unit, one_minus_exp_neg, tanh};
use crate::simd::Simd;

/// ln 1e-5: bins less probable than that use the density at their centre.
const LEAST_LOG_MASS: f32 = -11.512_925;

/// The sum over some pixels of one image; with `GRADIENT`, also that of their logits.
pub(super) struct Nll<'a, const COLOURS: usize, const GRADIENT: bool> {
    mixtures: usize,
    half_bin: f32,
    upper_edge: f32,
    logits: &'a [f32],
    target: &'a [f32],
    gradient: &'a mut [f32],
    /// `P + K` vectors: the parameters (later their gradients), and a number per mixture.
    scratch: &'a mut [f32],
}

impl<'a, const COLOURS: usize, const GRADIENT: bool> Nll<'a, COLOURS, GRADIENT> {
    pub(super) fn new(
        shape: &DmolShape,
        logits: &'a [f32],
        target: &'a [f32],
        gradient: &'a mut [f32],
        scratch: &'a mut [f32],
    ) -> Self {
        Self {
            mixtures: shape.mixtures,
            half_bin: shape.half_bin(),
            upper_edge: shape.upper_edge,
            logits,
            target,
            gradient,
            scratch,
        }
    }
}

impl<const COLOURS: usize, const GRADIENT: bool> Kernel for Nll<'_, COLOURS, GRADIENT> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let k = self.mixtures;
        let p = k * if COLOURS == 1 { 3 } else { 10 };
        let (parameters, terms) = self.scratch.split_at_mut(p * S::LANES);
        let bin = Bin::new(s, self.half_bin, self.upper_edge);
        let mut values = [0.0; 3 * lanes::MOST];
        let mut sum = 0.0;
        for first in (0..self.target.len() / COLOURS).step_by(S::LANES) {
            lanes::gather(s, &self.logits[first * p..], p, p, parameters);
            let target = &self.target[first * COLOURS..];
            lanes::gather(s, target, COLOURS, COLOURS, &mut values);
            let mut x = [s.splat(0.0); COLOURS];
            for (colour, x) in x.iter_mut().enumerate() {
                *x = lanes::get(s, &values, colour);
            }
            for mixture in 0..k {
                let term = mixture_log_prob(s, &bin, x, (k, mixture), parameters, GRADIENT);
                lanes::set(s, terms, mixture, term);
            }
            let nll = mix(s, k, parameters, terms, GRADIENT);
            let mut nlls = [0.0; lanes::MOST];
            s.store(&mut nlls, nll);
            for &nll in nlls.iter().take((target.len() / COLOURS).min(S::LANES)) {
                sum += f64::from(nll);
            }
            if GRADIENT {
                lanes::scatter(s, parameters, p, &mut self.gradient[first * p..]);
            }
        }
        sum
    }
}

/// Log likelihood of the colours in component `mixture` of `k`. With `gradient`, its
/// derivatives take the place of the component's parameters, except of its logit.
#[inline(always)]
fn mixture_log_prob<S: Simd, const COLOURS: usize>(
    s: S,
    bin: &Bin<S>,
    x: [S::F; COLOURS],
    (k, mixture): (usize, usize),
    parameters: &mut [f32],
    gradient: bool,
) -> S::F {
    // Places of the mean of a colour, of its log scale and of the coefficient stored with it.
    let kinds = if COLOURS == 1 { 2 } else { 3 };
    let mean_at = |colour| k + kinds * k * colour + mixture;
    let scale_at = |colour| mean_at(colour) + k;
    let coefficient_at = |colour| mean_at(colour) + 2 * k;
    // For each coefficient the colour that it shifts, and the colour that it shifts it by.
    let couplings = if COLOURS == 1 {
        &[][..]
    } else {
        &[(1, 0), (2, 0), (2, 1)]
    };

    let mut means = x;
    for (colour, mean) in means.iter_mut().enumerate() {
        *mean = lanes::get(s, parameters, mean_at(colour));
    }
    let mut coefficients = [s.splat(0.0); 3];
    for (i, &(to, from)) in couplings.iter().enumerate() {
        coefficients[i] = tanh(s, lanes::get(s, parameters, coefficient_at(i)));
        means[to] = s.fma(coefficients[i], x[from], means[to]);
    }
    let mut sum = s.splat(0.0);
    let mut dmeans = x;
    for colour in 0..COLOURS {
        let log_scale = lanes::get(s, parameters, scale_at(colour));
        let term = bin.log_prob(s, x[colour], means[colour], log_scale);
        sum = s.add(sum, term.log_prob);
        dmeans[colour] = term.dmean;
        if gradient {
            lanes::set(s, parameters, mean_at(colour), term.dmean);
            lanes::set(s, parameters, scale_at(colour), term.dlog_scale);
        }
    }
    if gradient {
        for (i, &(to, from)) in couplings.iter().enumerate() {
            let c = coefficients[i];
            let slope = s.fnma(c, c, s.splat(1.0));
            let d = s.mul(s.mul(dmeans[to], x[from]), slope);
            lanes::set(s, parameters, coefficient_at(i), d);
        }
    }
    sum
}

/// Negative log likelihood of the mixture whose components have the log likelihoods `terms`.
/// With `gradient`, turns the derivatives in `parameters` into those of the result.
#[inline(always)]
fn mix<S: Simd>(s: S, k: usize, parameters: &mut [f32], terms: &mut [f32], gradient: bool) -> S::F {
    // Logits are the first k vectors; a term becomes the joint log likelihood with its component.
    let mut largest = s.splat(f32::NEG_INFINITY);
    let mut largest_logit = largest;
    for i in 0..k {
        let logit = lanes::get(s, parameters, i);
        let joint = s.add(lanes::get(s, terms, i), logit);
        lanes::set(s, terms, i, joint);
        largest = s.max(joint, largest);
        largest_logit = s.max(logit, largest_logit);
    }
    let mut sum = s.splat(0.0);
    let mut logit_sum = sum;
    for i in 0..k {
        let posterior = exp(s, s.sub(lanes::get(s, terms, i), largest));
        let prior = exp(s, s.sub(lanes::get(s, parameters, i), largest_logit));
        lanes::set(s, terms, i, posterior);
        lanes::set(s, parameters, i, prior);
        sum = s.add(sum, posterior);
        logit_sum = s.add(logit_sum, prior);
    }
    let prior_norm = s.add(largest_logit, ln(s, logit_sum));
    let nll = s.sub(prior_norm, s.add(largest, ln(s, sum)));
    if gradient {
        let (share, logit_share) = (s.div(s.splat(-1.0), sum), s.div(s.splat(1.0), logit_sum));
        let vectors = parameters.len() / S::LANES;
        for i in 0..k {
            let weight = s.mul(lanes::get(s, terms, i), share);
            let prior = lanes::get(s, parameters, i);
            lanes::set(s, parameters, i, s.fma(prior, logit_share, weight));
            for j in (k + i..vectors).step_by(k) {
                let d = s.mul(lanes::get(s, parameters, j), weight);
                lanes::set(s, parameters, j, d);
            }
        }
    }
    nll
}

/// How likely a value is under one logistic distribution, with derivatives.
struct Term<S: Simd> {
    log_prob: S::F,
    dmean: S::F,
    dlog_scale: S::F,
}

/// What is the same for every value.
struct Bin<S: Simd> {
    half: S::F,
    upper_edge: S::F,
    /// Log of the number of half bins per unit: density to mass.
    log_density: S::F,
}

impl<S: Simd> Bin<S> {
    #[inline(always)]
    fn new(s: S, half: f32, upper_edge: f32) -> Self {
        Self {
            half: s.splat(half),
            upper_edge: s.splat(upper_edge),
            // 127.5 for 8 bit, 15.5 for 5 bit.
            log_density: s.splat((0.5 / half).ln()),
        }
    }

    /// Log mass of the bin around `x`.
    ///
    /// With `a`, `b` the standardised upper and lower edge and `w = a - b`, the mass is
    /// `sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^-w)`: no cancellation, and the
    /// first and last bin, which reach to infinity, are its factors `sigmoid(a)` and
    /// `sigmoid(-b)`.
    #[inline(always)]
    fn log_prob(&self, s: S, x: S::F, mean: S::F, log_scale: S::F) -> Term<S> {
        let zero = s.splat(0.0);
        let least = s.splat(LEAST_LOG_SCALE);
        let clamped = s.max(least, log_scale);
        let inverse = exp(s, s.neg(clamped));
        let centred = s.sub(x, mean);
        let a = s.mul(inverse, s.add(centred, self.half));
        let b = s.mul(inverse, s.sub(centred, self.half));
        let w = s.mul(inverse, s.add(self.half, self.half));
        let first = s.lt(x, s.splat(-UPPER_EDGE));
        let last = s.lt(self.upper_edge, x);
        // Of what is in the last bin the largest value there is.
        let x = s.select(last, s.splat(1.0), x);
        let edge = s.lt(s.splat(UPPER_EDGE), s.abs(x));

        let (below, not_below) = log_sigmoid(s, a);
        let (above, not_above) = log_sigmoid(s, s.neg(b));
        let (below, not_below) = (s.select(last, zero, below), s.select(last, zero, not_below));
        let (above, not_above) = (
            s.select(first, zero, above),
            s.select(first, zero, not_above),
        );
        let inside = one_minus_exp_neg(s, w);
        let log_inside = s.select(edge, zero, ln(s, inside));
        // w / (e^w - 1)
        let widening = s.div(s.mul(w, s.sub(s.splat(1.0), inside)), inside);
        let mass: Term<S> = Term {
            log_prob: s.add(s.add(below, above), log_inside),
            dmean: s.mul(inverse, s.sub(not_above, not_below)),
            dlog_scale: s.sub(
                s.fnma(a, not_below, s.mul(b, not_above)),
                s.select(edge, zero, widening),
            ),
        };

        let density = self.log_density_at(s, s.mul(inverse, centred), inverse, clamped);
        let enough = s.lt(s.splat(LEAST_LOG_MASS), s.select(edge, zero, mass.log_prob));
        let dlog_scale = s.select(enough, mass.dlog_scale, density.dlog_scale);
        Term {
            log_prob: s.select(enough, mass.log_prob, density.log_prob),
            dmean: s.select(enough, mass.dmean, density.dmean),
            dlog_scale: s.select(s.lt(least, log_scale), dlog_scale, zero),
        }
    }

    /// Log density at the standardised centre, times the width of a bin.
    #[inline(always)]
    fn log_density_at(&self, s: S, centre: S::F, inverse: S::F, log_scale: S::F) -> Term<S> {
        let one = s.splat(1.0);
        let distance = s.abs(centre);
        let e = exp(s, s.neg(distance));
        let log_norm = s.fma(ln_1p_unit(s, e), s.splat(2.0), distance);
        // tanh(centre / 2), with the sign of the centre
        let pull = s.div(s.sub(one, e), s.add(one, e));
        let pull = s.select(s.lt(centre, s.splat(0.0)), s.neg(pull), pull);
        let log_width = s.add(log_scale, self.log_density);
        Term {
            log_prob: s.neg(s.add(log_norm, log_width)),
            dmean: s.mul(pull, inverse),
            dlog_scale: s.fma(pull, centre, s.neg(one)),
        }
    }
}

/// `ln sigmoid(x)` and its derivative `sigmoid(-x)`.
#[inline(always)]
fn log_sigmoid<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let zero = s.splat(0.0);
    let e = exp(s, s.neg(s.abs(x)));
    let larger = s.div(s.splat(1.0), s.add(s.splat(1.0), e));
    let derivative = s.select(s.lt(x, zero), larger, s.mul(larger, e));
    (s.sub(s.min(zero, x), ln_1p_unit(s, e)), derivative)
}
