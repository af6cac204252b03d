//! The operations of this folder in double precision, one loop per line of the formula: what
//! the tests compare with. Shapes and layouts as in the fast twins; lengths are not checked.

use super::clamp::SoftClamp;
use super::dmol::DmolShape;
use super::optimizer::AdamW;
use super::pool::PoolShape;
use super::upsample::UpsampleShape;

/// Twin of [`super::latents::draw`].
pub fn draw(z: usize, gaussian: &[f64], eps: &[f64]) -> Vec<f64> {
    let channels = gaussian.len() * z / eps.len();
    let element = |i: usize| {
        let at = i / z * channels + i % z;
        gaussian[at] + gaussian[at + z].exp() * eps[i]
    };
    (0..eps.len()).map(element).collect()
}

/// Twin of [`super::clamp::soft_clamp`].
pub fn soft_clamp(clamp: &SoftClamp, z: usize, raw: &[f64]) -> Vec<f64> {
    let (limit, least) = (f64::from(clamp.limit), f64::from(clamp.least_sigma));
    let clamped = raw.iter().map(|raw| (raw / limit).tanh() * limit);
    let is_mean = |i: usize| i % (2 * z) < z;
    let both = clamped.enumerate();
    both.map(|(i, c)| {
        if is_mean(i) {
            c
        } else {
            (c.exp() + least).ln()
        }
    })
    .collect()
}

/// Twin of [`super::latents::kl_per_element`].
pub fn kl_per_element(z: usize, q: &[f64], p: &[f64]) -> Vec<f64> {
    let elements = q.len() / 2;
    let stride = p.len() * z / elements;
    let element = |i: usize| {
        let (q, p) = (&q[i / z * 2 * z + i % z..], &p[i / z * stride + i % z..]);
        let (qm, qv, pm, pv) = (q[0], q[z], p[0], p[z]);
        let squares = qv.exp().powi(2) + (qm - pm).powi(2);
        -0.5 + pv - qv + 0.5 * squares / pv.exp().powi(2)
    };
    (0..elements).map(element).collect()
}

/// Twin of [`super::pool::avg_pool`].
pub fn avg_pool(shape: &PoolShape, x: &[f64]) -> Vec<f64> {
    let (d, c_in) = (shape.factor, shape.c_in);
    let mut out = Vec::new();
    for b in 0..shape.batch {
        for row in 0..shape.height / d {
            for column in 0..shape.width / d {
                for c in 0..shape.c_out {
                    let mut sum = 0.0;
                    for i in 0..if c < c_in { d * d } else { 0 } {
                        let (y, x_) = (row * d + i / d, column * d + i % d);
                        sum += x[((b * shape.height + y) * shape.width + x_) * c_in + c];
                    }
                    out.push(sum / (d * d) as f64);
                }
            }
        }
    }
    out
}

/// Twin of [`super::upsample::upsample_add`].
pub fn upsample_add(shape: &UpsampleShape, x: &[f64], mixed: &[f64]) -> Vec<f64> {
    let (d, width) = (shape.factor, shape.width);
    let element = |i: usize| {
        let (pixel, c) = (i / shape.channels, i % shape.channels);
        let (row, column) = (pixel / width, pixel % width);
        let cell = row / d * (width / d) + column / d;
        x[i % x.len()] + mixed[cell * shape.mixed_channels + c]
    };
    (0..shape.batch * shape.image_len()).map(element).collect()
}

/// `ln(1 + e^x)`.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `1 / (1 + e^-x)`.
fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Log mass of a bin as published, branch by branch.
fn log_bin(shape: &DmolShape, x: f64, mean: f64, log_scale: f64) -> f64 {
    let half = 1.0 / f64::from((1 << shape.bits) - 1);
    let log_scale = log_scale.max(-7.0);
    let inverse = (-log_scale).exp();
    let (upper, lower) = (inverse * (x - mean + half), inverse * (x - mean - half));
    let centre = inverse * (x - mean);
    let mass = sigmoid(upper) - sigmoid(lower);
    if x < -0.999 {
        upper - softplus(upper)
    } else if x > f64::from(shape.upper_edge) {
        -softplus(lower)
    } else if mass > 1e-5 {
        mass.ln()
    } else {
        centre - log_scale - 2.0 * softplus(centre) - (0.5 / half).ln()
    }
}

