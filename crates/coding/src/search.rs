//! Finding the interval that holds an integer.

use std::ops::Range;

/// The last of `0 .. count` for which `starts_before` holds. It holds for 0 and, going up, until
/// some number and no further.
///
/// The answer is expected in `guess`, which lies within `0 .. count` and is not empty; a good
/// guess makes the search fast, a bad one does not make it wrong.
#[inline]
pub(crate) fn search(guess: Range<u32>, count: u32, starts_before: impl Fn(u32) -> bool) -> u32 {
    let Range {
        start: mut low,
        end: mut high,
    } = guess;
    let mut step = 1;
    while low > 0 && !starts_before(low) {
        (high, low) = (low, low.saturating_sub(step));
        step *= 2;
    }
    step = 1;
    while high < count && starts_before(high) {
        (low, high) = (high, (high + step).min(count));
        step *= 2;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if starts_before(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::search;

    #[test]
    fn finds_from_any_guess() {
        for count in 1..20 {
            for answer in 0..count {
                for start in 0..count {
                    for end in start + 1..=count {
                        assert_eq!(search(start..end, count, |i| i <= answer), answer);
                    }
                }
            }
        }
    }
}
