use super::*;

fn layers() -> Vec<(usize, f64)> {
    let layers = [(1, 1, 0.01), (4, 3, 0.03), (8, 4, 0.1), (32, 10, 0.05)];
    layers
        .iter()
        .flat_map(|&(resolution, count, rate)| vec![(resolution, rate); count])
        .collect()
}

/// x, y, width, height and colour of each bar that stands on the axis.
fn bars(svg: &str) -> Vec<([f64; 4], String)> {
    let value = |element: &str, name: &str| {
        let (_, rest) = element
            .split_once(&format!(" {name}=\""))
            .expect("the attribute");
        rest.split('"').next().expect("an end").to_owned()
    };
    let elements = svg
        .split("<rect")
        .filter(|element| element.contains("<title>layer "));
    let bar = |element: &str| {
        let place = ["x", "y", "width", "height"]
            .map(|name| value(element, name).parse::<f64>().expect("a number"));
        (place, value(element, "fill"))
    };
    elements.map(bar).collect()
}

#[test]
fn a_bar_for_each_layer_as_high_as_its_rate() {
    let svg = rate_per_layer_svg(&layers(), "photos32");
    let bars = bars(&svg);
    assert_eq!(bars.len(), 18);
    for (([_, y, _, height], _), (_, rate)) in bars.iter().zip(layers()) {
        // The axis ends at the highest rate, 0.1.
        assert!(
            (height - (BOTTOM - TOP) * rate / 0.1).abs() < 0.01,
            "{height} for {rate}"
        );
        assert!((y + height - BOTTOM).abs() < 0.02, "stands on the axis");
    }
    for pair in bars.windows(2) {
        let ([x, _, width, _], _) = pair[0];
        assert!(pair[1].0[0] > x + width, "side by side");
    }
    assert!(bars[0].0[0] > LEFT && bars[17].0[0] + bars[17].0[2] < RIGHT);
}

#[test]
fn colours_are_those_of_the_resolutions() {
    let bars = bars(&rate_per_layer_svg(&layers(), "photos32"));
    let mut colours: Vec<&String> = bars.iter().map(|(_, colour)| colour).collect();
    assert_eq!(colours[0], "#440154");
    assert_eq!(colours[17], "#96d740");
    colours.dedup();
    assert_eq!(colours.len(), 4);
}

#[test]
fn labels_say_resolution_layers_and_share() {
    let svg = rate_per_layer_svg(&layers(), "photos32");
    // 0.01 + 0.09 + 0.4 + 0.5
    assert!(
        svg.contains(">photos32: 1.00 bits/dim in all</text>"),
        "{svg}"
    );
    assert!(
        svg.contains(">18 stochastic layers, top-down; rate of each in bits per dimension</text>")
    );
    for text in [
        "1", "4", "8", "32", "3", "10", "1.0 %", "9.0 %", "40 %", "50 %",
    ] {
        assert!(svg.contains(&format!(">{text}</text>")), "no {text}: {svg}");
    }
    assert!(
        svg.contains("<title>layer 2 at 4×4: 0.0300 bits/dim</title>"),
        "{svg}"
    );
}

#[test]
fn a_resolution_that_returns_is_another_group_of_the_same_colour() {
    let groups = groups(&[(1, 0.5), (4, 0.25), (4, 0.25), (1, 0.5)]);
    let shapes: Vec<_> = groups
        .iter()
        .map(|group| (group.resolution, group.layers.clone(), group.rate))
        .collect();
    assert_eq!(shapes, [(1, 0..1, 0.5), (4, 1..3, 0.5), (1, 3..4, 0.5)]);
    let colours = colours(&groups);
    assert_eq!(colours[0], colours[2]);
    assert_ne!(colours[0], colours[1]);
}

#[test]
fn strange_rates_have_no_bar() {
    let svg = rate_per_layer_svg(
        &[(1, f64::NAN), (2, -1.0), (4, f64::INFINITY), (8, 0.5)],
        "odd",
    );
    let heights: Vec<f64> = bars(&svg).iter().map(|([.., height], _)| *height).collect();
    assert_eq!(heights, [0.0, 0.0, 0.0, BOTTOM - TOP]);
    assert!(svg.contains("odd: 0.50 bits/dim in all"), "{svg}");
    assert!(
        svg.contains("<title>layer 1 at 1×1: NaN bits/dim</title>"),
        "the hint tells"
    );
}

#[test]
fn nothing_to_show_is_still_a_picture() {
    for layers in [&[][..], &[(1, 0.0)]] {
        let svg = rate_per_layer_svg(layers, "none");
        assert!(svg.contains("none: 0.00 bits/dim in all"), "{svg}");
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
    }
}
