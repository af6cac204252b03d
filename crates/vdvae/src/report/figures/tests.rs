use super::*;
use crate::config::Config;
use crate::evaluate::Evaluation;
use crate::log::{TrainEntry, ValidEntry};
use crate::report::drawing::{Anchor, Mark, text_width};
use crate::report::measure::{
    Distances, EvaluationMeasures, LayerMeasures, Neighbour, Reconstructed, RunMeasures,
    gradient_windows,
};

/// A run as long and as deep as a preset, with numbers of every size.
fn run(preset: &str, name: &str) -> RunMeasures {
    let config = Config::preset(preset).expect("a preset");
    let plan = config.plan().expect("possible");
    let latents = plan.latents().expect("latents");
    let depth = latents.len();
    let rate = |layer: usize| 1.8 / depth as f64 * (1.0 + (layer as f64).sin());
    let mut sum = 0.0;
    let layers = latents.iter().enumerate().map(|(index, shape)| {
        sum += rate(index);
        LayerMeasures {
            layer: index + 1,
            resolution: shape.resolution,
            rate_bits_per_dim: Some(rate(index)),
            cumulative_rate_bits_per_dim: Some(sum),
            channel_kl_nats: (0..16).map(|c| 10f64.powi(c % 7 - 5)).collect(),
            share_without_information: Some(0.5),
        }
    });
    let training: Vec<TrainEntry> = (1..=1200).map(|i| train_entry(i * 1000)).collect();
    RunMeasures {
        name: name.to_owned(),
        data: "photos".to_owned(),
        parameters: plan.parameters(),
        depth,
        no_latents: None,
        network_evaluations_per_sample: 1,
        network_evaluations_per_sample_cached: None,
        sampling: None,
        dimensions: plan.dimensions(),
        finished: true,
        steps_asked: 1_200_000,
        step: Some(1_200_000),
        skip_threshold: 400.0,
        latents: crate::models::LatentShare::all(&latents),
        layers: layers.collect(),
        evaluation: Some(EvaluationMeasures {
            data: "photos".to_owned(),
            split: "test".to_owned(),
            images_in_split: 10_000,
            means: Evaluation {
                images: 256,
                bits_per_dim: 2.87,
                stderr_bits_per_dim: Some(0.02),
                iw_bits_per_dim: None,
                nats_per_dim: 1.99,
                distortion_nats_per_dim: 0.74,
                rate_nats_per_dim: 1.25,
                rate_nats_per_dim_per_layer: (0..depth).map(rate).collect(),
            },
        }),
        pixel_bits: None,
        gradients: gradient_windows(&training, 500),
        training,
        validation: (1..=30).map(|i| valid_entry(i * 40_000)).collect(),
        missing: Vec::new(),
    }
}

pub(super) fn train_entry(step: u64) -> TrainEntry {
    let loss = 2.8 + 6.0 / (1.0 + step as f64 / 5000.0);
    TrainEntry {
        step,
        epoch: 0.0,
        seconds: step as f64,
        elbo_bits_per_dim: Some(loss),
        elbo_filtered_bits_per_dim: Some(loss),
        distortion_bits_per_dim: Some(loss - 1.8),
        rate_bits_per_dim: Some(1.8),
        max_gradient_norm: Some(80.0 + 300.0 * (step as f64).sin().abs()),
        learning_rate: 2e-4,
        skipped_updates: u64::from(step == 300_000),
        nan_distortions: 0,
        nan_rates: 0,
        seconds_per_step: 0.5,
        images_per_second: 12_345.6,
        terms: Default::default(),
    }
}

pub(super) fn valid_entry(step: u64) -> ValidEntry {
    let loss = 2.82 + 6.0 / (1.0 + step as f64 / 5000.0);
    ValidEntry {
        step,
        seconds: step as f64,
        images: 5000,
        bits_per_dim: loss,
        stderr_bits_per_dim: Some(0.01),
        distortion_bits_per_dim: loss - 1.8,
        rate_bits_per_dim: 1.8,
    }
}

fn neighbours(count: usize) -> Vec<Neighbour> {
    let neighbour = |index| Neighbour {
        index,
        name: format!("image {index}"),
        distance: 30.0 + index as f64,
    };
    (0..count).map(neighbour).collect()
}

fn measurements(names: &[(&str, &str)]) -> Measurements {
    Measurements {
        version: "0",
        runs: names
            .iter()
            .map(|(preset, name)| run(preset, name))
            .collect(),
        neighbours: Some(Distances {
            training_images: 50_000,
            samples: neighbours(32),
            held_out: neighbours(20),
        }),
    }
}

fn pictures(side: usize) -> Pictures {
    let tile = || Tile {
        pixels: vec![7; side * side * 3],
        side,
    };
    let tiles = |count| (0..count).map(|_| tile()).collect::<Vec<_>>();
    Pictures {
        samples: vec![(1.0, tiles(32)), (0.85, tiles(32))],
        originals: tiles(8),
        reconstructions: vec![Reconstructed {
            resolution: 1,
            layers: 1,
            images: tiles(8),
        }],
        completions: vec![tiles(8); 3],
        neighbours: vec![(tile(), tile()); 8],
    }
}

