//! Weight normalisation of many weights at once, and the power iteration for their spectral norms.
//!
//! Weights are `[rows, outputs]`, rows being taps times input channels: every layout of this crate.
//! `w = g v / |v|`, or `exp(g) v / (|v| + 1e-5)`, with the norm over the rows, for each output. A mask of zeros and
//! ones is multiplied to `v` first.

use crate::blank::Blank;
use crate::bottleneck::check_length;
use crate::detect::{Kernel, dispatch};
use crate::parallel::{Shared, enter, for_ranges};
use crate::rows::{load, store};
use crate::simd::Simd;
use std::ops::Range;

/// Added to norms whose logarithms are learned.
const EPSILON: f32 = 1e-5;
/// Other norms count as at least this.
const LEAST_NORM: f32 = 1e-6;
/// Outputs that are a task.
const BLOCK: usize = 64;
/// Rows that are summed in single precision.
const PART: usize = 64;

/// What is learned of a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gain {
    /// Itself: `w = g v / |v|` (Salimans and Kingma, NeurIPS 2016, equation 2).
    Norm,
    /// Its logarithm: `w = exp(g) v / (|v| + 1e-5)`.
    LogNorm,
}

impl Gain {
    /// What `v` is multiplied by.
    fn factor(self, g: f32, norm: f32) -> f32 {
        match self {
            Self::Norm => g / norm.max(LEAST_NORM),
            Self::LogNorm => g.exp() / (norm + EPSILON),
        }
    }

    /// From the product of `v` and the gradient of `w`: the gradient of `g`, and the part of that of `v` along `v`.
    fn slopes(self, g: f32, norm: f32, product: f32) -> [f32; 2] {
        match self {
            Self::Norm if norm < LEAST_NORM => [product / LEAST_NORM, 0.0],
            Self::Norm => {
                let own = product / norm;
                [own, -g * own / (norm * norm)]
            }
            Self::LogNorm => {
                let own = self.factor(g, norm) * product;
                // A norm of 0 has no direction in which it grows.
                let along = if norm > 0.0 {
                    -own / ((norm + EPSILON) * norm)
                } else {
                    0.0
                };
                [own, along]
            }
        }
    }
}

/// Weights before they are normalised.
#[derive(Clone, Copy, Debug)]
pub struct Direction<'a> {
    /// `[rows, outputs]`.
    pub v: &'a [f32],
    /// `[outputs]`.
    pub g: &'a [f32],
    /// What `g` is.
    pub gain: Gain,
    /// Zeros and ones, `[rows, outputs]`.
    pub mask: Option<&'a [f32]>,
}

/// Normalised weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Normed {
    /// `[rows, outputs]`.
    pub w: Vec<f32>,
    /// Norms of the (masked) `v`, `[outputs]`.
    pub norms: Vec<f32>,
}

/// Gradients with respect to a [`Direction`].
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct DirectionGradient {
    pub v: Vec<f32>,
    pub g: Vec<f32>,
}

impl Direction<'_> {
    fn check(&self) {
        let outputs = self.g.len();
        assert!(
            outputs > 0 && self.v.len().is_multiple_of(outputs),
            "v has {} numbers, not rows of {outputs}",
            self.v.len()
        );
        if let Some(mask) = self.mask {
            check_length("mask", mask.len(), self.v.len());
        }
    }
}

/// Blocks of outputs of all weights, and the numbers in all.
fn blocks<'a>(all: impl Iterator<Item = &'a Direction<'a>>) -> (Vec<(usize, Range<usize>)>, usize) {
    let (mut blocks, mut numbers) = (Vec::new(), 0);
    for (i, direction) in all.enumerate() {
        direction.check();
        numbers += direction.v.len();
        let outputs = direction.g.len();
        let starts = (0..outputs).step_by(BLOCK);
        blocks.extend(starts.map(|start| (i, start..outputs.min(start + BLOCK))));
    }
    (blocks, numbers)
}

/// An addition to the gradients waits for memory about as long as so many take.
const OPERATIONS: usize = 10;

