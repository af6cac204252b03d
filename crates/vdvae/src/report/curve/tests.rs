use super::*;
use crate::report::log::{TrainEntry, ValidEntry};

/// An interval that ended at a step, at half a second per step.
fn train(step: u64, value: Option<f64>) -> Entry {
    Entry::Train(TrainEntry {
        step,
        epoch: 0.0,
        seconds: step as f64 / 2.0,
        elbo_bits_per_dim: value,
        elbo_filtered_bits_per_dim: value,
        distortion_bits_per_dim: value,
        rate_bits_per_dim: value,
        max_gradient_norm: None,
        learning_rate: 0.001,
        skipped_updates: 0,
        nan_distortions: 0,
        nan_rates: 0,
        seconds_per_step: 0.5,
        images_per_second: 32.0,
        terms: Default::default(),
    })
}

fn valid(step: u64, value: f64) -> Entry {
    Entry::Valid(ValidEntry {
        step,
        seconds: step as f64 / 2.0,
        images: 400,
        bits_per_dim: value,
        stderr_bits_per_dim: Some(0.01),
        distortion_bits_per_dim: value,
        rate_bits_per_dim: 0.0,
    })
}

/// A run of 1000 steps that begins at 12 bits and is soon below 5.
fn run() -> Vec<Entry> {
    let loss =
        |step: u64| 4.0 + 8.0 * (-(step as f64) / 25.0).exp() + 100.0 / (step as f64 + 200.0);
    let mut entries: Vec<Entry> = (1..=100)
        .map(|index| train(10 * index, Some(loss(10 * index))))
        .collect();
    entries.extend([1, 2, 4, 500, 1000].map(|step| valid(step, loss(step) + 0.2)));
    entries
}

/// The texts of the picture, in order.
fn texts(svg: &str) -> Vec<&str> {
    let parts = svg.split("</text>");
    parts
        .filter_map(|part| Some(part.rsplit_once("\">")?.1).filter(|_| part.contains("<text")))
        .collect()
}

/// The points of each curve.
fn curves(svg: &str) -> Vec<Vec<(f64, f64)>> {
    let paths = svg.split("<path d=\"M").skip(1);
    let path = |path: &str| {
        let numbers = path.split('"').next().expect("an end");
        let pairs = numbers
            .split('L')
            .map(|pair| pair.split_once(' ').expect("x and y"));
        pairs
            .map(|(x, y)| (x.parse().expect("x"), y.parse().expect("y")))
            .collect()
    };
    paths.map(path).collect()
}

#[test]
fn axes_have_units_and_both_steps_and_time() {
    let svg = loss_curve_svg(&run(), "photos32");
    let texts = texts(&svg);
    assert_eq!(texts[0], "photos32");
    assert!(
        texts[1].starts_with("bits per dimension, lower is better"),
        "{texts:?}"
    );
    let axis = texts
        .iter()
        .position(|&text| text == "steps")
        .expect("an axis");
    let expected = [
        "steps", "minutes", "0", "0", "200", "1.7", "400", "3.3", "600", "5.0", "800", "6.7",
        "1,000", "8.3",
    ];
    assert_eq!(texts[axis..][..expected.len()], expected);
}

#[test]
fn curves_end_with_their_last_values() {
    let svg = loss_curve_svg(&run(), "photos32");
    let texts = texts(&svg);
    // 4 + 100 / 1200 = 4.083; the validation curve lies above, and so does its label.
    assert_eq!(
        texts[texts.len() - 2..],
        ["validation 4.28", "training 4.08"]
    );
    for colour in [TRAINING, VALIDATION] {
        assert_eq!(
            svg.matches(&format!("fill:{colour}\"")).count(),
            1,
            "{colour}"
        );
    }
    let curves = curves(&svg);
    assert_eq!((curves[0].len(), curves[1].len()), (100, 5));
    for curve in &curves {
        let (x, y) = curve[curve.len() - 1];
        assert!(
            (x - RIGHT).abs() < 0.1 && (TOP..=BOTTOM).contains(&y),
            "({x}, {y})"
        );
    }
}

