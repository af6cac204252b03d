use super::*;

fn point(variant: &str, depth: usize, bits_per_dim: f64) -> DepthPoint {
    DepthPoint {
        variant: variant.to_owned(),
        name: format!("depth{depth} <{variant}>"),
        depth,
        bits_per_dim,
    }
}

#[test]
fn a_dot_for_every_run_and_a_line_through_the_means() {
    let points = [
        point("", 4, 5.0),
        point("", 4, 6.0),
        point("", 8, 4.0),
        point("no residual", 8, 6.0),
    ];
    let svg = bits_by_depth_svg(&points, "title");
    assert_eq!(svg.matches("<circle").count(), 4);
    for text in [
        "as published",
        "no residual",
        ">4<",
        ">8<",
        "stochastic layers",
    ] {
        assert!(svg.contains(text), "no {text} in {svg}");
    }
    // From 5.5 at 4 layers to 4 at 8; the axis ends at 4 and 6.
    let x = Scale::new((0.0, 8.0), (LEFT, RIGHT - 12.0));
    let line = format!(
        "d=\"M{:.1} {:.1}L{:.1} {BOTTOM:.1}\"",
        x.at(4.0),
        TOP + 0.25 * (BOTTOM - TOP),
        x.at(8.0)
    );
    assert!(svg.contains(&line), "no {line} in {svg}");
    assert!(
        svg.contains("depth8 &lt;no residual&gt;"),
        "hints are escaped"
    );
}

#[test]
fn the_published_colour_is_its_own() {
    let svg = bits_by_depth_svg(&[point("no residual", 8, 6.0)], "title");
    assert!(!svg.contains(COLOURS[0]) && svg.contains(COLOURS[1]));
}

#[test]
fn without_a_number_there_is_nothing_to_draw() {
    for points in [vec![], vec![point("", 4, f64::NAN)]] {
        let svg = bits_by_depth_svg(&points, "title");
        assert!(
            svg.contains("no finished run yet") && !svg.contains("NaN"),
            "{svg}"
        );
    }
}
