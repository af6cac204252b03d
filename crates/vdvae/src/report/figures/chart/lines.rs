//! Lines of many points.

use crate::report::drawing::axis::Scale;

/// More points than this are not told apart: a longer line is averaged down to it.
const MOST_POINTS: usize = 300;

/// Finite values only, steps ascending.
pub fn points(values: impl Iterator<Item = (u64, Option<f64>)>) -> Vec<(f64, f64)> {
    let values = values.filter_map(|(step, value)| Some((step as f64, value?)));
    let mut points: Vec<_> = values.filter(|(_, value)| value.is_finite()).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// Means over neighbours, so that at most [`MOST_POINTS`] are left. The last point stays in its place.
pub fn averaged(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let each = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |chunk: &[(f64, f64)]| {
        let sum: f64 = chunk.iter().map(|point| point.1).sum();
        (chunk[chunk.len() - 1].0, sum / chunk.len() as f64)
    };
    let mut means: Vec<_> = points.rchunks(each).map(mean).collect();
    means.reverse();
    means
}

/// The pieces of a line that are not above `top` (heights grow downwards).
pub fn below(points: &[(f64, f64)], top: f64) -> Vec<Vec<(f64, f64)>> {
    let mut pieces = Vec::new();
    let mut piece: Vec<(f64, f64)> = Vec::new();
    let mut before: Option<(f64, f64)> = None;
    for &point in points {
        let crossing = before.filter(|before| (before.1 < top) != (point.1 < top));
        if let Some(before) = crossing {
            let x = Scale::new((before.1, point.1), (before.0, point.0)).at(top);
            piece.push((x, top));
        }
        if point.1 >= top {
            piece.push(point);
        } else if !piece.is_empty() {
            pieces.push(std::mem::take(&mut piece));
        }
        before = Some(point);
    }
    pieces.extend((!piece.is_empty()).then_some(piece));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_it_leaves_the_chart() {
        let points = [(0.0, -10.0), (10.0, 10.0), (20.0, 5.0), (30.0, -5.0)];
        let expected = vec![vec![(5.0, 0.0), (10.0, 10.0), (20.0, 5.0), (25.0, 0.0)]];
        assert_eq!(below(&points, 0.0), expected);
        assert!(below(&points[..1], 0.0).is_empty());
    }

    #[test]
    fn long_lines_are_averaged_to_their_end() {
        let points: Vec<(f64, f64)> = (1..=1000).map(|i| (f64::from(i), 2.0)).collect();
        let means = averaged(&points);
        assert_eq!(means.len(), 250);
        assert_eq!(means.last(), Some(&(1000.0, 2.0)));
    }

    #[test]
    fn values_that_are_no_numbers_are_left_out() {
        let values = [
            (3, Some(1.0)),
            (1, None),
            (2, Some(f64::NAN)),
            (0, Some(4.0)),
        ];
        assert_eq!(points(values.into_iter()), [(0.0, 4.0), (3.0, 1.0)]);
    }
}