/// `ln(sum(e^x))`.
fn logsumexp(x: &[f64]) -> f64 {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

/// Means, log scales and tanh coefficients of a component, by colour.
fn component(shape: &DmolShape, logits: &[f64], k: usize) -> [[f64; 3]; 3] {
    let kinds = if shape.colours == 1 { 2 } else { 3 };
    let at = |colour: usize, kind: usize| shape.mixtures * (1 + colour * kinds + kind) + k;
    let mut parts = [[0.0; 3]; 3];
    for (colour, part) in parts.iter_mut().enumerate().take(shape.colours) {
        *part = [logits[at(colour, 0)], logits[at(colour, 1)], 0.0];
        if kinds == 3 {
            part[2] = logits[at(colour, 2)].tanh();
        }
    }
    parts
}

/// Mean of a colour, shifted by the colours before it.
fn shifted_mean(parts: &[[f64; 3]; 3], x: &[f64], colour: usize) -> f64 {
    parts[colour][0]
        + match colour {
            0 => 0.0,
            1 => parts[0][2] * x[0],
            _ => parts[1][2] * x[0] + parts[2][2] * x[1],
        }
}

/// Negative log likelihood of one pixel with the logits `[P]` and the value `x [colours]`.
pub fn dmol_pixel(shape: &DmolShape, logits: &[f64], x: &[f64]) -> f64 {
    let prior = logsumexp(&logits[..shape.mixtures]);
    let joint = |k: usize| {
        let parts = component(shape, logits, k);
        let colour = |c: usize| log_bin(shape, x[c], shifted_mean(&parts, x, c), parts[c][1]);
        logits[k] - prior + (0..shape.colours).map(colour).sum::<f64>()
    };
    -logsumexp(&(0..shape.mixtures).map(joint).collect::<Vec<_>>())
}

/// One pixel of [`super::dmol::sample`].
pub fn sample_pixel(
    shape: &DmolShape,
    logits: &[f64],
    u_mixture: &[f64],
    u_logistic: &[f64],
) -> Vec<f64> {
    let score = |k: usize| logits[k] - (-u_mixture[k].ln()).ln();
    let best = (0..shape.mixtures).max_by(|&a, &b| score(a).total_cmp(&score(b)));
    let parts = component(shape, logits, best.unwrap_or(0));
    let mut x = Vec::new();
    for (colour, &u) in u_logistic.iter().enumerate() {
        let noise = u.ln() - (1.0 - u).ln();
        let value = shifted_mean(&parts, &x, colour) + parts[colour][1].max(-7.0).exp() * noise;
        x.push(value.clamp(-1.0, 1.0));
    }
    x
}

/// One number of [`super::optimizer::adamw`]: weight, mean, square and average after the step.
pub fn adamw(rule: &AdamW, state: [f64; 4], gradient: f64) -> [f64; 4] {
    adam_with(rule, state, gradient, |square| square.sqrt() + rule.epsilon)
}

/// The same of [`super::optimizer::adam`].
pub fn adam(rule: &AdamW, state: [f64; 4], gradient: f64) -> [f64; 4] {
    adam_with(rule, state, gradient, |square| {
        (square + rule.epsilon).sqrt()
    })
}

fn adam_with(
    rule: &AdamW,
    [w, m, v, ema]: [f64; 4],
    gradient: f64,
    root: impl Fn(f64) -> f64,
) -> [f64; 4] {
    let g = gradient * rule.grad_scale;
    let m = rule.beta1 * m + (1.0 - rule.beta1) * g;
    let v = rule.beta2 * v + (1.0 - rule.beta2) * g * g;
    let step = f64::from(rule.step);
    let (correction1, correction2) = (1.0 - rule.beta1.powf(step), 1.0 - rule.beta2.powf(step));
    let w = w * (1.0 - rule.learning_rate * rule.weight_decay);
    let w = w - rule.learning_rate * (m / correction1) / root(v / correction2);
    [w, m, v, rule.ema_rate * ema + (1.0 - rule.ema_rate) * w]
}
