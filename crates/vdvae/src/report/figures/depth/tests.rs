use super::super::tests::assert_readable;
use super::*;
use crate::report::drawing::Mark;

fn point(variant: &str, depth: usize, bits_per_dim: f64) -> DepthPoint {
    DepthPoint {
        variant: variant.to_owned(),
        name: format!("depth{depth} {variant}"),
        depth,
        bits_per_dim,
    }
}

/// Place and colour of each dot.
fn dots(scene: &Scene) -> Vec<((f64, f64), Ink)> {
    let dots = scene.marks.iter().filter_map(|mark| match mark {
        Mark::Dot { at, ink, .. } => Some((*at, *ink)),
        _ => None,
    });
    dots.collect()
}

#[test]
fn a_dot_for_every_run_and_a_line_through_the_means() {
    let points = [
        point("", 4, 5.0),
        point("", 4, 6.0),
        point("", 8, 4.0),
        point("no residual", 8, 6.0),
    ];
    let scene = bits_by_depth(&points);
    let dots = dots(&scene);
    let [(lower, _), (upper, _), (end, ink), (other, _)] = dots[..] else {
        panic!("four dots: {dots:?}");
    };
    assert_eq!((other.0, other.1), (end.0, upper.1), "equal depth and loss");
    let line = scene.marks.iter().find_map(|mark| match mark {
        Mark::Line {
            points, ink: own, ..
        } if *own == ink => Some(points.clone()),
        _ => None,
    });
    let mean = (lower.0, (lower.1 + upper.1) / 2.0);
    assert_eq!(line, Some(vec![mean, end]));
    let texts = scene.texts();
    for expected in ["as published", "no residual", "4", "8", "stochastic layers"] {
        assert!(texts.contains(&expected), "no {expected} in {texts:?}");
    }
    assert_readable(&scene, "depth");
}

#[test]
fn the_published_colour_is_its_own() {
    let scene = bits_by_depth(&[point("no residual", 8, 6.0)]);
    assert_eq!(dots(&scene)[0].1, Ink::NAMED[1]);
    let scene = bits_by_depth(&[point("no residual", 8, 6.0), point("", 8, 6.0)]);
    assert_eq!(dots(&scene)[0].1, Ink::NAMED[0]);
}

#[test]
fn without_a_number_there_is_nothing_to_draw() {
    for points in [vec![], vec![point("", 4, f64::NAN)]] {
        let scene = bits_by_depth(&points);
        assert_eq!(scene.texts(), [TITLE, "no finished run yet"]);
        assert_readable(&scene, "no run");
    }
}
