//! Every fused operation against the same operation composed of Burn's: values and all gradients, at
//! sizes that fit no vector.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use vdvae_models::likelihood::Likelihood;
use vdvae_models::ops::{
    self, BottleneckWeights, Compute, Dmol, Dtype, KeptWeights, SoftClamp, UPPER_EDGE, composed,
};
use vdvae_models::random::{Purpose, generator};

#[path = "ops/attention.rs"]
mod attention;

#[path = "ops/weights.rs"]
mod weights;

#[path = "ops/cells.rs"]
mod cells;

#[path = "ops/window.rs"]
mod window;

/// Makes tracked inputs that are the same for both ways.
struct Inputs {
    generator: ChaCha8Rng,
    device: Device,
}

impl Inputs {
    fn new() -> Self {
        Self {
            generator: generator(7, Purpose::Weights, 0, 0),
            device: Device::flex().autodiff(),
        }
    }

    fn tensor<const D: usize>(&mut self, shape: [usize; D]) -> Tensor<D> {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count)
            .map(|_| self.generator.random_range(-1.0..1.0))
            .collect();
        Tensor::from_data(TensorData::new(values, shape), &self.device).require_grad()
    }
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// 1e-5 of the norm. Where factors are rounded to bf16 6e-2, since the fused backward pass rounds the
/// gradients too, the composition also those of 3x3 convolutions that the fused pass filters, and sums
/// of a few random numbers cancel; whole models: `golden.rs`. Where the composition subtracts nearly
/// equal sigmoids, it is itself no better than 1e-4.
fn assert_close(what: &str, fused: &[f32], composed: &[f32]) {
    assert_eq!(fused.len(), composed.len(), "{what}");
    let norm = |values: &mut dyn Iterator<Item = f32>| {
        values
            .map(|value| f64::from(value).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let difference = norm(&mut fused.iter().zip(composed).map(|(a, b)| a - b));
    let scale = norm(&mut composed.iter().copied());
    let tolerance = if what.starts_with("Dmol") {
        1e-4
    } else if what.contains("Bf16") {
        6e-2
    } else {
        1e-5
    };
    assert!(
        difference <= tolerance * scale + 1e-7,
        "{what}: {difference:.2e} of {scale:.2e}"
    );
}

/// Compares outputs, and the gradients of a weighted sum of them for each of `inputs`.
fn compare<const D: usize, const E: usize, const N: usize>(
    what: &str,
    inputs: [Tensor<E>; N],
    fused: impl Fn([Tensor<E>; N]) -> Tensor<D>,
    composed: impl Fn([Tensor<E>; N]) -> Tensor<D>,
) {
    let pass = |operation: &dyn Fn([Tensor<E>; N]) -> Tensor<D>| {
        let inputs = inputs.clone().map(|input| input.detach().require_grad()); // leaves of one graph
        let output = operation(inputs.clone());
        let mut weights = Inputs::new();
        let weights = weights.tensor(output.dims()).detach();
        let gradients = (output.clone() * weights).sum().backward();
        let gradients = inputs
            .each_ref()
            .map(|input| input.grad(&gradients).map(host));
        (host(output), gradients)
    };
    let (output, gradients) = pass(&fused);
    let (expected, expected_gradients) = pass(&composed);
    assert_close(what, &output, &expected);
    for (index, pair) in gradients.into_iter().zip(expected_gradients).enumerate() {
        match pair {
            (Some(gradient), Some(expected)) => {
                assert_close(&format!("{what}, gradient {index}"), &gradient, &expected);
            }
            (None, None) => {}
            (fused, _) => panic!(
                "{what}: gradient {index} is there only {}",
                if fused.is_some() { "fused" } else { "composed" }
            ),
        }
    }
    // Without autodiff, the same values.
    let plain = fused(inputs.clone().map(Tensor::inner));
    assert_eq!(host(plain), output, "{what}: with and without a graph");
}

#[test]
fn convolutions() {
    for (kernel, [batch, side, c_in, c_out]) in [
        (1, [2, 5, 3, 7]),
        (3, [2, 5, 3, 17]),
        (3, [1, 4, 16, 16]),
        (1, [3, 1, 8, 33]),
    ] {
        let mut inputs = Inputs::new();
        let x = inputs.tensor([batch, side, side, c_in]);
        let weight = inputs.tensor([kernel, kernel, c_in, c_out]);
        let bias: Tensor<1> = inputs.tensor([c_out]);
        compare(
            &format!("conv {kernel} of {side}x{side}, {c_in} to {c_out}"),
            [
                x.clone(),
                weight.clone(),
                bias.clone().reshape([1, 1, 1, c_out]),
            ],
            |[x, weight, bias]| ops::conv(x, weight, bias.reshape([c_out])),
            |[x, weight, bias]| composed::conv(x, weight, bias.reshape([c_out])),
        );
        compare(
            &format!("conv {kernel} of the elu of {side}x{side}, {c_in} to {c_out}"),
            [x, weight, bias.reshape([1, 1, 1, c_out])],
            |[x, weight, bias]| ops::conv_of_elu(x, weight, bias.reshape([c_out])),
            |[x, weight, bias]| composed::conv_of_elu(x, weight, bias.reshape([c_out])),
        );
    }
}

#[test]
fn channels_on_their_own() {
    let mut inputs = Inputs::new();
    for ([batch, height, width, channels], kernel) in [([2, 5, 4, 3], 3), ([1, 6, 7, 50], 5)] {
        let x = inputs.tensor([batch, height, width, channels]);
        let weight: Tensor<4> = inputs.tensor([1, kernel, kernel, channels]);
        let shape = [kernel, kernel, channels];
        compare(
            &format!("depthwise {kernel} of {height}x{width}, {channels} channels"),
            [x.clone(), weight],
            |[x, weight]| ops::depthwise_conv_of_elu(x, weight.reshape(shape)),
            |[x, weight]| composed::depthwise_conv_of_elu(x, weight.reshape(shape)),
        );
        compare("elu", [x], |[x]| ops::elu(x), |[x]| composed::elu(x));
    }
}

#[test]
fn quarters_of_an_image() {
    let mut inputs = Inputs::new();
    for ([batch, height, width, channels], part) in [([2, 4, 6, 3], 5), ([1, 2, 8, 20], 16)] {
        let x = inputs.tensor([batch, height, width, channels]);
        let weights = [(); 4].map(|()| inputs.tensor([1, 1, channels, part]));
        let biases = [(); 4].map(|()| inputs.tensor([1, 1, 1, part]));
        let ([w0, w1, w2, w3], [b0, b1, b2, b3]) = (weights, biases);
        type Quarters = fn(Tensor<4>, [(Tensor<4>, Tensor<1>); 4]) -> Tensor<4>;
        let run = |quarters: Quarters, all: [Tensor<4>; 9]| {
            let [x, w0, w1, w2, w3, b0, b1, b2, b3] = all;
            let parts = [(w0, b0), (w1, b1), (w2, b2), (w3, b3)];
            quarters(
                x,
                parts.map(|(weight, bias)| (weight, bias.reshape([part]))),
            )
        };
        compare(
            &format!("quarters of {height}x{width}, {channels} to {part}"),
            [x, w0, w1, w2, w3, b0, b1, b2, b3],
            |all| run(ops::quarters, all),
            |all| run(composed::quarters, all),
        );
    }
}

#[test]
fn bottlenecks_with_and_without_activation_and_residual() {
    for (side, kernel, c, c_act, mid, c_out, residual) in [
        (8, 3, 16, 0, 4, 16, true),
        (5, 3, 7, 7, 3, 6, false),
        (1, 1, 24, 24, 6, 32, false),
        (4, 3, 32, 0, 16, 48, false),
    ] {
        let mut inputs = Inputs::new();
        let mut conv = |kernel, c_in, c_out| {
            let weight = inputs.tensor([kernel, kernel, c_in, c_out]);
            let bias: Tensor<1> = inputs.tensor([c_out]);
            [weight, bias.reshape([1, 1, 1, c_out])]
        };
        let [w1, b1] = conv(1, c + c_act, mid);
        let [w2, b2] = conv(kernel, mid, mid);
        let [w3, b3] = conv(kernel, mid, mid);
        let [w4, b4] = conv(1, mid, c_out);
        let x = inputs.tensor([2, side, side, c]);
        let activation = inputs.tensor([2, side, side, c_act.max(1)]);
        let split = |[x, act, w1, b1, w2, b2, w3, b3, w4, b4]: [Tensor<4>; 10]| {
            let flat = |bias: Tensor<4>| {
                let channels = bias.dims()[3];
                bias.reshape([channels])
            };
            let weights = [
                (w1, flat(b1)),
                (w2, flat(b2)),
                (w3, flat(b3)),
                (w4, flat(b4)),
            ];
            (x, (c_act > 0).then_some(act), weights)
        };
        for (dtype, checkpoint_activations) in [
            (Dtype::Fp32, false),
            (Dtype::Fp32, true),
            (Dtype::Bf16, false),
            (Dtype::Bf16, true),
        ] {
            let compute = Compute {
                dtype,
                checkpoint_activations,
                keep_laid_out: true,
            };
            compare(
                &format!("bottleneck of {side}x{side}, {c}+{c_act} to {c_out}, {compute:?}"),
                [&x, &activation, &w1, &b1, &w2, &b2, &w3, &b3, &w4, &b4].map(Tensor::clone),
                |inputs| {
                    let (x, activation, weights) = split(inputs);
                    let kept = KeptWeights::default();
                    ops::bottleneck(x, activation, weights, residual, compute, &kept)
                },
                |inputs| {
                    let (x, activation, weights) = split(inputs);
                    composed::bottleneck(x, activation, weights, residual, dtype)
                },
            );
        }
    }
}

/// Kept weights change no bit, and are those of the last call's tensors.
#[test]
fn kept_weights() {
    let mut inputs = Inputs::new();
    let mut plain = |shape| inputs.tensor(shape).detach().inner();
    let x = plain([2, 8, 8, 12]);
    let mut weights = || -> BottleneckWeights {
        let conv = |[kernel, c_in, c_out]: [usize; 3]| {
            let bias = plain([1, 1, 1, c_out]).reshape([c_out]);
            (plain([kernel, kernel, c_in, c_out]), bias)
        };
        [[1, 12, 4], [3, 4, 4], [3, 4, 4], [1, 4, 12]].map(conv)
    };
    let kept = KeptWeights::default();
    for weights in [weights(), weights()] {
        for dtype in [Dtype::Fp32, Dtype::Bf16] {
            for batch in [1, 2] {
                let block = |keep_laid_out| {
                    let compute = Compute {
                        dtype,
                        keep_laid_out,
                        ..Compute::default()
                    };
                    let x = x.clone().narrow(0, 0, batch);
                    let y = ops::bottleneck(x, None, weights.clone(), true, compute, &kept);
                    y.into_data()
                };
                let expected = block(false);
                assert_eq!(
                    block(true),
                    expected,
                    "{dtype:?}, {batch} images, laid out now"
                );
                assert_eq!(
                    block(true),
                    expected,
                    "{dtype:?}, {batch} images, laid out before"
                );
            }
        }
    }
}

/// An operation overwrites its input only where nobody else holds it.
#[test]
fn in_place() {
    let mut inputs = Inputs::new();
    let mut plain = |shape| inputs.tensor(shape).detach().inner();
    let (x, prior, z) = (
        plain([3, 4, 4, 7]),
        plain([2, 4, 4, 17]),
        plain([2, 4, 4, 5]),
    );
    let (weight, bias) = (plain([1, 1, 5, 7]), plain([1, 1, 1, 7]).reshape([7]));
    let mut conv = |[kernel, c_in, c_out]: [usize; 3]| {
        let bias = plain([1, 1, 1, c_out]).reshape([c_out]);
        (plain([kernel, kernel, c_in, c_out]), bias)
    };
    let block = [[1, 7, 4], [3, 4, 4], [3, 4, 4], [1, 4, 7]].map(&mut conv);
    let compute = |x: Tensor<4>| {
        let parameters = (weight.clone(), bias.clone());
        let x = ops::add_latents(x, prior.clone(), z.clone(), parameters);
        let kept = KeptWeights::default();
        ops::bottleneck(x, None, block.clone(), true, Compute::default(), &kept).into_data()
    };
    let prior_block = [[1, 7, 4], [3, 4, 4], [3, 4, 4], [1, 4, 17]].map(conv);
    let draw = |x: Tensor<4>| {
        let (kept, compute) = (KeptWeights::default(), Compute::default());
        let projection = (weight.clone(), bias.clone());
        let (noise, block) = (z.clone(), prior_block.clone());
        ops::add_drawn(x, None, noise, block, projection, compute, &kept)
            .0
            .into_data()
    };
    let before = x.to_data();
    let some = || x.clone().narrow(0, 1, 2);
    let shared = some();
    let expected = compute(shared.clone());
    assert_eq!(x.to_data(), before, "what others hold stays");
    let own = Tensor::from_data(shared.to_data(), &Device::flex());
    assert_eq!(compute(own), expected, "a tensor of its own");
    let own = Tensor::from_data(shared.to_data(), &Device::flex());
    let drawn = draw(shared);
    assert_eq!(x.to_data(), before, "what others hold stays");
    assert_eq!(draw(own), drawn, "a tensor of its own");
    let part = Tensor::<4>::from_data(x.to_data(), &Device::flex()).narrow(0, 1, 2);
    assert_eq!(compute(part), expected, "a part of one that nobody holds");
    assert_eq!(draw(some()), drawn, "a part of one that others hold");
}

#[test]
fn latents() {
    let mut inputs = Inputs::new();
    let (posterior, prior) = (inputs.tensor([3, 4, 4, 10]), inputs.tensor([3, 4, 4, 17]));
    let eps = inputs.tensor([3, 4, 4, 5]).detach().inner();
    let constant = |x: &Tensor<4>| {
        if x.is_autodiff() {
            eps.clone().autodiff()
        } else {
            eps.clone()
        }
    };
    assert!(ops::draws_in_one(&eps, None, &eps));
    assert!(!ops::draws_in_one(&prior, None, &eps), "gradients wanted");
    assert!(
        !ops::draws_in_one(&eps, Some(&posterior), &eps),
        "of the posterior alone"
    );
    // Alone, drawing and the divergence are made for where no gradients are wanted.
    let plain = [&posterior, &prior].map(|tensor| tensor.clone().inner());
    let [q, p] = plain;
    let found = ops::draw(p.clone(), eps.clone());
    let expected = composed::draw(p.clone(), eps.clone());
    assert_close("draw", &host(found), &host(expected));
    let found = ops::gaussian_kl(q.clone(), p.clone());
    assert_close("kl", &host(found), &host(composed::gaussian_kl(q, p)));
    // What the loss is made of: the draw, the divergence, or both.
    type Loss = fn(Tensor<4>, Tensor<1>) -> Tensor<1>;
    let draw: Loss = |z, kl| z.reshape([3, -1]).sum_dim(1).reshape([3]) + kl * 0.0;
    let kl: Loss = |_, kl| kl;
    let both: Loss = |z, kl| z.powi_scalar(2).reshape([3, -1]).sum_dim(1).reshape([3]) + kl;
    for (what, loss) in [("draw", draw), ("kl", kl), ("both", both)] {
        compare(
            &format!("draw with kl, {what}"),
            [posterior.clone(), prior.clone()],
            |[q, p]| {
                let (z, kl) = ops::draw_with_kl(q, p.clone(), constant(&p));
                loss(z, kl)
            },
            |[q, p]| {
                let z = composed::draw(q.clone(), constant(&p));
                loss(z, composed::gaussian_kl(q, p))
            },
        );
    }
    // Where nobody asks for the divergence, the prior's gradient is zero.
    let [q, p] = [&posterior, &prior].map(|tensor| tensor.clone().detach().require_grad());
    let (z, _) = ops::draw_with_kl(q.clone(), p.clone(), eps.clone());
    let gradients = (z.clone() * z).sum().backward();
    let z = composed::draw(q.clone(), eps.clone().autodiff());
    let expected = (z.clone() * z).sum().backward();
    assert_close(
        "draw without kl",
        &host(q.grad(&gradients).unwrap()),
        &host(q.grad(&expected).unwrap()),
    );
    assert!(host(p.grad(&gradients).unwrap()).iter().all(|&d| d == 0.0));
    compare(
        "state with latents",
        [
            inputs.tensor([3, 4, 4, 7]),
            prior,
            inputs.tensor([3, 4, 4, 5]),
            inputs.tensor([1, 1, 5, 7]),
            inputs.tensor([1, 1, 1, 7]),
        ],
        |[x, prior, z, w, b]| ops::add_latents(x, prior, z, (w, b.reshape([7]))),
        |[x, prior, z, w, b]| composed::add_latents(x, prior, z, (w, b.reshape([7]))),
    );
}

#[test]
fn softly_clamped_gaussians() {
    let mut inputs = Inputs::new();
    let clamp = SoftClamp {
        limit: 0.7,
        least_sigma: 0.01,
    };
    for shape in [[2, 3, 4, 10], [1, 8, 8, 68]] {
        compare(
            &format!("soft clamp of {shape:?}"),
            [inputs.tensor(shape)],
            |[raw]| ops::soft_clamp(raw, clamp),
            |[raw]| composed::soft_clamp(raw, clamp),
        );
    }
}

#[test]
fn between_resolutions() {
    let mut inputs = Inputs::new();
    for (rate, channels) in [(2, 5), (4, 9), (1, 6)] {
        compare(
            &format!("pool by {rate} to {channels} channels"),
            [inputs.tensor([2, 4, 4, 5])],
            |[x]| ops::average_pool(x, rate, channels),
            |[x]| composed::average_pool(x, rate, channels),
        );
    }
    for (batch, rate) in [(2, 2), (1, 4)] {
        compare(
            &format!("upsample by {rate}, state of {batch}"),
            [
                inputs.tensor([batch, 2 * rate, 2 * rate, 5]),
                inputs.tensor([2, 2, 2, 7]),
            ],
            |[x, lower]| ops::upsample_add(x, lower),
            |[x, lower]| composed::upsample_add(x, lower),
        );
    }
    for shape in [[2, 3, 4, 5], [1, 1, 6, 17]] {
        compare(
            &format!("bilinear of {shape:?}"),
            [inputs.tensor(shape)],
            |[x]| ops::upsample_bilinear(x),
            |[x]| composed::upsample_bilinear(x),
        );
    }
}

#[test]
fn mixtures_of_logistics() {
    for shape in [
        Dmol {
            mixtures: 3,
            channels: 3,
            bits: 8,
            upper_edge: UPPER_EDGE,
        },
        Dmol {
            mixtures: 10,
            channels: 3,
            bits: 5,
            upper_edge: UPPER_EDGE,
        },
        Dmol {
            mixtures: 2,
            channels: 1,
            bits: 8,
            upper_edge: UPPER_EDGE,
        },
    ] {
        let mut inputs = Inputs::new();
        let parameters = inputs.tensor([2, 3, 3, shape.parameters()]) * 3.0;
        let levels: Vec<f32> = (0..2 * 9 * shape.channels)
            .map(|index| [0_u8, 255, 128, 7, 200][index % 5])
            .map(|value| {
                if shape.bits == 5 {
                    value / 8 * 8
                } else {
                    value
                }
            })
            .map(|value| (f32::from(value) - 127.5) / 127.5)
            .collect();
        let device = Device::flex();
        let target = Tensor::from_data(TensorData::new(levels, [2, 3, 3, shape.channels]), &device);
        let target = |x: &Tensor<4>| {
            if x.is_autodiff() {
                target.clone().autodiff()
            } else {
                target.clone()
            }
        };
        compare(
            &format!("{shape:?}"),
            [parameters],
            |[parameters]| ops::dmol_nll(&shape, parameters.clone(), target(&parameters)),
            |[parameters]| composed::dmol_nll(&shape, parameters.clone(), target(&parameters)),
        );
    }
}

#[test]
fn the_update_in_place_and_composed() {
    let device = Device::flex();
    let mut inputs = Inputs::new();
    let mut plain = |count| -> Tensor<1> { inputs.tensor([count]).inner() };
    let (weights, gradient) = (plain(37), plain(37));
    let zeros = Tensor::<1>::zeros([37], &device);
    let start = ops::Moments {
        first: zeros.clone(),
        second: zeros,
        average: weights.clone(),
    };
    let (mut fused, mut expected) = (start.clone(), start);
    let before = host(weights.clone());
    let (mut fused_weights, mut expected_weights) = (weights.clone(), weights.clone());
    for step in 1..4 {
        let rule = ops::AdamW {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.9,
            epsilon: 1e-8,
            weight_decay: 0.01,
            step,
            grad_scale: 0.5,
            ema_rate: 0.9,
        };
        fused_weights = ops::adamw(&rule, fused_weights, gradient.clone(), &mut fused);
        expected_weights =
            composed::adamw(&rule, expected_weights, gradient.clone(), &mut expected);
    }
    assert_close("weights", &host(fused_weights), &host(expected_weights));
    assert_close("first moment", &host(fused.first), &host(expected.first));
    assert_close("second moment", &host(fused.second), &host(expected.second));
    assert_close("average", &host(fused.average), &host(expected.average));
    let squares: f64 = host(gradient.clone())
        .iter()
        .map(|&g| f64::from(g).powi(2))
        .sum();
    assert!((ops::sum_of_squares(gradient) - squares).abs() < 1e-9 * squares);
    // What others hold is not changed by an update in place.
    assert_eq!(host(weights), before);
}

#[test]
fn the_log_ratio_of_draws_is_the_kl_divergence_on_average() {
    let mut inputs = Inputs::new();
    let batch = 20_000;
    let repeat = |tensor: Tensor<4>| tensor.inner().repeat_dim(0, batch);
    let posterior = repeat(inputs.tensor([1, 1, 1, 6]));
    let prior = repeat(inputs.tensor([1, 1, 1, 8]));
    let keys = vdvae_models::random::Keys {
        seed: 1,
        purpose: Purpose::Evaluation,
        step: 0,
        items: (0..batch as u64).collect(),
    };
    let eps = keys.normal(0, 1, 3, &Device::flex());
    let z = ops::draw(posterior.clone(), eps);
    let mean = |values: Vec<f32>| values.iter().sum::<f32>() / values.len() as f32;
    let ratio = mean(host(ops::gaussian_log_ratio(
        posterior.clone(),
        prior.clone(),
        z,
    )));
    let kl = mean(host(ops::gaussian_kl(posterior, prior)));
    assert!((ratio - kl).abs() < 0.05 * kl, "{ratio} and {kl}");
}

/// What is summed over a large image is summed exactly: to a few units of the last place.
#[test]
fn sums_over_the_elements_of_a_large_image() {
    const SIDE: usize = 1024;
    let device = Device::flex();
    let full =
        |channels: usize, value: f32| Tensor::<4>::full([1, SIDE, SIDE, channels], value, &device);
    let check = |what: &str, found: Tensor<1>, each: f64, channels: usize| {
        let expected = each * (SIDE * SIDE * channels) as f64;
        for found in host(found) {
            let error = (f64::from(found) - expected) / expected;
            assert!(error.abs() < 2e-6, "{what}: {found}, expected {expected}");
        }
    };
    let tenth = f64::from(0.1_f32);
    check("tenths", ops::sum_per_image(full(3, 0.1)), tenth, 3);
    check("ones", ops::sum_per_image(full(17, 1.0)), 1.0, 17);
    let bernoulli = Likelihood::Bernoulli;
    let nats = bernoulli.negative_log_likelihood(full(1, 0.3), full(1, 1.0));
    check("Bernoulli", nats, (-f64::from(0.3_f32)).exp().ln_1p(), 1);
    // Means 0 and 0.5, standard deviations 1, at 0.25.
    let gaussian = |mean: f32| Tensor::cat(vec![full(1, mean), full(1, 0.0)], 3);
    let (posterior, prior) = (gaussian(0.0), gaussian(0.5));
    let ratio = ops::gaussian_log_ratio(posterior.clone(), prior.clone(), full(1, 0.3));
    let (from_posterior, from_prior) = (f64::from(0.3_f32), f64::from(0.3_f32) - 0.5);
    let each = (from_prior.powi(2) - from_posterior.powi(2)) / 2.0;
    check("log ratio", ratio, each, 1);
    let kl = composed::gaussian_kl(posterior.clone(), prior.clone());
    check("composed KL", kl, 0.125, 1);
    check("KL", ops::gaussian_kl(posterior, prior), 0.125, 1);
    let shape = Dmol {
        mixtures: 1,
        channels: 1,
        bits: 8,
        upper_edge: UPPER_EDGE,
    };
    for (what, nll) in [
        ("mixtures", ops::dmol_nll as fn(&Dmol, _, _) -> _),
        ("composed mixtures", composed::dmol_nll),
    ] {
        let of = |side: usize| {
            let full = |value: f32| Tensor::<4>::full([1, side, side, 1], value, &device);
            let parameters = Tensor::cat(vec![full(0.0), full(0.1), full(-3.0)], 3);
            nll(&shape, parameters, full(0.0))
        };
        check(what, of(SIDE), f64::from(host(of(1))[0]), 1);
    }
}

/// Sums of parts have the gradient of a sum.
#[test]
fn the_gradient_of_a_sum_over_an_image_is_one_everywhere() {
    let mut inputs = Inputs::new();
    for count in [1, 32, 33, 1025] {
        let x = inputs.tensor([3, count]);
        let gradients = ops::sum_per_image(x.clone()).mean().backward();
        let gradient = host(x.grad(&gradients).unwrap());
        assert!(
            gradient.iter().all(|&each| (each - 1.0 / 3.0).abs() < 1e-7),
            "{count}"
        );
    }
}

/// Operations either fused or composed.
struct Operations {
    conv: fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>,
    draw_with_kl: fn(Tensor<4>, Tensor<4>, Tensor<4>) -> (Tensor<4>, Tensor<1>),
    add_latents: fn(Tensor<4>, Tensor<4>, Tensor<4>, (Tensor<4>, Tensor<1>)) -> Tensor<4>,
}

impl Operations {
    /// A stochastic layer whose state, prior and posterior are each read by several operations, some of
    /// them Burn's, and one whose result is not used.
    fn layer(&self, [x, state, q, p, z]: [Tensor<4>; 5]) -> Tensor<1> {
        let zeros = |channels| Tensor::<1>::zeros([channels], &x.device());
        let (channels, zdim) = (state.dims()[3], z.dims()[2]);
        let state = (self.conv)(x.clone(), state, zeros(channels));
        let prior = (self.conv)(state.clone(), p, zeros(2 * zdim + channels));
        let posterior = (self.conv)(state.clone(), q.clone(), zeros(2 * zdim));
        let _unused = (self.conv)(state.clone(), q, zeros(2 * zdim));
        let eps = posterior.clone().narrow(3, 0, zdim).detach();
        let (latents, kl) = (self.draw_with_kl)(posterior, prior.clone(), eps);
        let z = (z, zeros(channels));
        let next = (self.add_latents)(state.clone(), prior.clone(), latents.clone(), z.clone());
        // One that reads a tensor twice.
        let next = (self.add_latents)(next.clone(), next, latents, z);
        let burn = state.sum() + (prior.clone() * prior).sum() * 0.1;
        kl + burn + (next.clone() * next).sum()
    }
}

#[test]
fn gradients_of_a_tensor_that_many_read_are_added_once_each() {
    let fused = Operations {
        conv: ops::conv,
        draw_with_kl: ops::draw_with_kl,
        add_latents: ops::add_latents,
    };
    let composed = Operations {
        conv: composed::conv,
        draw_with_kl: |q, p, eps| {
            let z = composed::draw(q.clone(), eps);
            (z, composed::gaussian_kl(q, p))
        },
        add_latents: composed::add_latents,
    };
    for (side, channels, zdim) in [(4, 5, 3), (1, 1, 1), (3, 16, 2)] {
        let mut inputs = Inputs::new();
        let inputs = [
            inputs.tensor([2, side, side, channels]),
            inputs.tensor([1, 1, channels, channels]),
            inputs.tensor([1, 1, channels, 2 * zdim]),
            inputs.tensor([1, 1, channels, 2 * zdim + channels]),
            inputs.tensor([1, 1, zdim, channels]),
        ];
        compare(
            &format!("layer of {side}x{side}, {channels} channels"),
            inputs,
            |inputs| fused.layer(inputs),
            |inputs| composed.layer(inputs),
        );
    }
}
