//! Slow, obvious twin of the residual cell, for tests only.

use crate::conv::Conv;
use crate::naive::{conv_backward, conv_forward};
use crate::naive_cells::{Normalisation, excite, excite_backward, statistics, swish, swish_slope};
use crate::residual::Residual;

/// What is learned, in the order of [`crate::residual::Weights`].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ResidualWeights {
    /// Gamma and beta of each.
    pub norms: [[Vec<f64>; 2]; 2],
    pub convolutions: [Vec<f32>; 2],
    pub biases: [Vec<f32>; 2],
    pub squeeze: [Vec<f64>; 4],
}

/// All gradients; those of weights and biases in f64.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct ResidualGradients {
    pub x: Vec<f64>,
    pub norms: [[Vec<f64>; 2]; 2],
    pub convolutions: [Vec<f64>; 2],
    pub biases: [Vec<f64>; 2],
    pub squeeze: [Vec<f64>; 4],
}

/// All that a residual cell computes on its way.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct ResidualPass {
    pub y: Vec<f64>,
    /// Means and variances used.
    pub statistics: [(Vec<f64>, Vec<f64>); 2],
    /// What is normalised, and what comes last.
    before: [Vec<f64>; 3],
}

/// The convolutions, and whether every second pixel of every second line is left out.
fn convolutions(shape: &Residual) -> [(Conv, bool); 2] {
    let half = |side: usize| side.div_ceil(shape.stride);
    let conv = |height, width, c_in| Conv {
        batch: shape.batch,
        height,
        width,
        c_in,
        c_out: shape.c_out,
        kernel: 3,
    };
    [
        (
            conv(shape.height, shape.width, shape.c_in),
            shape.stride == 2,
        ),
        (
            conv(half(shape.height), half(shape.width), shape.c_out),
            false,
        ),
    ]
}

/// The rows of a convolution's outputs that remain.
fn kept(conv: &Conv) -> Vec<usize> {
    let even = |pixel: &usize| {
        let (row, column) = (pixel / conv.width, pixel % conv.width);
        (row % conv.height).is_multiple_of(2) && column.is_multiple_of(2)
    };
    (0..conv.pixels()).filter(even).collect()
}

fn norm<'a>(
    weights: &'a [Vec<f64>; 2],
    statistics: &'a (Vec<f64>, Vec<f64>),
    epsilon: f32,
) -> Normalisation<'a> {
    Normalisation {
        gamma: &weights[0],
        beta: &weights[1],
        mean: &statistics.0,
        variance: &statistics.1,
        epsilon: f64::from(epsilon),
    }
}

/// Twin of [`crate::residual::forward_new`], and of [`crate::residual::evaluate`] where statistics are
/// given.
pub fn residual_forward(
    shape: &Residual,
    x: &[f64],
    skip: &[f64],
    weights: &ResidualWeights,
    given: Option<&[(Vec<f64>, Vec<f64>); 2]>,
) -> ResidualPass {
    let mut pass = ResidualPass::default();
    let mut h = x.to_vec();
    for (i, (conv, strided)) in convolutions(shape).iter().enumerate() {
        let found = statistics(&h, conv.c_in);
        pass.statistics[i] = given.map_or(found, |given| given[i].clone());
        let norm = norm(&weights.norms[i], &pass.statistics[i], shape.epsilon);
        let z: Vec<f64> = norm.forward(&h).into_iter().map(swish).collect();
        let mut y = conv_forward(conv, &z, &weights.convolutions[i], &weights.biases[i]);
        if *strided {
            let rows = kept(conv).into_iter();
            y = rows
                .flat_map(|row| y[row * conv.c_out..][..conv.c_out].to_vec())
                .collect();
        }
        pass.before[i] = h;
        h = y;
    }
    let squeeze = weights.squeeze.each_ref().map(Vec::as_slice);
    pass.y = excite(&h, skip, shape.batch, f64::from(shape.scale), squeeze);
    pass.before[2] = h;
    pass
}

/// Twin of [`crate::residual::backward_new`], of `x` without the skip.
pub fn residual_backward(
    shape: &Residual,
    weights: &ResidualWeights,
    pass: &ResidualPass,
    dy: &[f64],
) -> ResidualGradients {
    let squeeze = weights.squeeze.each_ref().map(Vec::as_slice);
    let scale = f64::from(shape.scale);
    let [mut d, w1, b1, w2, b2] = excite_backward(&pass.before[2], dy, shape.batch, scale, squeeze);
    let mut gradients = ResidualGradients {
        squeeze: [w1, b1, w2, b2],
        ..Default::default()
    };
    for (i, (conv, strided)) in convolutions(shape).iter().enumerate().rev() {
        if *strided {
            let mut all = vec![0.0; conv.pixels() * conv.c_out];
            for (row, d) in kept(conv).into_iter().zip(d.chunks_exact(conv.c_out)) {
                all[row * conv.c_out..][..conv.c_out].copy_from_slice(d);
            }
            d = all;
        }
        let norm = norm(&weights.norms[i], &pass.statistics[i], shape.epsilon);
        let before = norm.forward(&pass.before[i]);
        let z: Vec<f64> = before.iter().map(|&z| swish(z)).collect();
        let (dz, dw, db) = conv_backward(conv, &z, &weights.convolutions[i], &d);
        gradients.convolutions[i] = dw;
        gradients.biases[i] = db;
        let through = |(d, &z): (&f64, &f64)| d * swish_slope(z);
        let dz: Vec<f64> = dz.iter().zip(&before).map(through).collect();
        let (dx, gamma, beta) = norm.backward(&pass.before[i], &dz);
        gradients.norms[i] = [gamma, beta];
        d = dx;
    }
    gradients.x = d;
    gradients
}
