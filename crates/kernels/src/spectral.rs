//! Spectral norms of weights by power iteration.

use crate::bottleneck::check_length;
use crate::detect::{Kernel, dispatch};
use crate::parallel::{Shared, enter, for_ranges};
use crate::rows::{load, store};
use crate::simd::Simd;

/// Norms are not divided by less.
const EPSILON: f32 = 1e-3;
/// Rows that are read together.
const TOGETHER: usize = 4;

/// The vectors of a power iteration for weights `[rows, outputs]`, and the norm that they give.
///
/// The gradient of the norm with respect to the weights is `v u'`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spectral {
    /// Of the outputs.
    pub u: Vec<f32>,
    /// Of the rows.
    pub v: Vec<f32>,
    /// `u' w' v`.
    pub norm: f32,
}

/// So many steps `v = w u / max(|w u|, 1e-3)`, `u = w' v / max(|w' v|, 1e-3)` for each of the weights, from
/// the vectors `u` that are there.
///
/// # Panics
/// If there are not as many vectors as weights, or their lengths do not agree.
pub fn power_iteration(weights: &[&[f32]], vectors: &mut [Spectral], steps: usize) {
    check_length("vectors", vectors.len(), weights.len());
    for (w, vectors) in weights.iter().zip(vectors.iter_mut()) {
        let outputs = vectors.u.len();
        assert!(
            outputs > 0 && w.len().is_multiple_of(outputs),
            "weights have {} numbers, not rows of {outputs}",
            w.len()
        );
        vectors.v.resize(w.len() / outputs, 0.0);
    }
    let numbers: usize = weights.iter().map(|w| w.len()).sum();
    let operations = 4 * steps * numbers;
    let to = SharedVectors(vectors.as_mut_ptr());
    let to = &to;
    enter(operations, || {
        for_ranges(weights.len(), 1, operations, |range| {
            for i in range {
                // SAFETY: each vector is used by one task.
                let vectors = unsafe { &mut *to.0.add(i) };
                for _ in 0..steps {
                    dispatch(Step {
                        weights: weights[i],
                        vectors,
                    });
                }
            }
        });
    });
}

/// Vectors that several threads write, each its own.
struct SharedVectors(*mut Spectral);
// SAFETY: no two tasks use the same one.
unsafe impl Sync for SharedVectors {}

struct Step<'a> {
    weights: &'a [f32],
    vectors: &'a mut Spectral,
}

impl Kernel for Step<'_> {
    type Output = ();

    /// Both products in one pass over the weights: lengths are divided by at the end.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Spectral { u, v, norm } = self.vectors;
        let (outputs, rows) = (u.len(), v.len());
        let mut next = vec![0.0_f32; outputs];
        let mut row = 0;
        while row < rows {
            let count = TOGETHER.min(rows - row);
            let from = self.weights[row * outputs..].as_ptr();
            // SAFETY: `count` rows of the weights.
            unsafe {
                let mut sums = [s.splat(0.0); TOGETHER];
                for c in (0..outputs).step_by(S::LANES) {
                    let n = S::LANES.min(outputs - c);
                    let u = load(s, u.as_ptr().add(c), n);
                    for i in 0..count {
                        sums[i] = s.fma(load(s, from.add(i * outputs + c), n), u, sums[i]);
                    }
                }
                for i in 0..count {
                    v[row + i] = s.sum(sums[i]);
                }
                for c in (0..outputs).step_by(S::LANES) {
                    let n = S::LANES.min(outputs - c);
                    let mut sum = load(s, next.as_ptr().add(c), n);
                    for i in 0..count {
                        let w = load(s, from.add(i * outputs + c), n);
                        sum = s.fma(w, s.splat(v[row + i]), sum);
                    }
                    store(s, next.as_mut_ptr().add(c), sum, n);
                }
            }
            row += count;
        }
        let factor = 1.0 / length(v).max(EPSILON);
        v.iter_mut().for_each(|v| *v *= factor);
        next.iter_mut().for_each(|next| *next *= factor);
        let length = length(&next);
        let factor = 1.0 / length.max(EPSILON);
        *norm = length * length * factor;
        for (u, next) in u.iter_mut().zip(next) {
            *u = next * factor;
        }
    }
}

/// The Euclidean norm.
fn length(x: &[f32]) -> f32 {
    let squares: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    squares.sqrt() as f32
}

/// Adds `factor * v u'` to the gradient of weights, `[rows, outputs]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn add_spectral_gradient(to: &mut [f32], spectral: &Spectral, factor: f32) {
    let outputs = spectral.u.len();
    check_length("gradient", to.len(), spectral.v.len() * outputs);
    let place = Shared(to.as_mut_ptr());
    for_ranges(spectral.v.len(), 16, 4 * to.len(), |rows| {
        for row in rows {
            // SAFETY: a row of the gradient, which no other range has.
            let to = unsafe { std::slice::from_raw_parts_mut(place.after(row * outputs), outputs) };
            let factor = factor * spectral.v[row];
            to.iter_mut()
                .zip(&spectral.u)
                .for_each(|(to, u)| *to += factor * u);
        }
    });
}
