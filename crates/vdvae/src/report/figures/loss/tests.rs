use super::super::tests::{assert_readable, train_entry, valid_entry};
use super::*;
use crate::report::drawing::Mark;

/// An interval that ended at a step, at half a second per step.
fn train(step: u64, loss: Option<f64>) -> Entry {
    Entry::Train(TrainEntry {
        seconds: step as f64 / 2.0,
        elbo_bits_per_dim: loss,
        elbo_filtered_bits_per_dim: loss,
        ..train_entry(step)
    })
}

fn valid(step: u64, loss: f64) -> Entry {
    Entry::Valid(ValidEntry {
        seconds: step as f64 / 2.0,
        bits_per_dim: loss,
        ..valid_entry(step)
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

/// The lines of the curves, which are thicker than those of the axes.
fn curves(scene: &Scene) -> Vec<&[(f64, f64)]> {
    let lines = scene.marks.iter().filter_map(|mark| match mark {
        Mark::Line { points, width, .. } if *width == 2.0 => Some(&points[..]),
        _ => None,
    });
    lines.collect()
}

fn dots(scene: &Scene) -> usize {
    let dots = |mark: &&Mark| matches!(mark, Mark::Dot { .. });
    scene.marks.iter().filter(dots).count()
}

#[test]
fn the_axis_has_both_updates_and_time() {
    let scene = loss_curve("photos32", run());
    assert_readable(&scene, "curve");
    let texts = scene.texts();
    assert_eq!(
        texts[..2],
        ["photos32", "bits per dimension, lower is better"]
    );
    let axis = texts
        .iter()
        .rposition(|&text| text == "0")
        .expect("an axis");
    let expected = [
        "0", "0", "200", "1.7", "400", "3.3", "600", "5.0", "800", "6.7", "1,000", "8.3",
    ];
    assert_eq!(texts[axis - 1..][..expected.len()], expected);
    assert_eq!(texts.last(), Some(&"updates, and minutes of training"));
}

#[test]
fn curves_end_with_their_last_values() {
    let scene = loss_curve("photos32", run());
    let texts = scene.texts();
    // 4 + 100 / 1200 = 4.083; the validation curve lies above, and so does its label.
    let label = |text| texts.iter().position(|&other| other == text);
    let (above, below) = (label("validation 4.28"), label("training 4.08"));
    assert!(above.is_some() && above < below, "{texts:?}");
    let ends: Vec<f64> = curves(&scene)
        .iter()
        .map(|curve| curve[curve.len() - 1].0)
        .collect();
    assert_eq!(ends.len(), 2);
    assert_eq!(ends[0], ends[1]);
}

/// The first steps lie far above; the rest has the height of the chart to itself.
#[test]
fn the_start_does_not_squash_the_rest() {
    let scene = loss_curve("photos32", run());
    let training = curves(&scene)[0];
    assert_eq!(training[0].1, 30.0, "cut at the top");
    let (early, end) = (training[1].1, training[training.len() - 1].1);
    assert!(end - early > 0.5 * 300.0, "{early} to {end}");
    // Step 1: 4 + 8 x 0.961 + 100 / 201 + 0.2.
    let texts = scene.texts();
    assert!(texts.contains(&"up to 12.38 above the chart"), "{texts:?}");
    assert_eq!(dots(&scene), 2, "dots only inside of the chart");
}

#[test]
fn intervals_without_a_number_are_left_out() {
    let entries = vec![
        train(1, Some(5.0)),
        train(2, None),
        train(3, Some(4.0)),
        valid(3, f64::NAN),
    ];
    let scene = loss_curve("gaps", entries);
    let curves = curves(&scene);
    assert_eq!((curves.len(), curves[0].len()), (1, 2), "no validation");
}

#[test]
fn a_log_without_numbers_is_a_picture_that_says_so() {
    for entries in [vec![], vec![train(1, None)]] {
        let scene = loss_curve("empty", entries);
        assert_eq!(scene.texts(), ["empty", "nothing logged yet"]);
    }
}

#[test]
fn a_single_entry_is_a_dot_on_axes() {
    for entry in [train(0, Some(5.0)), valid(0, 5.0), train(7, Some(5.0))] {
        let scene = loss_curve("short", vec![entry]);
        assert_eq!(dots(&scene), 1);
        let texts = scene.texts().join(" ");
        assert!(texts.contains(" 5.00"), "{texts}");
        assert!(!texts.contains("NaN") && !texts.contains("inf"), "{texts}");
        assert_readable(&scene, "short");
    }
}
