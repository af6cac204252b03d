//! Gates, and the other activations of autoregressive models.
//!
//! Where two halves are gated, a row holds `channels` numbers and then as many that open or close them.

use super::{expect_len, for_chunks, rows_per_task};
use crate::detect::{Kernel, dispatch};
use crate::math::{one_minus_exp_neg, sigmoid, tanh};
use crate::simd::Simd;

/// `y = elu([x, -x])` (Salimans et al. 2017, arXiv:1701.05517): `x` `[.., channels]`, `y`
/// `[.., 2 channels]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn concat_elu(channels: usize, x: &[f32], y: &mut [f32]) {
    expect_len("result", y.len(), 2 * x.len());
    in_rows(channels, 2 * channels, y, |row, y| {
        let x = &x[row * channels..][..y.len() / 2];
        dispatch(ConcatElu { channels, x, y });
    });
}

/// `y = x + a sigmoid(b)`, where a row of `gates` `[.., 2 channels]` is `a` and then `b`; `x` and `y`
/// `[.., channels]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn gated_residual(channels: usize, x: &[f32], gates: &[f32], y: &mut [f32]) {
    expect_len("input", x.len(), y.len());
    expect_len("gates", gates.len(), 2 * y.len());
    in_rows(channels, channels, y, |row, y| {
        let x = Some(&x[row * channels..][..y.len()]);
        let gates = &gates[2 * row * channels..][..2 * y.len()];
        dispatch(Gate {
            channels,
            x,
            gates,
            y,
        });
    });
}

/// `y = tanh(a) sigmoid(b)` (van den Oord et al. 2016, arXiv:1606.05328, equation 2), where a row of
/// `gates` `[.., 2 channels]` is `a` and then `b`; `y` `[.., channels]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn gated_tanh(channels: usize, gates: &[f32], y: &mut [f32]) {
    expect_len("gates", gates.len(), 2 * y.len());
    in_rows(channels, channels, y, |row, y| {
        let gates = &gates[2 * row * channels..][..2 * y.len()];
        dispatch(Gate {
            channels,
            x: None,
            gates,
            y,
        });
    });
}

/// Calls `work` with a row's index and some rows of `y`, `width` numbers each, from there on.
fn in_rows(channels: usize, width: usize, y: &mut [f32], work: impl Fn(usize, &mut [f32]) + Sync) {
    assert!(
        y.is_empty() || channels > 0 && y.len().is_multiple_of(width),
        "result: expected rows of {width} numbers, found {}",
        y.len()
    );
    let rows = rows_per_task(width);
    for_chunks(y, rows * width, |i, y| work(i * rows, y));
}

struct ConcatElu<'a> {
    channels: usize,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for ConcatElu<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let zero = s.splat(0.0);
        let rows = self.x.chunks(self.channels);
        for (x, y) in rows.zip(self.y.chunks_mut(2 * self.channels)) {
            let (above, below) = y.split_at_mut(self.channels);
            for i in (0..x.len()).step_by(S::LANES) {
                let x = s.load_partial(&x[i..]);
                // Of x and -x one is above 0; both share the exponential of the other.
                let curve = s.neg(one_minus_exp_neg(s, s.abs(x)));
                let positive = s.lt(zero, x);
                s.store_partial(&mut above[i..], s.select(positive, x, curve));
                s.store_partial(&mut below[i..], s.select(positive, curve, s.neg(x)));
            }
        }
    }
}

/// `x + a sigmoid(b)`, or `tanh(a) sigmoid(b)` without `x`.
struct Gate<'a> {
    channels: usize,
    x: Option<&'a [f32]>,
    gates: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Gate<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.gates.chunks(2 * self.channels);
        for (row, (gates, y)) in rows.zip(self.y.chunks_mut(self.channels)).enumerate() {
            let (a, b) = gates.split_at(self.channels);
            for i in (0..self.channels).step_by(S::LANES) {
                let (a, b) = (s.load_partial(&a[i..]), s.load_partial(&b[i..]));
                let open = sigmoid(s, b);
                let value = match self.x {
                    Some(x) => {
                        let x = &x[row * self.channels..][..self.channels];
                        s.fma(a, open, s.load_partial(&x[i..]))
                    }
                    None => s.mul(tanh(s, a), open),
                };
                s.store_partial(&mut y[i..], value);
            }
        }
    }
}
