//! Slow, obvious twins of the fast kernels, for tests only: plain loops, sums in f64.

use crate::Precision;
use crate::bottleneck::{Bottleneck, Gradients, Hidden, Weights};
use crate::conv::Conv;

/// The normal distribution function, by the series of its odd part or the continued fraction
/// of its tail.
pub fn phi_cumulative(x: f64) -> f64 {
    let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x.abs() < 3.0 {
        let mut term = x;
        let mut sum = x;
        for n in 1..80 {
            term *= x * x / (2 * n + 1) as f64;
            sum += term;
        }
        return 0.5 + density * sum;
    }
    let mut fraction = x.abs();
    for n in (1..200).rev() {
        fraction = x.abs() + n as f64 / fraction;
    }
    let tail = density / fraction;
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// gelu(x).
pub fn gelu(x: f64) -> f64 {
    x * phi_cumulative(x)
}

/// The derivative of gelu.
pub fn slope(x: f64) -> f64 {
    phi_cumulative(x) + x * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// The nearest bfloat16, ties to even; NaN stays NaN.
pub fn round_to_bf16(x: f32) -> f32 {
    // Numbers that 16 bits do not hold lie between two neighbours that they do.
    let below = x.to_bits() & 0xffff_0000;
    let above = below.wrapping_add(0x1_0000);
    if x.is_nan() || x.to_bits() == below {
        return x;
    }
    // In f64 all distances are exact, and beyond the largest number comes 2^128.
    let value = |bits: u32| match f32::from_bits(bits) {
        v if v.is_infinite() => 2.0_f64.powi(128).copysign(f64::from(v)),
        v => f64::from(v),
    };
    let distance = |bits: u32| (value(bits) - f64::from(x)).abs();
    let tie_to_above = below & 0x1_0000 != 0;
    let to_above =
        distance(above) < distance(below) || (distance(above) == distance(below) && tie_to_above);
    f32::from_bits(if to_above { above } else { below })
}

/// Operands of a multiplication in a precision.
fn operands(precision: Precision, numbers: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let round = |x: f64| match precision {
        Precision::Fp32 => x,
        Precision::Bf16 => f64::from(round_to_bf16(x as f32)),
    };
    numbers.into_iter().map(round).collect()
}

/// Weights as operands.
fn weights_in(precision: Precision, weights: &[f32]) -> Vec<f32> {
    let wide = weights.iter().map(|&w| f64::from(w));
    let rounded = operands(precision, wide);
    rounded.into_iter().map(|w| w as f32).collect()
}

/// Calls `body(output pixel, input pixel, tap)` for all taps that fall into the image.
fn for_taps(shape: &Conv, mut body: impl FnMut(usize, usize, usize)) {
    let half = shape.kernel as isize / 2;
    let (height, width) = (shape.height as isize, shape.width as isize);
    for pixel in 0..shape.pixels() {
        let (row, x) = (pixel / shape.width, (pixel % shape.width) as isize);
        let y = (row % shape.height) as isize;
        for tap in 0..shape.kernel * shape.kernel {
            let dy = (tap / shape.kernel) as isize - half;
            let dx = (tap % shape.kernel) as isize - half;
            if (0..height).contains(&(y + dy)) && (0..width).contains(&(x + dx)) {
                body(pixel, (pixel as isize + dy * width + dx) as usize, tap);
            }
        }
    }
}

/// Twin of a [`Conv`]'s [`crate::window::forward_new`].
pub fn conv_forward(shape: &Conv, x: &[f64], weights: &[f32], bias: &[f32]) -> Vec<f64> {
    let (c_in, c_out) = (shape.c_in, shape.c_out);
    let mut y: Vec<f64> = (0..shape.pixels() * c_out)
        .map(|i| f64::from(bias[i % c_out]))
        .collect();
    for_taps(shape, |to, from, tap| {
        for i in 0..c_in {
            for o in 0..c_out {
                let w = f64::from(weights[(tap * c_in + i) * c_out + o]);
                y[to * c_out + o] += x[from * c_in + i] * w;
            }
        }
    });
    y
}

/// Twin of a [`Conv`]'s [`crate::window::backward_new`]: gradients of `x`, weights and bias.
pub fn conv_backward(
    shape: &Conv,
    x: &[f64],
    weights: &[f32],
    dy: &[f64],
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (c_in, c_out) = (shape.c_in, shape.c_out);
    let mut dx = vec![0.0; x.len()];
    let mut dw = vec![0.0; weights.len()];
    let mut db = vec![0.0; c_out];
    for (i, d) in dy.iter().enumerate() {
        db[i % c_out] += d;
    }
    for_taps(shape, |to, from, tap| {
        for i in 0..c_in {
            for o in 0..c_out {
                let at = (tap * c_in + i) * c_out + o;
                dx[from * c_in + i] += dy[to * c_out + o] * f64::from(weights[at]);
                dw[at] += dy[to * c_out + o] * x[from * c_in + i];
            }
        }
    });
    (dx, dw, db)
}

/// The four convolutions of a block.
fn convolutions(shape: &Bottleneck) -> [Conv; 4] {
    let conv = |c_in, c_out, kernel| Conv {
        batch: shape.batch,
        height: shape.height,
        width: shape.width,
        c_in,
        c_out,
        kernel,
    };
    let mid = shape.mid;
    [
        conv(shape.c_x + shape.c_act, mid, 1),
        conv(mid, mid, shape.kernel),
        conv(mid, mid, shape.kernel),
        conv(mid, shape.c_out, 1),
    ]
}

/// The two inputs side by side.
fn concat(shape: &Bottleneck, x: &[f32], act: Option<&[f32]>) -> Vec<f64> {
    let act = act.unwrap_or_default();
    (0..shape.pixels())
        .flat_map(|p| {
            let x = &x[p * shape.c_x..][..shape.c_x];
            let act = &act[p * shape.c_act..][..shape.c_act];
            x.iter().chain(act).map(|&v| f64::from(v))
        })
        .collect()
}

/// Twin of [`crate::bottleneck::forward`]: the output and the hidden activations.
pub fn bottleneck_forward(
    shape: &Bottleneck,
    x: &[f32],
    act: Option<&[f32]>,
    weights: &Weights,
) -> (Vec<f64>, [Vec<f64>; 3]) {
    let parameters = [
        (weights.w1, weights.b1),
        (weights.w2, weights.b2),
        (weights.w3, weights.b3),
        (weights.w4, weights.b4),
    ];
    let mut h = concat(shape, x, act);
    let mut hidden = Vec::new();
    let layers = convolutions(shape).into_iter().zip(shape.precisions());
    for ((conv, precision), (w, b)) in layers.zip(parameters) {
        let g = operands(precision, h.iter().map(|&h| gelu(h)));
        h = conv_forward(&conv, &g, &weights_in(precision, w), b);
        hidden.push(h.clone());
    }
    let y = hidden.pop().unwrap_or_default();
    let add = |(i, y): (usize, f64)| {
        if shape.residual {
            y + f64::from(x[i])
        } else {
            y
        }
    };
    let y = y.into_iter().enumerate().map(add).collect();
    (y, std::array::from_fn(|i| hidden[i].clone()))
}

/// Twin of [`crate::bottleneck::backward`]: gradients of `x`, `act` and the parameters.
pub fn bottleneck_backward(
    shape: &Bottleneck,
    x: &[f32],
    act: Option<&[f32]>,
    weights: &Weights,
    hidden: &Hidden,
    dy: &[f32],
) -> (Vec<f64>, Vec<f64>, Gradients) {
    let wide = |a: &[f32]| a.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let narrow = |a: &[f64]| a.iter().map(|&v| v as f32).collect::<Vec<_>>();
    let [h1, h2, h3] = hidden.values(shape).map(|h| wide(&h));
    let inputs = [concat(shape, x, act), h1, h2, h3];
    let all_weights = [weights.w1, weights.w2, weights.w3, weights.w4];
    let mut parameters = Vec::new();
    let mut d = wide(dy);
    for i in (0..4).rev() {
        let precision = shape.precisions()[i];
        let g = operands(precision, inputs[i].iter().map(|&h| gelu(h)));
        d = operands(precision, d);
        let w = weights_in(precision, all_weights[i]);
        let (dg, dw, db) = conv_backward(&convolutions(shape)[i], &g, &w, &d);
        d = dg
            .iter()
            .zip(&inputs[i])
            .map(|(d, &h)| d * slope(h))
            .collect();
        parameters.push((narrow(&dw), narrow(&db)));
    }
    let mut dx = Vec::new();
    let mut dact = Vec::new();
    for (i, d) in d.into_iter().enumerate() {
        let (pixel, channel) = (i / (shape.c_x + shape.c_act), i % (shape.c_x + shape.c_act));
        if channel >= shape.c_x {
            dact.push(d);
        } else if shape.residual {
            dx.push(d + f64::from(dy[pixel * shape.c_x + channel]));
        } else {
            dx.push(d);
        }
    }
    let mut next = || parameters.pop().unwrap_or_default();
    let ((w1, b1), (w2, b2), (w3, b3), (w4, b4)) = (next(), next(), next(), next());
    let gradients = Gradients {
        w1,
        b1,
        w2,
        b2,
        w3,
        b3,
        w4,
        b4,
    };
    (dx, dact, gradients)
}
