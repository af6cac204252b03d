//! Batch normalisation and depthwise convolutions against their naive twins, at sizes that fit no tile.

mod common;

use common::{assert_close, assert_within, bits, numbers, on_every_path, with_threads};
use vdvae_kernels::batch_norm::{BatchNorm, Norm, Statistics, backward_new, evaluate, forward_new};
use vdvae_kernels::depthwise::{self, Before, Depthwise};
use vdvae_kernels::naive_cells::{
    Normalisation, depthwise_backward, depthwise_forward, statistics, swish, swish_slope,
};

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&n| f64::from(n)).collect()
}

/// Pixels and channels around the ends of parts and vectors.
const SHAPES: [(usize, usize); 9] = [
    (1, 1),
    (2, 3),
    (5, 16),
    (63, 17),
    (64, 8),
    (65, 31),
    (130, 48),
    (257, 65),
    (1000, 7),
];

fn shape(pixels: usize, channels: usize, swish: bool) -> BatchNorm {
    BatchNorm {
        pixels,
        channels,
        epsilon: 1e-5,
        swish,
    }
}

struct Case {
    shape: BatchNorm,
    x: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn new((pixels, channels): (usize, usize), swish: bool, offset: f32) -> Self {
        let mut x = numbers(pixels * channels, 1, 1.5);
        for (i, x) in x.iter_mut().enumerate() {
            *x += offset * (i % channels) as f32;
        }
        Self {
            shape: shape(pixels, channels, swish),
            x,
            gamma: numbers(channels, 2, 1.5),
            beta: numbers(channels, 3, 1.0),
            dy: numbers(pixels * channels, 4, 1.0),
        }
    }

    fn norm(&self) -> Norm<'_> {
        Norm {
            gamma: &self.gamma,
            beta: &self.beta,
        }
    }
}

#[test]
fn forward_and_backward_agree_with_the_naive_twin() {
    for size in SHAPES {
        for swish_behind in [false, true] {
            let case = Case::new(size, swish_behind, 0.1);
            let (x, dy) = (wide(&case.x), wide(&case.dy));
            let (gamma, beta) = (wide(&case.gamma), wide(&case.beta));
            let (mean, variance) = statistics(&x, size.1);
            let twin = Normalisation {
                gamma: &gamma,
                beta: &beta,
                mean: &mean,
                variance: &variance,
                epsilon: f64::from(1e-5_f32),
            };
            let z = twin.forward(&x);
            let (y, d): (Vec<f64>, Vec<f64>) = if swish_behind {
                let slopes = dy.iter().zip(&z).map(|(d, &z)| d * swish_slope(z));
                (z.iter().map(|&z| swish(z)).collect(), slopes.collect())
            } else {
                (z, dy)
            };
            let (dx, dgamma, dbeta) = twin.backward(&x, &d);
            on_every_path(|path| {
                let name = |what| format!("{path} {size:?} {swish_behind} {what}");
                let (found, statistics) = forward_new(&case.shape, &case.x, &case.norm());
                assert_within(1e-5, &name("y"), &found, y.clone());
                assert_close(&name("mean"), &statistics.mean, mean.clone());
                assert_close(&name("variance"), &statistics.variance, variance.clone());
                let again = evaluate(&case.shape, &case.x, &case.norm(), &statistics);
                assert!(bits(&again) == bits(&found), "{}", name("evaluate"));
                let (found, gradient) = backward_new(
                    &case.shape,
                    &case.x,
                    &case.norm(),
                    &statistics,
                    &case.dy,
                    None,
                );
                // Of one pixel nothing but rounding, times 1 / sqrt(epsilon), remains.
                if size.0 > 2 {
                    assert_within(1e-5, &name("dx"), &found, dx.clone());
                    assert_within(1e-5, &name("dgamma"), &gradient.gamma, dgamma.clone());
                }
                assert_within(1e-5, &name("dbeta"), &gradient.beta, dbeta.clone());
                let other = &case.x;
                let (sum, _) = backward_new(
                    &case.shape,
                    &case.x,
                    &case.norm(),
                    &statistics,
                    &case.dy,
                    Some(other),
                );
                let added = found.iter().zip(other).map(|(a, b)| a + b);
                let added: Vec<f32> = added.collect();
                assert!(bits(&sum) == bits(&added), "{}", name("with another"));
            });
        }
    }
}

