use super::super::tests::assert_readable;
use super::*;
use crate::report::drawing::Mark;

fn layers() -> Vec<(usize, f64)> {
    let layers = [(1, 1, 0.01), (4, 3, 0.03), (8, 4, 0.1), (32, 10, 0.05)];
    layers
        .iter()
        .flat_map(|&(resolution, count, rate)| vec![(resolution, rate); count])
        .collect()
}

/// A bar that stands on the axis.
struct Bar<'a> {
    corner: (f64, f64),
    size: (f64, f64),
    ink: Ink,
    hint: &'a str,
}

fn bars(scene: &Scene) -> Vec<Bar<'_>> {
    let bars = scene.marks.iter().filter_map(|mark| match mark {
        Mark::Bar {
            corner,
            size,
            ink,
            hint,
        } if hint.starts_with("layer ") => Some(Bar {
            corner: *corner,
            size: *size,
            ink: *ink,
            hint,
        }),
        _ => None,
    });
    bars.collect()
}

#[test]
fn a_bar_for_each_layer_as_high_as_its_rate() {
    let scene = rate_per_layer("photos32", &layers());
    let bars = bars(&scene);
    assert_eq!(bars.len(), 18);
    // The axis ends at the highest rate, 0.1.
    let (top, whole) = (bars[4].corner.1, bars[4].size.1);
    for (bar, (_, rate)) in bars.iter().zip(layers()) {
        let (y, height) = (bar.corner.1, bar.size.1);
        assert!(
            (height - whole * rate / 0.1).abs() < 1e-9,
            "{height} for {rate}"
        );
        assert!(
            (y + height - top - whole).abs() < 1e-9,
            "stands on the axis"
        );
    }
    for pair in bars.windows(2) {
        let end = pair[0].corner.0 + pair[0].size.0;
        assert!(pair[1].corner.0 > end, "side by side");
    }
    assert_eq!(bars[1].hint, "layer 2 at 4×4: 0.0300 bits/dim");
}

#[test]
fn colours_are_those_of_the_resolutions() {
    let scene = rate_per_layer("photos32", &layers());
    let mut inks: Vec<Ink> = bars(&scene).iter().map(|bar| bar.ink).collect();
    assert_eq!((inks[0], inks[17]), (Ink::ordered(0.0), Ink::ordered(1.0)));
    inks.dedup();
    assert_eq!(inks.len(), 4);
}

#[test]
fn a_resolution_that_returns_is_another_group_of_the_same_colour() {
    let groups = groups(&[(1, 0.5), (4, 0.25), (4, 0.25), (1, 0.5)]);
    let shapes: Vec<_> = groups
        .iter()
        .map(|group| (group.resolution, group.layers.clone(), group.rate))
        .collect();
    assert_eq!(shapes, [(1, 0..1, 0.5), (4, 1..3, 0.5), (1, 3..4, 0.5)]);
    assert_eq!(groups[0].ink, groups[2].ink);
    assert_ne!(groups[0].ink, groups[1].ink);
}

#[test]
fn labels_say_resolution_layers_and_share() {
    let scene = rate_per_layer("photos32", &layers());
    // 0.01 + 0.09 + 0.4 + 0.5
    let texts = scene.texts();
    for expected in [
        "photos32",
        "rate of each layer, bits per dimension; 1.00 in all",
        "1",
        "4",
        "8",
        "32",
        "3",
        "10",
        "1.0 %",
        "9.0 %",
        "40 %",
        "50 %",
    ] {
        assert!(texts.contains(&expected), "no {expected}: {texts:?}");
    }
}

#[test]
fn strange_rates_have_no_bar() {
    let strange = [(1, f64::NAN), (2, -1.0), (4, f64::INFINITY), (8, 0.5)];
    let scene = rate_per_layer("odd", &strange);
    let bars = bars(&scene);
    let heights: Vec<f64> = bars.iter().map(|bar| bar.size.1).collect();
    assert_eq!(heights[..3], [0.0; 3]);
    assert!(heights[3] > 200.0);
    assert_eq!(
        bars[0].hint, "layer 1 at 1×1: NaN bits/dim",
        "the hint tells"
    );
}

#[test]
fn nothing_to_show_is_still_a_picture() {
    for layers in [&[][..], &[(1, 0.0)]] {
        let scene = rate_per_layer("none", layers);
        let total = "rate of each layer, bits per dimension; 0.00 in all";
        assert!(scene.texts().contains(&total), "{scene:?}");
        assert_readable(&scene, "none");
    }
}