/// Left, top, right, bottom of a text.
fn place(mark: &Mark) -> Option<([f64; 4], &str)> {
    let Mark::Text {
        at,
        text,
        after,
        style,
    } = mark
    else {
        return None;
    };
    let gap = if after.is_empty() { 0.0 } else { 7.0 };
    let width = text_width(text, style.size, style.bold) + gap + text_width(after, 12.0, false);
    let left = match style.anchor {
        Anchor::Start => at.0,
        Anchor::Middle => at.0 - width / 2.0,
        Anchor::End => at.0 - width,
    };
    let (top, bottom) = (at.1 - 0.7 * style.size, at.1 + 0.2 * style.size);
    (!text.is_empty()).then_some(([left, top, left + width, bottom], text))
}

#[track_caller]
pub(super) fn assert_readable(scene: &Scene, name: &str) {
    let texts: Vec<_> = scene.marks.iter().filter_map(place).collect();
    for ([left, top, right, bottom], text) in &texts {
        let inside =
            *left >= 0.0 && *top >= 0.0 && *right <= scene.width && *bottom <= scene.height;
        assert!(inside, "{name}, {} wide: {text:?} is cut off", scene.width);
    }
    for (index, (a, text)) in texts.iter().enumerate() {
        for (b, other) in &texts[..index] {
            let apart = a[0] >= b[2] || b[0] >= a[2] || a[1] >= b[3] || b[1] >= a[3];
            assert!(
                apart,
                "{name}, {} wide: {text:?} over {other:?}",
                scene.width
            );
        }
    }
}

#[test]
fn no_label_is_cut_off_or_over_another() {
    for preset in ["photos32", "cifar10", "imagenet64", "ffhq256", "ffhq1024"] {
        let long = "a run whose name is longer than a label can be";
        let names = [(preset, "run"), (preset, "another run"), ("photos32", long)];
        let measurements = measurements(&names);
        for figure in figures(&measurements, &pictures(32)) {
            match &figure.graphic {
                Graphic::Chart { wide, narrow } => {
                    for scene in [wide, narrow] {
                        assert_readable(scene, &format!("{preset}: {}", figure.name));
                    }
                }
                Graphic::Pictures(_) => {
                    assert_readable(&figure.scene().expect("a sheet"), figure.name);
                }
                Graphic::Table => assert!(figure.table.is_some()),
                Graphic::Missing(why) => panic!("{}: {why}", figure.name),
            }
        }
    }
}

#[test]
fn rates_of_deep_models_have_room_for_their_labels() {
    for preset in ["photos32", "cifar10", "imagenet64", "ffhq256", "ffhq1024"] {
        let layers = run(preset, "run").layers.into_iter();
        let rates: Vec<(usize, f64)> = layers
            .map(|layer| (layer.resolution, layer.rate_bits_per_dim.unwrap_or(0.0)))
            .collect();
        assert_readable(&rate_per_layer(preset, &rates), preset);
    }
}

#[test]
fn every_row_of_a_table_has_all_columns() {
    let measurements = measurements(&[("cifar10", "a"), ("photos32", "b")]);
    let tables = figures(&measurements, &pictures(8))
        .into_iter()
        .filter_map(|figure| figure.table);
    let mut count = 0;
    for table in tables {
        assert!(!table.rows.is_empty());
        let columns = table.columns.len();
        assert!(table.rows.iter().all(|row| row.len() == columns));
        count += 1;
    }
    assert!(count >= 8, "{count}");
}

#[test]
fn a_run_of_which_nothing_is_known_has_places_for_its_figures() {
    let mut empty = run("photos32", "new");
    empty.evaluation = None;
    empty.training.clear();
    empty.validation.clear();
    empty.gradients.clear();
    for layer in &mut empty.layers {
        layer.rate_bits_per_dim = None;
        layer.cumulative_rate_bits_per_dim = None;
        layer.channel_kl_nats.clear();
    }
    let measurements = Measurements {
        version: "0",
        runs: vec![empty],
        neighbours: None,
    };
    let figures = figures(&measurements, &Pictures::default());
    let missing = figures
        .iter()
        .filter(|figure| matches!(figure.graphic, Graphic::Missing(_)));
    let missing: Vec<&str> = missing.map(|figure| figure.name).collect();
    let expected = [
        "loss",
        "speed",
        "gradients",
        "layers",
        "channels",
        "reconstructions",
        "samples",
        "neighbours",
        "distances",
    ];
    assert_eq!(missing, expected);
}

#[test]
fn shares_have_digits_that_say_something() {
    for (share, text) in [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.1234, "12 %"),
        (0.9995, "99.95 %"),
        (0.0123, "1.2 %"),
        (0.000_15, "0.015 %"),
    ] {
        assert_eq!(percent(share), text);
    }
}
