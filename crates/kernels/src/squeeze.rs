//! Squeeze and excitation: a factor for every channel of an image, from the means of its channels.
//!
//! `gate = sigmoid(relu(mean w1 + b1) w2 + b2)`: few numbers, in plain loops of one fixed order.

use crate::bottleneck::check_length;
use crate::sizes::product;

/// What is learned; C are the channels, S what they are squeezed to.
#[derive(Clone, Copy, Debug)]
pub struct Squeeze<'a> {
    /// `[C, S]`.
    pub w1: &'a [f32],
    /// `[S]`.
    pub b1: &'a [f32],
    /// `[S, C]`.
    pub w2: &'a [f32],
    /// `[C]`.
    pub b2: &'a [f32],
}

/// Gradients in their layout.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct SqueezeGradient {
    pub w1: Vec<f32>,
    pub b1: Vec<f32>,
    pub w2: Vec<f32>,
    pub b2: Vec<f32>,
}

/// What a forward pass leaves for the backward pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Gates {
    /// Means of the channels, `[batch, C]`.
    pub pooled: Vec<f32>,
    /// After relu, `[batch, S]`.
    hidden: Vec<f32>,
    /// `[batch, C]`.
    pub gate: Vec<f32>,
}

impl Squeeze<'_> {
    pub(crate) fn check(&self, channels: usize, squeezed: usize) {
        check_length(
            "w1 of the squeeze",
            self.w1.len(),
            product(&[channels, squeezed]),
        );
        check_length("b1 of the squeeze", self.b1.len(), squeezed);
        check_length(
            "w2 of the squeeze",
            self.w2.len(),
            product(&[channels, squeezed]),
        );
        check_length("b2 of the squeeze", self.b2.len(), channels);
    }

    /// The factors, from the means of each image, `[batch, C]`.
    pub(crate) fn gates(&self, pooled: Vec<f32>) -> Gates {
        let mut hidden = linear(&pooled, self.w1, self.b1);
        hidden.iter_mut().for_each(|h| *h = h.max(0.0));
        let mut gate = linear(&hidden, self.w2, self.b2);
        gate.iter_mut().for_each(|g| *g = 1.0 / (1.0 + (-*g).exp()));
        Gates {
            pooled,
            hidden,
            gate,
        }
    }

    /// The gradients with respect to the means, `[batch, C]`, and to what is learned, from the one with
    /// respect to the factors.
    pub(crate) fn backward(&self, gates: &Gates, dgate: &[f32]) -> (Vec<f32>, SqueezeGradient) {
        let d: Vec<f32> = dgate
            .iter()
            .zip(&gates.gate)
            .map(|(d, g)| d * g * (1.0 - g))
            .collect();
        let (mut dhidden, w2, b2) = linear_backward(&gates.hidden, self.w2, &d, self.b2.len());
        for (d, &h) in dhidden.iter_mut().zip(&gates.hidden) {
            *d = if h > 0.0 { *d } else { 0.0 };
        }
        let (dpooled, w1, b1) = linear_backward(&gates.pooled, self.w1, &dhidden, self.b1.len());
        (dpooled, SqueezeGradient { w1, b1, w2, b2 })
    }
}

/// `x w + b` for rows of `x`.
fn linear(x: &[f32], w: &[f32], b: &[f32]) -> Vec<f32> {
    let inputs = w.len() / b.len().max(1);
    let mut y = Vec::new();
    for x in x.chunks_exact(inputs.max(1)) {
        let start = y.len();
        y.extend_from_slice(b);
        for (&x, w) in x.iter().zip(w.chunks_exact(b.len())) {
            for (y, &w) in y[start..].iter_mut().zip(w) {
                *y += x * w;
            }
        }
    }
    y
}

/// Gradients with respect to `x`, `w` and `b` from the one with respect to `x w + b`.
fn linear_backward(
    x: &[f32],
    w: &[f32],
    dy: &[f32],
    outputs: usize,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let inputs = w.len() / outputs.max(1);
    let (mut dx, mut dw, mut db) = (Vec::new(), vec![0.0; w.len()], vec![0.0; outputs]);
    let rows = x.chunks_exact(inputs.max(1));
    for (x, dy) in rows.zip(dy.chunks_exact(outputs.max(1))) {
        for (db, dy) in db.iter_mut().zip(dy) {
            *db += dy;
        }
        let weights = w.chunks_exact(outputs).zip(dw.chunks_exact_mut(outputs));
        for (&x, (w, dw)) in x.iter().zip(weights) {
            let mut sum = 0.0;
            for ((w, dw), dy) in w.iter().zip(dw).zip(dy) {
                sum += w * dy;
                *dw += x * dy;
            }
            dx.push(sum);
        }
    }
    (dx, dw, db)
}
