//! Binary pixels.

use crate::coder::{Coder, Interval, PRECISION};
use crate::error::{CodingError, expect_len};
use crate::gaussian::finite;
use crate::math::sigmoid;

/// Pushes bits given the logits of their being 1, the last one first. `NaN` counts as 0.
///
/// # Errors
/// If lengths differ.
pub fn push_bernoulli(coder: &mut Coder, logits: &[f32], bits: &[bool]) -> Result<(), CodingError> {
    expect_len("bits", bits.len(), logits.len())?;
    for (&logit, &bit) in logits.iter().zip(bits).rev() {
        coder.push::<PRECISION>(interval(start_of_ones(logit), bit))?;
    }
    Ok(())
}

/// Pops what [`push_bernoulli`] pushed, the first one first.
///
/// # Errors
/// If lengths differ, or the coder has nothing left.
pub fn pop_bernoulli(
    coder: &mut Coder,
    logits: &[f32],
    bits: &mut [bool],
) -> Result<(), CodingError> {
    expect_len("bits", bits.len(), logits.len())?;
    for (&logit, bit) in logits.iter().zip(bits) {
        let start = start_of_ones(logit);
        *bit = coder.pop::<PRECISION, _>(|quantile| {
            let bit = quantile >= start;
            (bit, interval(start, bit))
        })?;
    }
    Ok(())
}

/// Zeros come first; both values always have a code.
fn start_of_ones(logit: f32) -> u32 {
    let whole = 1 << PRECISION;
    let zero = sigmoid(-finite(logit));
    ((zero * f64::from(whole)) as u32).clamp(1, whole - 1)
}

fn interval(start_of_ones: u32, bit: bool) -> Interval {
    if bit {
        Interval {
            start: start_of_ones,
            end: 1 << PRECISION,
        }
    } else {
        Interval {
            start: 0,
            end: start_of_ones,
        }
    }
}
