//! Slow, obvious twins of [`crate::window`] and [`crate::activation`], for tests only: plain loops, sums in f64.

use crate::activation::Activation;
use crate::naive;
use crate::window::{Transposed, Window};

/// The activation of a number: of itself and, after [`Activation::ConcatElu`], of its negative.
fn values(activation: Activation, x: f64) -> Vec<f64> {
    let elu = |x: f64| if x > 0.0 { x } else { x.exp_m1() };
    match activation {
        Activation::None => vec![x],
        Activation::Elu => vec![elu(x)],
        Activation::ConcatElu => vec![elu(x), elu(-x)],
        Activation::Relu => vec![x.max(0.0)],
        Activation::Gelu => vec![naive::gelu(x)],
        Activation::Swish => vec![x / (1.0 + (-x).exp())],
    }
}

/// Their derivatives with respect to `x`.
fn slopes(activation: Activation, x: f64) -> Vec<f64> {
    let elu = |x: f64| if x > 0.0 { 1.0 } else { x.exp() };
    let gate = 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::None => vec![1.0],
        Activation::Elu => vec![elu(x)],
        Activation::ConcatElu => vec![elu(x), -elu(-x)],
        Activation::Relu => vec![if x > 0.0 { 1.0 } else { 0.0 }],
        Activation::Gelu => vec![naive::slope(x)],
        Activation::Swish => vec![gate * (1.0 + x * (1.0 - gate))],
    }
}

/// Twin of [`crate::activation::activate_new`]; `factors` says what each result is multiplied by.
pub fn activate(
    activation: Activation,
    channels: usize,
    x: &[f32],
    factors: impl Fn(usize) -> f64,
) -> Vec<f64> {
    let parts = activation.channels(1);
    let mut y = vec![0.0; x.len() * parts];
    for (i, &x) in x.iter().enumerate() {
        let (pixel, channel) = (i / channels, i % channels);
        for (part, value) in values(activation, f64::from(x)).into_iter().enumerate() {
            let place = (pixel * parts + part) * channels + channel;
            y[place] = value * factors(place);
        }
    }
    y
}

/// Twin of [`crate::activation::activate_backward_new`].
pub fn activate_backward(
    activation: Activation,
    channels: usize,
    x: &[f32],
    factors: impl Fn(usize) -> f64,
    dy: &[f64],
) -> Vec<f64> {
    let parts = activation.channels(1);
    let gradient = |(i, &x): (usize, &f32)| {
        let (pixel, channel) = (i / channels, i % channels);
        let slopes = slopes(activation, f64::from(x)).into_iter().enumerate();
        let place = |part: usize| (pixel * parts + part) * channels + channel;
        slopes
            .map(|(part, slope)| dy[place(part)] * slope * factors(place(part)))
            .sum()
    };
    x.iter().enumerate().map(gradient).collect()
}

/// Calls `body(coarse pixel, fine pixel, tap)` for all taps that fall into the fine image.
fn for_ties(
    batch: usize,
    [fine, coarse]: [[usize; 2]; 2],
    kernel: [usize; 2],
    before: [usize; 2],
    stride: usize,
    mut body: impl FnMut(usize, usize, usize),
) {
    for image in 0..batch {
        for pixel in 0..coarse[0] * coarse[1] {
            for tap in 0..kernel[0] * kernel[1] {
                let row = stride * (pixel / coarse[1]) + tap / kernel[1];
                let column = stride * (pixel % coarse[1]) + tap % kernel[1];
                let inside = |place: usize, axis: usize| {
                    (before[axis]..before[axis] + fine[axis]).contains(&place)
                };
                if inside(row, 0) && inside(column, 1) {
                    let (row, column) = (row - before[0], column - before[1]);
                    let to = image * coarse[0] * coarse[1] + pixel;
                    body(to, (image * fine[0] + row) * fine[1] + column, tap);
                }
            }
        }
    }
}

impl Window {
    fn for_ties(&self, body: impl FnMut(usize, usize, usize)) {
        let sizes = [[self.height, self.width], self.size_out()];
        for_ties(
            self.batch,
            sizes,
            self.kernel,
            self.before,
            self.stride,
            body,
        );
    }
}

impl Transposed {
    fn for_ties(&self, body: impl FnMut(usize, usize, usize)) {
        let sizes = [[2 * self.height, 2 * self.width], [self.height, self.width]];
        for_ties(self.batch, sizes, self.kernel, [0, self.left], 2, body);
    }
}

/// Twin of [`crate::window::forward_new`], of activated inputs.
pub fn forward(shape: &Window, x: &[f64], weights: &[f32], bias: Option<&[f32]>) -> Vec<f64> {
    let (c_in, c_out) = (shape.inputs(), shape.c_out);
    let mut y = biases(shape.output_length(), c_out, bias);
    shape.for_ties(|to, from, tap| {
        for i in 0..c_in {
            for o in 0..c_out {
                let w = f64::from(weights[(tap * c_in + i) * c_out + o]);
                y[to * c_out + o] += x[from * c_in + i] * w;
            }
        }
    });
    y
}

/// Twin of [`crate::window::backward_new`]: gradients of activated inputs, weights and bias.
pub fn backward(shape: &Window, x: &[f64], weights: &[f32], dy: &[f32]) -> [Vec<f64>; 3] {
    let (c_in, c_out) = (shape.inputs(), shape.c_out);
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; weights.len()]);
    shape.for_ties(|to, from, tap| {
        for i in 0..c_in {
            for o in 0..c_out {
                let (at, d) = ((tap * c_in + i) * c_out + o, f64::from(dy[to * c_out + o]));
                dx[from * c_in + i] += d * f64::from(weights[at]);
                dw[at] += d * x[from * c_in + i];
            }
        }
    });
    [dx, dw, bias_gradient(c_out, dy)]
}

/// Twin of [`crate::window::transposed_forward_new`].
pub fn transposed_forward(
    shape: &Transposed,
    x: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f64> {
    let (c_in, c_out) = (shape.c_in, shape.c_out);
    let mut y = biases(shape.output_length(), c_out, bias);
    shape.for_ties(|from, to, tap| {
        for i in 0..c_in {
            for o in 0..c_out {
                let w = f64::from(weights[(tap * c_in + i) * c_out + o]);
                y[to * c_out + o] += f64::from(x[from * c_in + i]) * w;
            }
        }
    });
    y
}

/// Twin of [`crate::window::transposed_backward_new`]: gradients of inputs, weights and bias.
pub fn transposed_backward(
    shape: &Transposed,
    x: &[f32],
    weights: &[f32],
    dy: &[f32],
) -> [Vec<f64>; 3] {
    let (c_in, c_out) = (shape.c_in, shape.c_out);
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; weights.len()]);
    shape.for_ties(|from, to, tap| {
        for i in 0..c_in {
            for o in 0..c_out {
                let (at, d) = ((tap * c_in + i) * c_out + o, f64::from(dy[to * c_out + o]));
                dx[from * c_in + i] += d * f64::from(weights[at]);
                dw[at] += d * f64::from(x[from * c_in + i]);
            }
        }
    });
    [dx, dw, bias_gradient(c_out, dy)]
}

fn biases(length: usize, c_out: usize, bias: Option<&[f32]>) -> Vec<f64> {
    let of = |i: usize| bias.map_or(0.0, |bias| f64::from(bias[i % c_out]));
    (0..length).map(of).collect()
}

fn bias_gradient(c_out: usize, dy: &[f32]) -> Vec<f64> {
    let mut db = vec![0.0; c_out];
    for (i, &d) in dy.iter().enumerate() {
        db[i % c_out] += f64::from(d);
    }
    db
}
