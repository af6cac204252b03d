//! Levels of a softmax.

use crate::coder::{Coder, Interval, PRECISION};
use crate::error::{CodingError, expect_len};
use crate::gaussian::finite;
use crate::math::exp;

/// Most levels of a softmax.
const MOST_LEVELS: usize = 256;

/// Pushes levels given the logits of all `count` levels that each could have, `[levels, count]`, the last one
/// first. Every level has a code, at least 1 of 2^28; NaN counts as 0, infinities as the largest numbers.
///
/// # Errors
/// If lengths differ, `count` is not 2 to 256, or a level does not exist.
pub fn push_softmax(
    coder: &mut Coder,
    count: usize,
    logits: &[f32],
    levels: &[u8],
) -> Result<(), CodingError> {
    check(count, logits, levels)?;
    let mut starts = [0; MOST_LEVELS + 1];
    let values = logits.chunks_exact(count).zip(levels);
    for (logits, &level) in values.rev() {
        let level = usize::from(level);
        if level >= count {
            return Err(CodingError::Symbol {
                what: "level",
                found: level as u32,
                limit: count as u32,
            });
        }
        share(logits, &mut starts);
        coder.push::<PRECISION>(interval(&starts, level))?;
    }
    Ok(())
}

/// Pops what [`push_softmax`] pushed, the first one first.
///
/// # Errors
/// If lengths differ, `count` is not 2 to 256, or the coder has nothing left.
pub fn pop_softmax(
    coder: &mut Coder,
    count: usize,
    logits: &[f32],
    levels: &mut [u8],
) -> Result<(), CodingError> {
    check(count, logits, levels)?;
    let mut starts = [0; MOST_LEVELS + 1];
    for (logits, place) in logits.chunks_exact(count).zip(levels) {
        share(logits, &mut starts);
        let level = coder.pop::<PRECISION, _>(|quantile| {
            let after = starts[..count].partition_point(|&start| start <= quantile);
            (after - 1, interval(&starts, after - 1))
        })?;
        // Below `count`, which is at most 256.
        *place = level as u8;
    }
    Ok(())
}

fn check(count: usize, logits: &[f32], levels: &[u8]) -> Result<(), CodingError> {
    if !(2..=MOST_LEVELS).contains(&count) {
        return Err(CodingError::Setting {
            what: "number of levels",
            expected: "2 to 256",
            found: count as u64,
        });
    }
    expect_len("logits", logits.len(), count * levels.len())
}

/// Where each level's interval starts, and 2^28 behind the last one.
///
/// Every level has 1 to itself, the rest is shared by probability. Sums of what is not negative never decrease,
/// also where they are rounded, nor does their quotient by the last of them: no interval is empty.
fn share(logits: &[f32], starts: &mut [u32; MOST_LEVELS + 1]) {
    let largest = logits.iter().map(|&logit| finite(logit));
    let largest = largest.fold(f64::NEG_INFINITY, f64::max);
    let mut below = [0.0; MOST_LEVELS + 1];
    let mut sum = 0.0;
    for (&logit, below) in logits.iter().zip(&mut below[1..]) {
        sum += exp(finite(logit) - largest);
        *below = sum;
    }
    let shared = f64::from((1 << PRECISION) - logits.len() as u32);
    for (level, (start, below)) in (0..).zip(starts.iter_mut().zip(&below[..logits.len()])) {
        *start = (below / sum * shared) as u32 + level;
    }
    starts[logits.len()] = 1 << PRECISION;
}

fn interval(starts: &[u32], level: usize) -> Interval {
    Interval {
        start: starts[level],
        end: starts[level + 1],
    }
}
