//! Cells, and the optimizer that goes with them.

use vdvae_models::ops::{BatchNorm, BatchStatistics, InvertedCell, ResidualCell, SqueezeExcite};

use super::*;

/// What a cell is added to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Itself,
    Other,
}

fn norm_of(gamma: &Tensor<4>, beta: &Tensor<4>) -> BatchNorm {
    let vector = |tensor: &Tensor<4>| {
        let count = tensor.shape().num_elements();
        tensor.clone().reshape([count])
    };
    BatchNorm {
        gamma: vector(gamma),
        beta: vector(beta),
        running: None,
    }
}

/// Running statistics for a normalisation: means, and variances above 0.
fn with_running(norm: BatchNorm) -> BatchNorm {
    let mean = norm.beta.clone() * 0.3;
    let variance = norm.gamma.clone() * norm.gamma.clone() + 0.5;
    BatchNorm {
        running: Some([mean, variance]),
        ..norm
    }
}

fn squeeze_of(inputs: &[Tensor<4>], channels: usize, squeezed: usize) -> SqueezeExcite {
    SqueezeExcite {
        squeeze: inputs[0].clone().reshape([channels, squeezed]),
        squeeze_bias: inputs[1].clone().reshape([squeezed]),
        excite: inputs[2].clone().reshape([squeezed, channels]),
        excite_bias: inputs[3].clone().reshape([channels]),
    }
}

fn squeeze_inputs(inputs: &mut Inputs, channels: usize, squeezed: usize) -> [Tensor<4>; 4] {
    [channels * squeezed, squeezed, squeezed * channels, channels]
        .map(|count| inputs.tensor([1, 1, 1, count]))
}

/// The output, and the numbers of the statistics.
fn joined((output, statistics): (Tensor<4>, Vec<BatchStatistics>)) -> (Tensor<4>, Vec<f32>) {
    let statistics = statistics
        .into_iter()
        .flat_map(|BatchStatistics { mean, variance }| [host(mean), host(variance)].concat());
    (output, statistics.collect())
}

/// One input as a constant: what shifts all that a batch's normalisation follows has a gradient of 0, of which
/// both ways compute nothing but rounding.
fn without<const N: usize>(mut inputs: [Tensor<4>; N], constant: usize) -> [Tensor<4>; N] {
    inputs[constant] = inputs[constant].clone().detach();
    inputs
}

#[test]
fn residual_cells() {
    for ([batch, height, width, c_in, c_out], stride, way) in [
        ([2, 5, 7, 3, 3], 1, Way::Itself),
        ([1, 4, 4, 16, 16], 1, Way::Itself),
        ([2, 4, 6, 5, 5], 1, Way::Other),
        ([2, 6, 4, 5, 19], 2, Way::Other),
        ([3, 8, 8, 16, 32], 2, Way::Other),
    ] {
        let squeezed = 4;
        let mut inputs = Inputs::new();
        let x = inputs.tensor([batch, height, width, c_in]);
        let skip = inputs.tensor([batch, height / stride, width / stride, c_out]);
        let mut vector = |count: usize| inputs.tensor([1, 1, 1, count]);
        let [g0, b0, g1, b1, c0, c1] = [c_in, c_in, c_out, c_out, c_out, c_out].map(&mut vector);
        let w0 = inputs.tensor([3, 3, c_in, c_out]);
        let w1 = inputs.tensor([3, 3, c_out, c_out]);
        let [s0, s1, s2, s3] = squeeze_inputs(&mut inputs, c_out, squeezed);
        let all = [x, skip, g0, b0, g1, b1, w0, c0, w1, c1, s0, s1, s2, s3];
        type Op =
            fn(Tensor<4>, Option<Tensor<4>>, &ResidualCell) -> (Tensor<4>, Vec<BatchStatistics>);
        let run = |operation: Op, all: [Tensor<4>; 14], running: bool| {
            let [x, skip, g0, b0, g1, b1, w0, c0, w1, c1, s @ ..] = all;
            let norms = [norm_of(&g0, &b0), norm_of(&g1, &b1)];
            let cell = ResidualCell {
                norms: if running {
                    norms.map(with_running)
                } else {
                    norms
                },
                convolutions: [(w0, c0.reshape([c_out])), (w1, c1.reshape([c_out]))],
                squeeze_excite: Some(squeeze_of(&s, c_out, squeezed)),
                stride,
            };
            joined(operation(x, (way == Way::Other).then_some(skip), &cell))
        };
        let what = format!("residual cell {batch} {height}x{width}, {c_in} to {c_out}, {way:?}");
        compare(
            &what,
            all.clone(),
            |all| run(ops::residual_cell, without(all, 7), false).0,
            |all| run(composed::residual_cell, without(all, 7), false).0,
        );
        let plain = all.map(Tensor::inner);
        for running in [false, true] {
            let (fused, statistics) = run(ops::residual_cell, plain.clone(), running);
            let (expected, others) = run(composed::residual_cell, plain.clone(), running);
            assert_close(&what, &host(fused), &host(expected));
            assert_close(&format!("{what}, statistics"), &statistics, &others);
            assert_eq!(statistics.is_empty(), running);
        }
    }
}

