//! Counts against the published models, the golden vectors and by hand.

use super::*;

#[test]
fn published_parameter_counts() {
    for (name, parameters, decoder, encoder) in [
        ("cifar10", 39_145_700, 43, 33),
        ("imagenet32", 119_280_868, 78, 48),
        ("imagenet64", 125_005_860, 75, 65),
        ("ffhq256", 114_874_852, 66, 68),
        ("ffhq1024", 109_366_904, 70, 70),
    ] {
        let architecture = preset(name);
        assert_eq!(architecture.parameters(), parameters, "{name}");
        assert_eq!(architecture.stochastic_depth(), decoder, "{name}");
        assert_eq!(architecture.enc_blocks.len(), encoder, "{name}");
    }
}

/// The names and shapes of a golden model's parameters.
macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/golden/vdvae/",
            $name,
            ".parameters.txt"
        ))
    };
}

#[test]
fn golden_names_shapes_and_order() {
    for (model, count, golden) in [
        (plain32(), 130_130, golden!("plain32")),
        (widths32(), 64_332, golden!("widths32")),
        (lowbit16(), 38_448, golden!("lowbit16")),
    ] {
        let architecture = build(&model);
        let found: String = architecture
            .parameter_shapes()
            .into_iter()
            .map(|(name, shape)| {
                let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
                format!("{name} {}\n", shape.join(" "))
            })
            .collect();
        assert_eq!(found, golden);
        assert_eq!(architecture.parameters(), count);
    }
}

#[test]
fn cifar10_operations() {
    let operations = preset("cifar10").operations();
    let giga = |x: f64| (x / 1e9).round();
    assert_eq!(giga(operations.training), 134.0);
    assert_eq!(giga(operations.evaluation), 45.0);
    assert_eq!(giga(operations.sample), 25.0);
    assert_eq!(operations.training, 3.0 * operations.evaluation);
}

#[test]
fn operations_of_a_tiny_model_by_hand() {
    let architecture = build(&VdvaeConfig {
        image_size: 2,
        width: 8,
        zdim: 3,
        enc_blocks: "2x1".into(),
        dec_blocks: "2x1".into(),
        num_mixtures: 1,
        ..plain32()
    });
    let bottleneck = |c_in: usize, c_out: usize| c_in * 2 + 2 * 2 + 2 * 2 + 2 * c_out;
    let encoder = 3 * 8 * 9 + bottleneck(8, 8);
    let sample = bottleneck(8, 6 + 8) + 3 * 8 + bottleneck(8, 8) + 8 * 10;
    let posterior = bottleneck(16, 6);
    let pixels_times_2 = 2 * 4;
    let operations = architecture.operations();
    assert_eq!(operations.sample, (pixels_times_2 * sample) as f64);
    assert_eq!(
        operations.evaluation,
        (pixels_times_2 * (encoder + sample + posterior)) as f64
    );
}

#[test]
fn latents_of_cifar10() {
    let latents = shares(&preset_plan("cifar10"));
    let rows: Vec<_> = latents
        .iter()
        .map(|l| (l.resolution, l.layers, l.latents))
        .collect();
    let z = |layers: u64, r: u64| layers * 16 * r * r;
    assert_eq!(
        rows,
        [
            (1, 1, z(1, 1)),
            (4, 3, z(3, 4)),
            (8, 6, z(6, 8)),
            (16, 11, z(11, 16)),
            (32, 22, z(22, 32)),
        ]
    );
    assert_eq!(latents.last().map(|l| l.cumulative_share), Some(1.0));
    let total: u64 = latents.iter().map(|l| l.latents).sum();
    assert_eq!(latents[0].cumulative_share, 16.0 / total as f64);
    assert!(latents.is_sorted_by(|a, b| a.cumulative_share < b.cumulative_share));
}

/// A 1x1 convolution for each of the mixins 4m1, 8m4, 16m8, 32m16, from and to the widths there.
#[test]
fn learned_upsampling_by_hand() {
    for (model, widths) in [
        (
            plain32(),
            [(1, 32, 32), (4, 32, 32), (8, 32, 32), (16, 32, 32)],
        ),
        (
            widths32(),
            [(1, 48, 48), (4, 48, 32), (8, 32, 24), (16, 24, 16)],
        ),
    ] {
        let learned = build(&VdvaeConfig {
            upsample: Upsample::Conv,
            ..model.clone()
        });
        let nearest = build(&model);
        let weights: u64 = widths.iter().map(|&(_, from, to)| (from + 1) * to).sum();
        assert_eq!(learned.parameters(), nearest.parameters() + weights);
        let more = widths.map(|(side, from, to)| (2 * side * side * from * to) as f64);
        let (a, b) = (learned.operations(), nearest.operations());
        assert_eq!(a.sample, b.sample + more.iter().sum::<f64>());
        assert_eq!(a.evaluation, b.evaluation + more.iter().sum::<f64>());
        assert!(learned.activations(false) > nearest.activations(false));
    }
}

#[test]
fn learned_upsampling_comes_last_in_its_block() {
    let shapes = build(&VdvaeConfig {
        upsample: Upsample::Conv,
        ..widths32()
    })
    .parameter_shapes();
    let at = |wanted: &str| shapes.iter().position(|(name, _)| name == wanted);
    // Blocks: 1x2, then 4m1, 4x1, then 8m4.
    assert_eq!(
        at("decoder.dec_blocks.0.upsample.weight"),
        None,
        "nothing mixed in"
    );
    let weight = at("decoder.dec_blocks.4.upsample.weight").expect("8m4");
    assert_eq!(shapes[weight].1, [32, 48, 1, 1]);
    assert_eq!(shapes[weight - 1].0, "decoder.dec_blocks.4.resnet.c4.bias");
    assert_eq!(
        shapes[weight + 1],
        ("decoder.dec_blocks.4.upsample.bias".into(), vec![32])
    );
    assert_eq!(shapes[weight + 2].0, "decoder.dec_blocks.5.enc.c1.weight");
}

#[test]
fn a_replaced_state_changes_no_count() {
    let replaced = build(&VdvaeConfig {
        topdown_residual: false,
        ..plain32()
    });
    let published = build(&plain32());
    assert_eq!(replaced.parameter_shapes(), published.parameter_shapes());
    assert_eq!(replaced.operations(), published.operations());
}