#[test]
fn a_mean_far_from_zero_costs_little_precision() {
    // Means up to 200 standard deviations.
    let case = Case::new((700, 20), false, 10.0);
    let x = wide(&case.x);
    let (mean, variance) = statistics(&x, 20);
    on_every_path(|path| {
        let (_, found) = forward_new(&case.shape, &case.x, &case.norm());
        assert_within(1e-7, &format!("{path} mean"), &found.mean, mean.clone());
        for (found, expected) in found.variance.iter().zip(&variance) {
            let error = (f64::from(*found) / expected - 1.0).abs();
            assert!(
                error < 2e-6,
                "{path}: variance {found}, expected {expected}"
            );
        }
    });
}

#[test]
fn threads_change_no_bit() {
    let case = Case::new((3000, 70), true, 0.3);
    on_every_path(|path| {
        let compute = || {
            let (y, statistics) = forward_new(&case.shape, &case.x, &case.norm());
            let (dx, g) = backward_new(
                &case.shape,
                &case.x,
                &case.norm(),
                &statistics,
                &case.dy,
                None,
            );
            let Statistics { mean, variance } = statistics;
            [y, dx, g.gamma, g.beta, mean, variance].map(|r| bits(&r))
        };
        let one = with_threads(1, compute);
        for threads in [2, 3, 7] {
            assert!(with_threads(threads, compute) == one, "{path} {threads}");
        }
    });
}

/// Batch, height, width, channels.
const IMAGES: [(usize, usize, usize, usize); 8] = [
    (1, 1, 1, 1),
    (2, 1, 5, 3),
    (1, 4, 3, 17),
    (3, 5, 9, 48),
    (2, 8, 8, 49),
    (1, 16, 16, 40),
    (2, 7, 13, 100),
    (1, 3, 26, 8),
];

#[test]
fn depthwise_agrees_with_the_naive_twin() {
    for size in IMAGES {
        for kernel in [3, 5] {
            for normalised in [false, true] {
                depthwise_case(size, kernel, normalised);
            }
        }
    }
}

fn depthwise_case(size: (usize, usize, usize, usize), kernel: usize, normalised: bool) {
    let (batch, height, width, channels) = size;
    let shape = Depthwise {
        batch,
        height,
        width,
        channels,
        kernel,
    };
    let x = numbers(shape.length(), 1, 1.5);
    let w = numbers(shape.weight_length(), 2, 0.5);
    let dy = numbers(shape.length(), 3, 1.0);
    let (gamma, beta) = (numbers(channels, 4, 1.0), numbers(channels, 5, 1.0));
    let given = Statistics {
        mean: numbers(channels, 6, 1.0),
        variance: numbers(channels, 7, 1.0).iter().map(|v| v * v).collect(),
    };
    let epsilon = 1e-3;
    let before = Before {
        norm: Norm {
            gamma: &gamma,
            beta: &beta,
        },
        statistics: &given,
        epsilon,
    };
    let before = normalised.then_some(before);
    let mut read = wide(&x);
    if normalised {
        let twin = Normalisation {
            gamma: &wide(&gamma),
            beta: &wide(&beta),
            mean: &wide(&given.mean),
            variance: &wide(&given.variance),
            epsilon: f64::from(epsilon),
        };
        read = twin.forward(&read).into_iter().map(swish).collect();
    }
    let y = depthwise_forward(size, kernel, &read, &wide(&w));
    let (dx, dw) = depthwise_backward(size, kernel, &read, &wide(&w), &wide(&dy));
    on_every_path(|path| {
        let name = |what| format!("{path} {shape:?} {normalised} {what}");
        let compute = || {
            let y = depthwise::forward_new(&shape, &x, before.as_ref(), &w);
            let (dx, dw) = depthwise::backward_new(&shape, &x, before.as_ref(), &w, &dy);
            [y, dx, dw]
        };
        let found = with_threads(1, compute);
        assert_close(&name("y"), &found[0], y.clone());
        assert_close(&name("dx"), &found[1], dx.clone());
        assert_close(&name("dw"), &found[2], dw.clone());
        let shared = with_threads(3, compute);
        for (a, b) in found.iter().zip(&shared) {
            assert!(bits(a) == bits(b), "{}", name("threads"));
        }
    });
}

#[test]
#[should_panic(expected = "gamma has 2 numbers, the shape needs 3")]
fn a_wrong_length_is_named() {
    let norm = Norm {
        gamma: &[1.0; 2],
        beta: &[0.0; 3],
    };
    forward_new(&shape(4, 3, true), &[0.0; 12], &norm);
}