/// Normalises all weights.
///
/// # Panics
/// If the lengths of one's slices do not agree.
pub fn forward_new(all: &[Direction]) -> Vec<Normed> {
    let (blocks, numbers) = blocks(all.iter());
    let mut results: Vec<_> = all
        .iter()
        .map(|d| (Blank::new(d.v.len()), Blank::new(d.g.len())))
        .collect();
    let places: Vec<_> = results.iter_mut().map(|(w, n)| [w.at(), n.at()]).collect();
    enter(OPERATIONS * numbers, || {
        for_ranges(blocks.len(), 1, OPERATIONS * numbers, |range| {
            for (i, outputs) in &blocks[range] {
                dispatch(Normalise {
                    of: &all[*i],
                    outputs: outputs.clone(),
                    to: places[*i],
                });
            }
        });
    });
    // SAFETY: all blocks were written.
    let written = results.into_iter().map(|(w, norms)| unsafe {
        Normed {
            w: w.written(),
            norms: norms.written(),
        }
    });
    written.collect()
}

struct Normalise<'a> {
    of: &'a Direction<'a>,
    outputs: Range<usize>,
    to: [Shared; 2],
}

impl Kernel for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (outputs, of) = (self.of.g.len(), self.of);
        let rows = of.v.len() / outputs;
        let [w, norms] = self.to;
        for c in self.outputs.clone().step_by(S::LANES) {
            let n = S::LANES.min(self.outputs.end - c);
            let mut squares = [0.0_f64; 16];
            for start in (0..rows).step_by(PART) {
                let mut sum = s.splat(0.0);
                for row in start..rows.min(start + PART) {
                    // SAFETY: `n` outputs of a row.
                    let v = unsafe { of.row(s, row * outputs + c, n) };
                    sum = s.fma(v, v, sum);
                }
                add_lanes(s, &mut squares, sum);
            }
            let (mut scale, mut norm) = ([0.0_f32; 16], [0.0_f32; 16]);
            for i in 0..n {
                norm[i] = squares[i].sqrt() as f32;
                scale[i] = of.gain.factor(of.g[c + i], norm[i]);
            }
            // SAFETY: `n` outputs of all rows, which no other task has.
            unsafe {
                store(s, norms.after(c), s.load(&norm), n);
                let scale = s.load(&scale);
                for row in 0..rows {
                    let at = row * outputs + c;
                    store(s, w.after(at), s.mul(scale, of.row(s, at, n)), n);
                }
            }
        }
    }
}

impl Direction<'_> {
    /// Masked numbers.
    ///
    /// # Safety
    /// `n` numbers from there on must be those of a row.
    #[inline(always)]
    unsafe fn row<S: Simd>(&self, s: S, at: usize, n: usize) -> S::F {
        // SAFETY: promised by the caller.
        unsafe {
            let v = load(s, self.v.as_ptr().add(at), n);
            match self.mask {
                Some(mask) => s.mul(v, load(s, mask.as_ptr().add(at), n)),
                None => v,
            }
        }
    }
}

/// Adds the lanes of a vector to sums.
#[inline(always)]
fn add_lanes<S: Simd>(s: S, sums: &mut [f64; 16], a: S::F) {
    let mut lanes = [0.0_f32; 16];
    s.store(&mut lanes, a);
    for (sum, lane) in sums.iter_mut().zip(lanes) {
        *sum += f64::from(lane);
    }
}

/// The gradient with respect to normalised weights, and what a penalty adds to it:
/// `factor * v u'`, see [`Spectral`].
#[derive(Clone, Copy, Debug)]
pub struct NormedGradient<'a> {
    /// `[rows, outputs]`.
    pub dw: &'a [f32],
    /// The vectors, and the gradient with respect to the spectral norm.
    pub spectral: Option<(&'a Spectral, f32)>,
}

