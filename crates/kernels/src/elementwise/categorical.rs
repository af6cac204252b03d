//! Values that are one of a few levels each, with a softmax over them.

use super::{WORTH_A_THREAD, expect_len, for_chunks, image_parts, rows_per_task, sum_per_image};
use crate::detect::{Kernel, dispatch};
use crate::math::exp;
use crate::simd::Simd;

/// Negative log-likelihood in nats of each image's levels: `logits` `[batch, .., levels]`, `target` `[batch, ..]`
/// whole numbers below `levels`, `nll` `[batch]`.
///
/// # Panics
/// If the lengths do not agree, or a target is no level.
pub fn nll(levels: usize, logits: &[f32], target: &[f32], nll: &mut [f32]) {
    check(levels, logits, target, nll);
    let per_image = target.len().checked_div(nll.len()).unwrap_or(0);
    let parts = image_parts(nll.len(), per_image).collect();
    sum_per_image(parts, logits.len() >= WORTH_A_THREAD, nll, |part| {
        let values = part.clone().map(|i| {
            let row = &logits[i * levels..][..levels];
            let own = row[level(target[i], levels)];
            (row, own)
        });
        values
            .map(|(row, own)| {
                let (largest, sum) = dispatch(Weigh { row });
                f64::from(sum).ln() + f64::from(largest) - f64::from(own)
            })
            .sum()
    });
}

/// The gradient of [`nll()`] with respect to `logits`, from `dnll` `[batch]`.
///
/// # Panics
/// As [`nll()`].
pub fn nll_backward(
    levels: usize,
    logits: &[f32],
    target: &[f32],
    dnll: &[f32],
    dlogits: &mut [f32],
) {
    check(levels, logits, target, dnll);
    expect_len("gradient of the logits", dlogits.len(), logits.len());
    let per_image = target.len().checked_div(dnll.len()).unwrap_or(0);
    let rows = rows_per_task(levels);
    for_chunks(dlogits, rows * levels, |task, gradients| {
        for (i, to) in gradients.chunks_exact_mut(levels).enumerate() {
            let i = task * rows + i;
            let row = &logits[i * levels..][..levels];
            let factor = dnll[i / per_image];
            dispatch(Softmax { row, factor, to });
            to[level(target[i], levels)] -= factor;
        }
    });
}

#[track_caller]
fn check(levels: usize, logits: &[f32], target: &[f32], images: &[f32]) {
    assert!(levels > 0, "a value without levels");
    expect_len("logits", logits.len(), target.len() * levels);
    let per_image = target.len().checked_div(images.len()).unwrap_or(0);
    expect_len("targets", target.len(), per_image * images.len());
}

/// The level that a target is.
#[track_caller]
fn level(target: f32, levels: usize) -> usize {
    let level = target as usize;
    assert!(
        level < levels && level as f32 == target,
        "target {target} is none of {levels} levels"
    );
    level
}

/// Vectors of a row; in the last one, what is not in the row is as good as nothing.
#[inline(always)]
fn load<S: Simd>(s: S, row: &[f32], i: usize) -> S::F {
    let rest = &row[i..];
    if rest.len() >= S::LANES {
        return s.load(rest);
    }
    let mut last = [f32::NEG_INFINITY; 16];
    last[..rest.len()].copy_from_slice(rest);
    s.load(&last)
}

/// The largest number of a row.
#[inline(always)]
fn largest<S: Simd>(s: S, row: &[f32]) -> f32 {
    let mut most = s.splat(f32::NEG_INFINITY);
    for i in (0..row.len()).step_by(S::LANES) {
        most = s.max(most, load(s, row, i));
    }
    let mut lanes = [f32::NEG_INFINITY; 16];
    s.store(&mut lanes, most);
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// The largest number of a row, and the sum of `e^(x - largest)`.
struct Weigh<'a> {
    row: &'a [f32],
}

impl Kernel for Weigh<'_> {
    type Output = (f32, f32);
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, f32) {
        let most = largest(s, self.row);
        let mut sum = s.splat(0.0);
        for i in (0..self.row.len()).step_by(S::LANES) {
            let x = load(s, self.row, i);
            sum = s.add(sum, exp(s, s.sub(x, s.splat(most))));
        }
        (most, s.sum(sum))
    }
}

/// `to = factor softmax(row)`.
struct Softmax<'a> {
    row: &'a [f32],
    factor: f32,
    to: &'a mut [f32],
}

impl Kernel for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let most = s.splat(largest(s, self.row));
        let mut sum = s.splat(0.0);
        for i in (0..self.row.len()).step_by(S::LANES) {
            let weight = exp(s, s.sub(load(s, self.row, i), most));
            sum = s.add(sum, weight);
            s.store_partial(&mut self.to[i..], weight);
        }
        let share = s.splat(self.factor / s.sum(sum));
        for i in (0..self.row.len()).step_by(S::LANES) {
            let weight = s.load_partial(&self.to[i..]);
            s.store_partial(&mut self.to[i..], s.mul(weight, share));
        }
    }
}