#[test]
fn inverted_cells() {
    for ([batch, height, width, c_in, expanded, c_out], upsample, way) in [
        ([2, 5, 3, 3, 18, 3], false, Way::Itself),
        ([1, 4, 4, 16, 96, 16], false, Way::Itself),
        ([2, 4, 6, 5, 15, 5], false, Way::Other),
        ([2, 3, 4, 10, 33, 7], true, Way::Other),
        ([3, 1, 1, 8, 48, 4], true, Way::Other),
    ] {
        let squeezed = 4;
        let factor = if upsample { 2 } else { 1 };
        let mut inputs = Inputs::new();
        let x = inputs.tensor([batch, height, width, c_in]);
        let skip = inputs.tensor([batch, factor * height, factor * width, c_out]);
        let mut vector = |count: usize| inputs.tensor([1, 1, 1, count]);
        let [g0, b0, g1, b1, g2, b2, g3, b3] = [
            c_in, c_in, expanded, expanded, expanded, expanded, c_out, c_out,
        ]
        .map(&mut vector);
        let expand = inputs.tensor([1, 1, c_in, expanded]);
        let depthwise = inputs.tensor([1, 5, 5, expanded]);
        let project = inputs.tensor([1, 1, expanded, c_out]);
        let [s0, s1, s2, s3] = squeeze_inputs(&mut inputs, c_out, squeezed);
        let all = [
            x, skip, g0, b0, g1, b1, g2, b2, g3, b3, expand, depthwise, project, s0, s1, s2, s3,
        ];
        type Op =
            fn(Tensor<4>, Option<Tensor<4>>, &InvertedCell) -> (Tensor<4>, Vec<BatchStatistics>);
        let run = |operation: Op, all: [Tensor<4>; 17], running: bool| {
            let [x, skip, g0, b0, g1, b1, g2, b2, g3, b3, w0, w1, w2, s @ ..] = all;
            let norms = [(g0, b0), (g1, b1), (g2, b2), (g3, b3)];
            let norms = norms.map(|(gamma, beta)| norm_of(&gamma, &beta));
            let cell = InvertedCell {
                norms: if running {
                    norms.map(with_running)
                } else {
                    norms
                },
                expand: w0,
                depthwise: w1.reshape([5, 5, expanded]),
                project: w2,
                squeeze_excite: Some(squeeze_of(&s, c_out, squeezed)),
                upsample,
            };
            joined(operation(x, (way == Way::Other).then_some(skip), &cell))
        };
        let what = format!("inverted cell {batch} {height}x{width}, {c_in} to {c_out}, {way:?}");
        compare(
            &what,
            all.clone(),
            |all| run(ops::inverted_cell, without(all, 3), false).0,
            |all| run(composed::inverted_cell, without(all, 3), false).0,
        );
        let plain = all.map(Tensor::inner);
        for running in [false, true] {
            let (fused, statistics) = run(ops::inverted_cell, plain.clone(), running);
            let (expected, others) = run(composed::inverted_cell, plain.clone(), running);
            assert_close(&what, &host(fused), &host(expected));
            assert_close(&format!("{what}, statistics"), &statistics, &others);
            assert_eq!(statistics.is_empty(), running);
        }
    }
}

