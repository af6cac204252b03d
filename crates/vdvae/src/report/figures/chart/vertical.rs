//! The vertical axis of a panel.

use super::Panel;
use super::lines::averaged;
use crate::report::drawing::axis::{Ticks, grouped};

/// The share of a run at its start that the vertical axis need not show.
const START: f64 = 0.05;
/// The share of the later values that it has to show: a few wild ones do not squash the rest.
const CALM: f64 = 0.98;
/// What an axis spans at least.
const LEAST_SPAN: f64 = 0.02;

/// How the vertical axis goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vertical {
    /// Around the later values.
    Values,
    /// From 0.
    Zero,
    /// Equal factors are equal distances.
    Logarithmic,
}

/// Where a value is on an axis before it is scaled.
pub fn position(vertical: Vertical, value: f64) -> f64 {
    match vertical {
        Vertical::Logarithmic => value.max(1e-12).log10(),
        Vertical::Values | Vertical::Zero => value,
    }
}

/// The ends of the vertical axis, and its marks with their texts.
pub fn vertical(panel: &Panel) -> ((f64, f64), Vec<(f64, String)>) {
    let (low, high) = shown(panel);
    let count = (panel.height / 34.0).clamp(2.0, 6.0) as usize;
    match panel.vertical {
        Vertical::Logarithmic => {
            let (low, high) = (low.max(1e-9).log10(), high.max(1e-9).log10());
            let (low, high) = (low - 0.05, high.max(low + 0.3) + 0.05);
            let digits: &[f64] = match high - low {
                span if span < 1.5 => &[1.0, 2.0, 5.0],
                span if span < 2.5 => &[1.0, 3.0],
                _ => &[1.0],
            };
            let decades = low.floor() as i32..=high.ceil() as i32;
            let marks = decades
                .flat_map(|decade| digits.iter().map(move |digit| digit * 10f64.powi(decade)));
            let marks = marks.filter(|mark| (low..=high).contains(&mark.log10()));
            (
                (low, high),
                marks.map(|mark| (mark.log10(), plain(mark))).collect(),
            )
        }
        Vertical::Values | Vertical::Zero => {
            let least = if panel.vertical == Vertical::Zero {
                1e-9
            } else {
                LEAST_SPAN
            };
            let missing = (least - (high - low)).max(0.0);
            let ticks = Ticks::around(low, high + missing, count);
            (ticks.range(), ticks.marks().collect())
        }
    }
}

/// A number without needless zeros.
fn plain(value: f64) -> String {
    let decimals = (-value.log10().floor()).max(0.0) as usize;
    grouped(value, decimals)
}

/// The least and the highest value that the axis shows.
fn shown(panel: &Panel) -> (f64, f64) {
    let points = || panel.series.iter().flat_map(|series| &series.points);
    let last_step = points().map(|point| point.0).fold(0.0, f64::max);
    let averaged: Vec<(f64, f64)> = panel
        .series
        .iter()
        .flat_map(|series| averaged(&series.points))
        .collect();
    let low = averaged
        .iter()
        .map(|point| point.1)
        .fold(f64::INFINITY, f64::min);
    let later = averaged.iter().filter(|point| point.0 >= START * last_step);
    let mut later: Vec<f64> = later.map(|point| point.1).collect();
    later.sort_by(f64::total_cmp);
    let calm = ((later.len().saturating_sub(1)) as f64 * CALM) as usize;
    let mut all = averaged.iter().map(|point| point.1);
    let high = match panel.vertical {
        Vertical::Values => later.get(calm).copied(),
        Vertical::Zero | Vertical::Logarithmic => all.by_ref().reduce(f64::max),
    };
    let high = high.unwrap_or(1.0);
    let ends = panel
        .series
        .iter()
        .filter_map(|series| series.points.last());
    let high = ends.map(|point| point.1).fold(high, f64::max);
    let (level, low) = match panel.vertical {
        Vertical::Zero => (None, 0.0),
        _ => (panel.level.as_ref().map(|level| level.0), low),
    };
    let high = level.map_or(high, |level| high.max(level * 1.15));
    if low.is_finite() {
        (low, high)
    } else {
        (0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Series;
    use super::*;
    use crate::report::drawing::Ink;

    fn panel(vertical: Vertical, points: Vec<(f64, f64)>) -> Panel {
        Panel {
            title: String::new(),
            unit: "",
            height: 200.0,
            vertical,
            write: |value| value.to_string(),
            series: vec![Series {
                name: String::new(),
                ink: Ink::TEXT,
                points,
                dots: false,
            }],
            level: None,
            events: Vec::new(),
        }
    }

    #[test]
    fn a_spike_does_not_squash_the_rest_and_a_lost_run_is_shown() {
        let flat = (1..=50).map(|step| (f64::from(step), 4.0 + 1.0 / f64::from(step)));
        let mut points: Vec<(f64, f64)> = flat.collect();
        points[30].1 = 1e6;
        let (low, high) = shown(&panel(Vertical::Values, points.clone()));
        assert!(low > 3.9 && high < 4.4, "{low} to {high}");
        points.extend((51..=80).map(|step| (f64::from(step), 900.0)));
        assert_eq!(shown(&panel(Vertical::Values, points)).1, 900.0);
    }

    #[test]
    fn marks_of_equal_factors() {
        let mut panel = panel(Vertical::Logarithmic, vec![(1.0, 3.0), (2.0, 40.0)]);
        panel.level = Some((400.0, String::new()));
        let ((low, high), marks) = vertical(&panel);
        assert!(low < 3f64.log10() && high > 400f64.log10());
        let texts: Vec<String> = marks.into_iter().map(|mark| mark.1).collect();
        assert_eq!(texts, ["3", "10", "30", "100", "300"]);
    }
}