/// The first steps lie far above; the rest has the height of the chart to itself.
#[test]
fn the_start_does_not_squash_the_rest() {
    let svg = loss_curve_svg(&run(), "photos32");
    let training = &curves(&svg)[0];
    assert!(training[0].1 < TOP - 100.0, "cut: {:?}", training[0]);
    let (middle, end) = (training[9].1, training[99].1);
    assert!(end - middle > 0.15 * (BOTTOM - TOP), "{middle} to {end}");
    let subtitle = texts(&svg)[1].to_owned();
    // Step 1: 4 + 8 x 0.961 + 100 / 201 + 0.2.
    assert!(
        subtitle.ends_with("; values up to 12.38 lie above the chart"),
        "{subtitle}"
    );
    let dots = svg.matches("<circle").count();
    assert_eq!(dots, 2, "dots only inside of the chart");
}

#[test]
fn a_spike_does_not_squash_the_rest_and_a_lost_run_is_shown() {
    let flat = |step: u64| train(step, Some(4.0 + 1.0 / step as f64));
    let mut entries: Vec<Entry> = (1..=50).map(flat).collect();
    entries[30] = train(31, Some(1e6));
    let spiked = series(&entries);
    let (low, high) = shown(&spiked, 50.0);
    assert!(low > 3.9 && high < 4.4, "{low} to {high}");
    entries.extend((51..=80).map(|step| train(step, Some(900.0))));
    let lost = series(&entries);
    assert_eq!(shown(&lost, 80.0).1, 900.0);
}

#[test]
fn intervals_without_a_number_are_left_out() {
    let entries = [
        train(1, Some(5.0)),
        train(2, None),
        train(3, Some(4.0)),
        valid(3, f64::NAN),
    ];
    let svg = loss_curve_svg(&entries, "");
    assert_eq!(curves(&svg).len(), 1, "no validation");
    assert_eq!(curves(&svg)[0].len(), 2);
    assert!(!svg.contains("NaN"), "{svg}");
}

#[test]
fn a_log_without_numbers_is_a_picture_that_says_so() {
    for entries in [&[][..], &[train(1, None)]] {
        let svg = loss_curve_svg(entries, "empty");
        assert_eq!(
            texts(&svg),
            ["empty", "bits per dimension", "nothing logged yet"]
        );
        assert!(svg.ends_with("</svg>\n"));
    }
}

#[test]
fn a_single_entry_is_a_dot_on_axes() {
    for entry in [train(0, Some(5.0)), valid(0, 5.0), train(7, Some(5.0))] {
        let svg = loss_curve_svg(&[entry], "short");
        assert_eq!(svg.matches("<circle").count(), 1, "{svg}");
        assert!(texts(&svg).contains(&"5.00"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}

#[test]
fn long_runs_are_averaged_and_short_ones_are_not() {
    let few: Vec<(f64, f64)> = (0..MOST_POINTS).map(|step| (step as f64, 1.0)).collect();
    assert_eq!(averaged(&few), few);
    let many: Vec<(f64, f64)> = (0..10_001)
        .map(|step| (f64::from(step), f64::from(step % 2)))
        .collect();
    let means = averaged(&many);
    assert!(
        (250..=MOST_POINTS).contains(&means.len()),
        "{}",
        means.len()
    );
    assert_eq!(means[means.len() - 1].0, 10_000.0);
    assert!(
        means
            .iter()
            .skip(1)
            .all(|(_, mean)| (mean - 0.5).abs() < 0.02),
        "{means:?}"
    );
    assert!(means.windows(2).all(|pair| pair[0].0 < pair[1].0));
}

#[test]
fn time_lies_between_the_entries_around_a_step() {
    let times = times(&[train(10, None), train(30, None)]);
    for (step, seconds) in [
        (0.0, 0.0),
        (5.0, 2.5),
        (10.0, 5.0),
        (20.0, 10.0),
        (30.0, 15.0),
        (40.0, 15.0),
    ] {
        assert_eq!(time_at(&times, step), seconds, "step {step}");
    }
}

#[test]
fn durations_have_handy_units() {
    for (seconds, expected) in [
        (0.0, "seconds"),
        (119.0, "seconds"),
        (120.0, "minutes"),
        (7_199.0, "minutes"),
        (7_200.0, "hours"),
        (431_999.0, "hours"),
        (432_000.0, "days"),
    ] {
        assert_eq!(unit(seconds).0, expected, "{seconds} s");
    }
}