#[test]
fn adamax_in_place_and_composed() {
    in_place_and_composed(ops::Optimizer::Adamax, composed::adamax);
}

#[test]
fn adam_in_place_and_composed() {
    in_place_and_composed(ops::Optimizer::Adam, |rule, weights, gradient, moments| {
        composed::adam(&rule.as_adamw(), weights, gradient, moments)
    });
}

fn in_place_and_composed(
    optimizer: ops::Optimizer,
    composed: impl Fn(&ops::Rule, Tensor<1>, Tensor<1>, &mut ops::Moments) -> Tensor<1>,
) {
    let mut inputs = Inputs::new();
    let mut plain = |count| -> Tensor<1> { inputs.tensor([count]).inner() };
    let (weights, gradient) = (plain(37), plain(37));
    let start = ops::Moments::new(weights.clone());
    let (mut fused, mut expected) = (start.clone(), start);
    let before = host(weights.clone());
    let (mut fused_weights, mut expected_weights) = (weights.clone(), weights.clone());
    for step in 1..4 {
        let rule = ops::Rule {
            optimizer,
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.9,
            epsilon: 1e-3,
            weight_decay: 0.01,
            step,
            grad_scale: 0.5,
            ema_rate: 0.9,
        };
        let gradient = gradient.clone() * f64::from(step);
        fused_weights = ops::update(&rule, fused_weights, gradient.clone(), &mut fused);
        expected_weights = composed(&rule, expected_weights, gradient, &mut expected);
    }
    assert_close("weights", &host(fused_weights), &host(expected_weights));
    assert_close("first", &host(fused.first), &host(expected.first));
    assert_close("second", &host(fused.second), &host(expected.second));
    assert_close("average", &host(fused.average), &host(expected.average));
    // What others hold is not changed by an update in place.
    assert_eq!(host(weights), before);
}

/// The first of two steps of the published optimizer on PixelSNAIL, as recorded: a bias, its gradient, and the
/// weights after the second step with their average (of rate 0.9), which together tell those after the first.
#[test]
fn adam_takes_the_published_step() {
    const RATE: f64 = 9e-4;
    // The root of the mean square of the fourth is far below that of epsilon.
    let weights = [
        -0.184991792,
        -0.404504091,
        -0.155635566,
        -0.43714729,
        0.726493478,
    ];
    let gradient = [-3.062186, -1.36777198, 1.87820578, 0.00027324789, 7.7336235];
    let second = [
        -0.183317527,
        -0.402795672,
        -0.157329395,
        -0.436797172,
        0.724784195,
    ];
    let average = [
        -0.18474336,
        -0.404252261,
        -0.15588595,
        -0.43713364,
        0.726241529,
    ];
    let rule = ops::Rule {
        optimizer: ops::Optimizer::Adam,
        learning_rate: RATE,
        beta1: 0.95,
        beta2: 0.9995,
        epsilon: 1e-6,
        weight_decay: 0.0,
        step: 1,
        grad_scale: 1.0,
        ema_rate: 0.9,
    };
    let tensor = |values: [f64; 5]| Tensor::<1>::from_data(values, &Device::flex());
    let mut moments = ops::Moments::new(tensor(weights));
    let found = host(ops::update(
        &rule,
        tensor(weights),
        tensor(gradient),
        &mut moments,
    ));
    for (i, found) in found.into_iter().enumerate() {
        let first = (average[i] - 0.81 * weights[i] - 0.1 * second[i]) / 0.09;
        assert!(
            (f64::from(found) - first).abs() < 2e-3 * RATE,
            "{i}: {found}, {first}"
        );
    }
}
