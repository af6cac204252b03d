//! Where the marks of an axis are, what they say, and where labels fit.

use std::ops::RangeInclusive;

/// A linear map from values to positions in the picture.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    origin: f64,
    position: f64,
    per_unit: f64,
}

impl Scale {
    /// Maps `low` to `from` and `high` to `to`; everything to `from` where `low` is `high`.
    pub fn new((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let span = high - low;
        let per_unit = if span == 0.0 { 0.0 } else { (to - from) / span };
        Self {
            origin: low,
            position: from,
            per_unit,
        }
    }

    /// The position of a value.
    pub fn at(&self, value: f64) -> f64 {
        self.position + (value - self.origin) * self.per_unit
    }
}

/// Marks at multiples of 1, 2 or 5 times a power of ten.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticks {
    step: f64,
    /// Digits after the point that tell the marks apart.
    decimals: usize,
    multiples: RangeInclusive<i64>,
}

impl Ticks {
    /// About `count` marks, the outer ones at or beyond `low` and `high`.
    pub fn around(low: f64, high: f64, count: usize) -> Self {
        let (step, decimals) = nice_step((high - low) / count as f64);
        let first = (low / step).floor() as i64;
        let last = (high / step).ceil() as i64;
        Self {
            step,
            decimals,
            multiples: first..=last.max(first + 1),
        }
    }

    /// At most about `count` marks at whole numbers from 0 to `high`.
    pub fn whole(high: f64, count: usize) -> Self {
        let (step, decimals) = nice_step((high / count as f64).max(1.0));
        Self {
            step,
            decimals,
            multiples: 0..=(high / step).floor() as i64,
        }
    }

    /// The values of the first and the last mark.
    pub fn range(&self) -> (f64, f64) {
        let value = |&multiple: &i64| multiple as f64 * self.step;
        (value(self.multiples.start()), value(self.multiples.end()))
    }

    /// The values with their texts.
    pub fn marks(&self) -> impl Iterator<Item = (f64, String)> {
        self.multiples.clone().map(|multiple| {
            let value = multiple as f64 * self.step;
            (value, grouped(value, self.decimals))
        })
    }
}

/// The least 1, 2 or 5 times a power of ten that is not below `least`, and its digits after the point.
fn nice_step(least: f64) -> (f64, usize) {
    // Finer marks have no room for their digits; it also catches 0 and NaN.
    let least = least.max(1e-6);
    let exponent = least.log10().floor() as i32;
    let power = 10f64.powi(exponent);
    let nice = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|digit| digit * power >= least);
    let (step, exponent) = match nice {
        Some(digit) => (digit * power, exponent),
        None => (10.0 * power, exponent + 1),
    };
    (step, usize::try_from(-exponent).unwrap_or(0))
}

/// A number with so many decimals, and commas between groups of three digits: `12,345.6`.
pub fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let digits = text.find('.').unwrap_or(text.len());
    let mut grouped = String::new();
    for (index, character) in text.char_indices() {
        let left = digits.saturating_sub(index);
        let inside = grouped.ends_with(|last: char| last.is_ascii_digit());
        if index < digits && left.is_multiple_of(3) && inside {
            grouped.push(',');
        }
        grouped.push(character);
    }
    grouped
}

