//! Gates: of a row of `a` and `b`, as many numbers each, `b` decides how much of `a` passes.

use super::{expect_len, for_chunks, rows_per_task};
use crate::detect::{Kernel, dispatch};
use crate::math::{sigmoid, tanh};
use crate::simd::Simd;

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// a sigmoid(b) (Salimans et al. 2017).
    Linear,
    /// tanh(a) sigmoid(b) (van den Oord et al. 2016, equation 2).
    Tanh,
}

/// `out = gate(y)`, plus `x` if given: `y` is `[.., 2 channels]`, the others `[.., channels]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn gate(kind: Gate, channels: usize, y: &[f32], x: Option<&[f32]>, out: &mut [f32]) {
    if let Some(x) = x {
        expect_len("x", x.len(), out.len());
    }
    run(kind, channels, y, out, |first, y, out| {
        let x = x.map(|x| &x[first..][..out.len()]);
        dispatch(Forward {
            kind,
            channels,
            y,
            x,
            out,
        });
    });
}

/// `x += gate(y)`, the same bits as [`gate()`].
///
/// # Panics
/// If the lengths do not agree.
pub fn add_gate(kind: Gate, channels: usize, y: &[f32], x: &mut [f32]) {
    run(kind, channels, y, x, |_, y, out| {
        dispatch(Add {
            kind,
            channels,
            y,
            out,
        });
    });
}

/// Calls `work` with the place of a part of `out`, the part of `y` that it is made of, and itself.
fn run(
    kind: Gate,
    channels: usize,
    y: &[f32],
    out: &mut [f32],
    work: impl Fn(usize, &[f32], &mut [f32]) + Sync,
) {
    let rows = out.len().checked_div(channels).unwrap_or(0);
    expect_len(&format!("result of {kind:?}"), out.len(), rows * channels);
    expect_len("gates", y.len(), 2 * out.len());
    let size = rows_per_task(channels) * channels;
    for_chunks(out, size, |i, out| {
        let first = i * size.max(1);
        work(first, &y[2 * first..][..2 * out.len()], out);
    });
}

/// The gradient of [`gate()`] with respect to `y` from `dout`, the one with respect to its result.
///
/// # Panics
/// If the lengths do not agree.
pub fn gate_backward(kind: Gate, channels: usize, y: &[f32], dout: &[f32], dy: &mut [f32]) {
    let rows = dout.len().checked_div(channels).unwrap_or(0);
    expect_len("gradient", dout.len(), rows * channels);
    expect_len("gates", y.len(), 2 * dout.len());
    expect_len("gradient of the gates", dy.len(), y.len());
    let size = 2 * channels * rows_per_task(2 * channels);
    for_chunks(dy, size, |i, dy| {
        let first = i * size.max(1);
        let (y, dout) = (&y[first..][..dy.len()], &dout[first / 2..]);
        dispatch(Backward {
            kind,
            channels,
            y,
            dout,
            dy,
        });
    });
}

/// What may pass.
#[inline(always)]
fn content<S: Simd>(s: S, kind: Gate, a: S::F) -> S::F {
    match kind {
        Gate::Linear => a,
        Gate::Tanh => tanh(s, a),
    }
}

/// What passes, plus `x`.
#[inline(always)]
fn passed<S: Simd>(s: S, kind: Gate, [a, b]: [S::F; 2], x: Option<S::F>) -> S::F {
    let (content, open) = (content(s, kind, a), sigmoid(s, b));
    match x {
        Some(x) => s.fma(content, open, x),
        None => s.mul(content, open),
    }
}

struct Forward<'a> {
    kind: Gate,
    channels: usize,
    y: &'a [f32],
    x: Option<&'a [f32]>,
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.channels;
        let rows = self.y.chunks_exact(2 * n).zip(self.out.chunks_exact_mut(n));
        for (row, (y, out)) in rows.enumerate() {
            let (a, b) = y.split_at(n);
            for i in (0..n).step_by(S::LANES) {
                let gates = [s.load_partial(&a[i..]), s.load_partial(&b[i..])];
                let passed = if let Some(x) = self.x {
                    let x = s.load_partial(&x[row * n..][i..n]);
                    passed(s, self.kind, gates, Some(x))
                } else {
                    passed(s, self.kind, gates, None)
                };
                s.store_partial(&mut out[i..], passed);
            }
        }
    }
}

struct Add<'a> {
    kind: Gate,
    channels: usize,
    y: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Add<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.channels;
        for (y, out) in self.y.chunks_exact(2 * n).zip(self.out.chunks_exact_mut(n)) {
            let (a, b) = y.split_at(n);
            for i in (0..n).step_by(S::LANES) {
                let gates = [s.load_partial(&a[i..]), s.load_partial(&b[i..])];
                let x = Some(s.load_partial(&out[i..]));
                s.store_partial(&mut out[i..], passed(s, self.kind, gates, x));
            }
        }
    }
}

struct Backward<'a> {
    kind: Gate,
    channels: usize,
    y: &'a [f32],
    dout: &'a [f32],
    dy: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (n, one) = (self.channels, s.splat(1.0));
        let rows = self.y.chunks_exact(2 * n).zip(self.dout.chunks_exact(n));
        for ((y, dout), dy) in rows.zip(self.dy.chunks_exact_mut(2 * n)) {
            let (a, b) = y.split_at(n);
            let (da, db) = dy.split_at_mut(n);
            for i in (0..n).step_by(S::LANES) {
                let d = s.load_partial(&dout[i..]);
                let content = content(s, self.kind, s.load_partial(&a[i..]));
                let open = sigmoid(s, s.load_partial(&b[i..]));
                let through = s.mul(d, open);
                let to_content = match self.kind {
                    Gate::Linear => through,
                    Gate::Tanh => s.mul(through, s.fnma(content, content, one)),
                };
                let to_gate = s.mul(s.mul(through, content), s.sub(one, open));
                s.store_partial(&mut da[i..], to_content);
                s.store_partial(&mut db[i..], to_gate);
            }
        }
    }
}
