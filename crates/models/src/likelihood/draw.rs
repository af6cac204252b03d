//! Drawing a pixel whose later values depend on its earlier ones as they were rounded.

use crate::ops::Dmol;

/// Uniform numbers keep this far from 0 and 1 where their logarithms are taken.
const MARGIN: f64 = 1e-5;

/// A byte's value in [-1, 1].
fn rounded(x: f64) -> f64 {
    (f64::from(nearest(x)) / 127.5) - 1.0
}

/// The byte nearest to a value in [-1, 1].
pub(super) fn nearest(x: f64) -> u8 {
    ((x + 1.0) * 127.5 + 0.5).floor().clamp(0.0, 255.0) as u8
}

/// A pixel in [-1, 1] from the parameters `[P]` of its mixture: the component by Gumbel-max with K numbers that
/// are `uniform` in [0, 1), then the logistics with one a colour. With `eight_bits` each colour is rounded to the
/// nearest byte before the next uses it, so that what is drawn has the distribution whose likelihood is measured;
/// without, nothing is, as in the published samplers.
pub fn draw_logistics(
    shape: &Dmol,
    parameters: &[f32],
    uniform: &mut dyn FnMut() -> f64,
    eight_bits: bool,
) -> Vec<f64> {
    let mut uniform = || uniform().clamp(MARGIN, 1.0 - MARGIN);
    let k = shape.mixtures;
    let (mut best, mut component) = (f64::NEG_INFINITY, 0);
    for (i, &logit) in parameters[..k].iter().enumerate() {
        let score = f64::from(logit) - (-uniform().ln()).ln();
        if score > best {
            (best, component) = (score, i);
        }
    }
    // Of a colour: means, log scales, coefficients.
    let kinds = if shape.channels == 3 { 3 } else { 2 };
    let of = |colour: usize, kind: usize| {
        f64::from(parameters[k + (colour * kinds + kind) * k + component])
    };
    let mut values: Vec<f64> = Vec::with_capacity(shape.channels);
    for colour in 0..shape.channels {
        let u = uniform();
        let scale = of(colour, 1).max(-7.0).exp();
        let linear: f64 = match colour {
            1 => of(0, 2).tanh() * values[0],
            2 => of(1, 2).tanh() * values[0] + of(2, 2).tanh() * values[1],
            _ => 0.0,
        };
        let x = of(colour, 0) + scale * (u.ln() - (1.0 - u).ln()) + linear;
        let x = x.clamp(-1.0, 1.0);
        values.push(if eight_bits { rounded(x) } else { x });
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_the_nearest_to_itself() {
        for byte in 0..=255 {
            assert_eq!(nearest(f64::from(byte) / 127.5 - 1.0), byte);
        }
    }
}