/// Moves labels apart: as near to the wanted positions as order and a distance of `gap` allow, within
/// `low` to `high`; closer together only where these have no room for all. `wanted` ascends.
pub fn spread(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let between = wanted.len().saturating_sub(1) as f64;
    let gap = if between * gap > high - low {
        (high - low) / between
    } else {
        gap
    };
    // Labels that touch form a group, which stands where the mean of its members' wishes is fulfilled.
    let mut groups: Vec<(f64, Vec<f64>)> = Vec::new();
    for &wish in wanted {
        let mut members = vec![wish];
        loop {
            let length = gap * (members.len() - 1) as f64;
            let centre = members.iter().sum::<f64>() / members.len() as f64;
            let start = (centre - length / 2.0).min(high - length).max(low);
            match groups.pop() {
                Some((above, others)) if above + gap * others.len() as f64 > start => {
                    members.splice(0..0, others);
                }
                Some(separate) => {
                    groups.push(separate);
                    groups.push((start, members));
                    break;
                }
                None => {
                    groups.push((start, members));
                    break;
                }
            }
        }
    }
    let positions = groups.iter().flat_map(|(start, members)| {
        (0..members.len()).map(move |index| start + gap * index as f64)
    });
    positions.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(ticks: &Ticks) -> Vec<String> {
        ticks.marks().map(|(_, text)| text).collect()
    }

    #[test]
    fn a_scale_is_linear_both_ways() {
        let scale = Scale::new((4.0, 8.0), (300.0, 100.0));
        assert_eq!(
            [4.0, 5.0, 8.0].map(|value| scale.at(value)),
            [300.0, 250.0, 100.0]
        );
        assert_eq!(Scale::new((3.0, 3.0), (10.0, 20.0)).at(3.0), 10.0);
    }

    #[test]
    fn ticks_cover_the_values_with_round_numbers() {
        let ticks = Ticks::around(4.63, 6.9, 6);
        assert_eq!(texts(&ticks), ["4.5", "5.0", "5.5", "6.0", "6.5", "7.0"]);
        assert_eq!(ticks.range(), (4.5, 7.0));
        assert_eq!(
            texts(&Ticks::around(0.0, 0.037, 5)),
            ["0.00", "0.01", "0.02", "0.03", "0.04"]
        );
        assert_eq!(
            texts(&Ticks::around(3.0, 3.0, 5)).len(),
            2,
            "one value still has an axis"
        );
    }

    #[test]
    fn whole_ticks_stay_within() {
        assert_eq!(
            texts(&Ticks::whole(2300.0, 6)),
            ["0", "500", "1,000", "1,500", "2,000"]
        );
        assert_eq!(texts(&Ticks::whole(3.0, 6)), ["0", "1", "2", "3"]);
        assert_eq!(texts(&Ticks::whole(0.0, 6)), ["0"]);
        assert_eq!(
            texts(&Ticks::whole(1_500_000.0, 6)).last().expect("some"),
            "1,500,000"
        );
    }

    #[test]
    fn digits_in_groups_of_three() {
        for (value, decimals, expected) in [
            (0.0, 0, "0"),
            (999.0, 0, "999"),
            (1000.0, 0, "1,000"),
            (1234567.25, 1, "1,234,567.2"),
            (-1234.0, 0, "-1,234"),
            (-123.0, 2, "-123.00"),
            (1.2345, 4, "1.2345"),
        ] {
            assert_eq!(grouped(value, decimals), expected);
        }
    }

    #[test]
    fn labels_keep_their_distance_and_their_places_where_they_can() {
        assert_eq!(spread(&[10.0, 50.0], 16.0, 0.0, 100.0), [10.0, 50.0]);
        assert_eq!(spread(&[50.0, 54.0], 16.0, 0.0, 100.0), [44.0, 60.0]);
        assert_eq!(spread(&[97.0, 99.0], 16.0, 0.0, 100.0), [84.0, 100.0]);
        assert_eq!(
            spread(&[1.0, 2.0, 3.0], 10.0, 0.0, 100.0),
            [0.0, 10.0, 20.0]
        );
        assert_eq!(
            spread(&[0.0, 0.0, 0.0], 80.0, 0.0, 100.0),
            [0.0, 50.0, 100.0]
        );
        assert_eq!(spread(&[7.0], 80.0, 0.0, 10.0), [7.0]);
        assert_eq!(spread(&[], 80.0, 0.0, 10.0), [0.0; 0]);
    }

    /// Two groups that touch only after the second has grown become one.
    #[test]
    fn groups_of_labels_merge() {
        let places = spread(&[10.0, 12.0, 31.0, 32.0, 33.0], 10.0, 0.0, 100.0);
        assert!(
            places
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= 10.0 - 1e-9),
            "{places:?}"
        );
        assert!(
            (places[2] - 23.6).abs() < 1e-9,
            "centred on the mean wish: {places:?}"
        );
    }
}
