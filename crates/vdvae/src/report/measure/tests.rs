use super::*;

fn entry(step: u64, norm: Option<f64>, skipped: u64) -> TrainEntry {
    TrainEntry {
        step,
        epoch: 0.0,
        seconds: step as f64,
        elbo_bits_per_dim: Some(5.0),
        elbo_filtered_bits_per_dim: None,
        distortion_bits_per_dim: Some(4.5),
        rate_bits_per_dim: Some(0.5),
        max_gradient_norm: norm,
        learning_rate: 1e-3,
        skipped_updates: skipped,
        nan_distortions: 0,
        nan_rates: 0,
        seconds_per_step: 1.0,
        images_per_second: 8.0,
        terms: Default::default(),
    }
}

#[test]
fn gradients_in_windows() {
    let entries = [
        entry(50, Some(3.0), 0),
        entry(500, Some(7.0), 1),
        entry(501, None, 2),
        entry(1000, Some(4.0), 0),
        entry(1700, None, 0),
    ];
    let windows = gradient_windows(&entries, 500);
    let expected = [(500, Some(7.0), 1), (1000, Some(4.0), 2), (1700, None, 0)];
    let found = windows
        .iter()
        .map(|w| (w.step, w.max_gradient_norm, w.skipped_updates));
    assert_eq!(found.collect::<Vec<_>>(), expected);
    assert!(gradient_windows(&[], 500).is_empty());
}

fn run_of(layers: &[(usize, &[f64])]) -> RunMeasures {
    let depth = layers.len();
    let layers = layers
        .iter()
        .zip(1..)
        .map(|(&(resolution, channels), layer)| LayerMeasures {
            layer,
            resolution,
            rate_bits_per_dim: None,
            cumulative_rate_bits_per_dim: None,
            channel_kl_nats: channels.to_vec(),
            share_without_information: None,
        });
    RunMeasures {
        name: String::new(),
        data: String::new(),
        parameters: 0,
        depth,
        no_latents: None,
        network_evaluations_per_sample: 1,
        network_evaluations_per_sample_cached: None,
        sampling: None,
        dimensions: 192,
        finished: false,
        steps_asked: 0,
        step: None,
        skip_threshold: -1.0,
        latents: Vec::new(),
        layers: layers.collect(),
        evaluation: None,
        pixel_bits: None,
        training: Vec::new(),
        validation: Vec::new(),
        gradients: Vec::new(),
        missing: Vec::new(),
    }
}

#[test]
fn channels_without_information() {
    let mut run = run_of(&[(1, &[]), (4, &[])]);
    assert_eq!(
        run.share_without_information(),
        None,
        "nothing was evaluated"
    );
    run.set_channels(vec![vec![0.5, 0.009], vec![0.0, 0.01]]);
    let shares: Vec<_> = run
        .layers
        .iter()
        .map(|layer| layer.share_without_information)
        .collect();
    assert_eq!(shares, [Some(0.5), Some(0.5)]);
    assert_eq!(run.share_without_information(), Some(0.5));
}

#[test]
fn rates_add_up_over_layers_and_resolutions() {
    let mut run = run_of(&[(1, &[]), (4, &[]), (4, &[])]);
    assert_eq!(run.rate_share_up_to(4), None);
    run.set_rates(&[0.1, 0.2, 0.1]);
    let last = run.layers[2].cumulative_rate_bits_per_dim.expect("set");
    assert!((last - 0.4 / std::f64::consts::LN_2).abs() < 1e-12);
    for (resolution, share) in [(1, 0.25), (3, 0.25), (4, 1.0)] {
        let found = run.rate_share_up_to(resolution).expect("set");
        assert!((found - share).abs() < 1e-12, "{resolution}: {found}");
    }
}

#[test]
fn what_fails_is_remembered() {
    let mut run = run_of(&[]);
    assert_eq!(run.keep("luck", Ok(7)), Some(7));
    assert!(run.missing.is_empty());
    assert_eq!(
        run.keep::<()>("luck", Err(anyhow::anyhow!("none today"))),
        None
    );
    let expected = Missing {
        what: "luck".to_owned(),
        why: "none today".to_owned(),
    };
    assert_eq!(run.missing, [expected]);
}