/// The gradients with respect to all weights before they were normalised.
///
/// # Panics
/// If the lengths of one's slices do not agree.
pub fn backward_new(
    all: &[Direction],
    normed: &[Normed],
    gradients: &[NormedGradient],
) -> Vec<DirectionGradient> {
    let (blocks, numbers) = blocks(all.iter());
    check_length("normed weights", normed.len(), all.len());
    check_length("gradients", gradients.len(), all.len());
    for ((direction, normed), gradient) in all.iter().zip(normed).zip(gradients) {
        let (numbers, outputs) = (direction.v.len(), direction.g.len());
        check_length("norms", normed.norms.len(), outputs);
        check_length("gradient of w", gradient.dw.len(), numbers);
        if let Some((spectral, _)) = gradient.spectral {
            check_length("u", spectral.u.len(), outputs);
            check_length("v", spectral.v.len(), numbers / outputs);
        }
    }
    let mut results: Vec<_> = all
        .iter()
        .map(|d| (Blank::new(d.v.len()), Blank::new(d.g.len())))
        .collect();
    let places: Vec<_> = results.iter_mut().map(|(v, g)| [v.at(), g.at()]).collect();
    enter(OPERATIONS * numbers, || {
        for_ranges(blocks.len(), 1, OPERATIONS * numbers, |range| {
            for (i, outputs) in &blocks[range] {
                dispatch(Back {
                    of: &all[*i],
                    norms: &normed[*i].norms,
                    gradient: &gradients[*i],
                    outputs: outputs.clone(),
                    to: places[*i],
                });
            }
        });
    });
    // SAFETY: all blocks were written.
    let written = results.into_iter().map(|(v, g)| unsafe {
        DirectionGradient {
            v: v.written(),
            g: g.written(),
        }
    });
    written.collect()
}

struct Back<'a> {
    of: &'a Direction<'a>,
    norms: &'a [f32],
    gradient: &'a NormedGradient<'a>,
    outputs: Range<usize>,
    to: [Shared; 2],
}

impl Back<'_> {
    /// The gradient with respect to some normalised weights of a row.
    ///
    /// # Safety
    /// `n` outputs from `c` on must be those of a row.
    #[inline(always)]
    unsafe fn slope<S: Simd>(&self, s: S, row: usize, c: usize, n: usize) -> S::F {
        // SAFETY: promised by the caller.
        unsafe {
            let at = row * self.of.g.len() + c;
            let dw = load(s, self.gradient.dw.as_ptr().add(at), n);
            match self.gradient.spectral {
                Some((spectral, factor)) => {
                    let u = load(s, spectral.u.as_ptr().add(c), n);
                    s.fma(s.splat(factor * spectral.v[row]), u, dw)
                }
                None => dw,
            }
        }
    }
}

impl Kernel for Back<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (outputs, of) = (self.of.g.len(), self.of);
        let rows = of.v.len() / outputs;
        let [dv, dg] = self.to;
        for c in self.outputs.clone().step_by(S::LANES) {
            let n = S::LANES.min(self.outputs.end - c);
            let mut products = [0.0_f64; 16];
            for start in (0..rows).step_by(PART) {
                let mut sum = s.splat(0.0);
                for row in start..rows.min(start + PART) {
                    // SAFETY: `n` outputs of a row.
                    let (v, slope) =
                        unsafe { (of.row(s, row * outputs + c, n), self.slope(s, row, c, n)) };
                    sum = s.fma(v, slope, sum);
                }
                add_lanes(s, &mut products, sum);
            }
            let [mut scale, mut along, mut own] = [[0.0_f32; 16]; 3];
            for i in 0..n {
                let (g, norm) = (of.g[c + i], self.norms[c + i]);
                scale[i] = of.gain.factor(g, norm);
                [own[i], along[i]] = of.gain.slopes(g, norm, products[i] as f32);
            }
            let (scale, along) = (s.load(&scale), s.load(&along));
            // SAFETY: `n` outputs of all rows, which no other task has.
            unsafe {
                store(s, dg.after(c), s.load(&own), n);
                for row in 0..rows {
                    let at = row * outputs + c;
                    let slope = self.slope(s, row, c, n);
                    let mut d = s.fma(along, of.row(s, at, n), s.mul(scale, slope));
                    if let Some(mask) = of.mask {
                        d = s.mul(d, load(s, mask.as_ptr().add(at), n));
                    }
                    store(s, dv.after(at), d, n);
                }
            }
        }
    }
}

pub use crate::spectral::{Spectral, add_spectral_gradient, power_iteration};
