//! Residual cells against their naive twin, at sizes that fit no tile.

mod common;

use common::{assert_within, bits, numbers, on_every_path, with_threads};
use vdvae_kernels::batch_norm::{Norm, Statistics};
use vdvae_kernels::naive_residual::{
    ResidualGradients, ResidualPass, ResidualWeights, residual_backward, residual_forward,
};
use vdvae_kernels::residual::{Gradients, Residual, Weights, backward_new, evaluate, forward_new};
use vdvae_kernels::squeeze::Squeeze;

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&n| f64::from(n)).collect()
}

fn residual(
    (batch, height, width): (usize, usize, usize),
    (c_in, c_out): (usize, usize),
    stride: usize,
) -> Residual {
    Residual {
        batch,
        height,
        width,
        c_in,
        c_out,
        squeezed: 4,
        stride,
        epsilon: 1e-3,
        scale: 0.7,
    }
}

/// Sides that are filtered and sides that are not, even and odd.
fn shapes() -> Vec<Residual> {
    vec![
        residual((2, 8, 8), (16, 16), 1),
        residual((1, 8, 12), (17, 33), 1),
        residual((2, 5, 7), (9, 20), 1),
        residual((5, 1, 1), (6, 7), 1),
        residual((2, 16, 16), (20, 40), 2),
        residual((1, 7, 9), (5, 18), 2),
        residual((3, 8, 8), (3, 48), 2),
        residual((4, 2, 2), (8, 9), 2),
    ]
}

struct Case {
    shape: Residual,
    x: Vec<f32>,
    skip: Vec<f32>,
    dy: Vec<f32>,
    norms: [[Vec<f32>; 2]; 2],
    convolutions: [Vec<f32>; 2],
    biases: [Vec<f32>; 2],
    squeeze: [Vec<f32>; 4],
}

impl Case {
    fn new(shape: Residual) -> Self {
        let Residual {
            c_in,
            c_out,
            squeezed,
            stride,
            ..
        } = shape;
        let pixels = shape.batch * shape.height * shape.width;
        let half = |side: usize| side.div_ceil(stride);
        let out = shape.batch * half(shape.height) * half(shape.width) * c_out;
        let mut seed = 10;
        let mut draw = |count: usize, scale: f32| {
            seed += 1;
            numbers(count, seed, scale)
        };
        Self {
            shape,
            x: draw(pixels * c_in, 1.0).iter().map(|x| x + 0.5).collect(),
            skip: draw(out, 1.0),
            dy: draw(out, 1.0),
            norms: [c_in, c_out]
                .map(|n| [draw(n, 1.0).iter().map(|g| g + 0.2).collect(), draw(n, 0.5)]),
            convolutions: [c_in, c_out].map(|n| draw(9 * n * c_out, 0.5)),
            biases: [draw(c_out, 1.0), draw(c_out, 1.0)],
            squeeze: [c_out * squeezed, squeezed, squeezed * c_out, c_out].map(|n| draw(n, 1.0)),
        }
    }

    fn weights(&self) -> Weights<'_> {
        let [w1, b1, w2, b2] = &self.squeeze;
        Weights {
            norms: self
                .norms
                .each_ref()
                .map(|[gamma, beta]| Norm { gamma, beta }),
            convolutions: self.convolutions.each_ref().map(Vec::as_slice),
            biases: self.biases.each_ref().map(Vec::as_slice),
            squeeze: Squeeze { w1, b1, w2, b2 },
        }
    }

    fn wide_weights(&self) -> ResidualWeights {
        ResidualWeights {
            norms: self
                .norms
                .each_ref()
                .map(|norm| norm.each_ref().map(|v| wide(v))),
            convolutions: self.convolutions.clone(),
            biases: self.biases.clone(),
            squeeze: self.squeeze.each_ref().map(|w| wide(w)),
        }
    }

    fn twin(&self) -> (ResidualPass, ResidualGradients) {
        let weights = self.wide_weights();
        let (x, skip) = (wide(&self.x), wide(&self.skip));
        let pass = residual_forward(&self.shape, &x, &skip, &weights, None);
        let gradients = residual_backward(&self.shape, &weights, &pass, &wide(&self.dy));
        (pass, gradients)
    }
}

/// All gradients, in the order of the twin's.
fn all(g: &Gradients) -> Vec<&[f32]> {
    let mut all: Vec<&[f32]> = vec![&g.x];
    for i in 0..2 {
        all.extend([&g.norms[i].gamma[..], &g.norms[i].beta]);
        all.extend([&g.convolutions[i][..], &g.biases[i]]);
    }
    all.extend([
        &g.squeeze.w1[..],
        &g.squeeze.b1,
        &g.squeeze.w2,
        &g.squeeze.b2,
    ]);
    all
}

/// The gradient of the first bias is zero, because a normalisation follows.
const FIRST_BIAS: usize = 4;

fn wide_all(g: &ResidualGradients) -> Vec<&[f64]> {
    let mut all: Vec<&[f64]> = vec![&g.x];
    for i in 0..2 {
        all.extend(g.norms[i].iter().map(Vec::as_slice));
        all.extend([&g.convolutions[i][..], &g.biases[i]]);
    }
    all.extend(g.squeeze.iter().map(Vec::as_slice));
    all
}

#[test]
fn training_agrees_with_the_naive_twin() {
    for shape in shapes() {
        let case = Case::new(shape);
        let (pass, gradients) = case.twin();
        on_every_path(|path| {
            let name = |what: String| format!("{path} {shape:?} {what}");
            let (y, saved) = forward_new(&shape, &case.x, &case.skip, &case.weights());
            assert_within(1e-5, &name("y".into()), &y, pass.y.clone());
            for (found, (mean, variance)) in saved.statistics().iter().zip(&pass.statistics) {
                assert_within(1e-5, &name("mean".into()), &found.mean, mean.clone());
                let what = name("variance".into());
                assert_within(1e-5, &what, &found.variance, variance.clone());
            }
            let weights = case.weights();
            let found = backward_new(&shape, &case.x, &weights, &saved, &case.dy, [None; 2]);
            let pairs = all(&found).into_iter().zip(wide_all(&gradients));
            for (i, (found, expected)) in pairs.enumerate() {
                if i == FIRST_BIAS {
                    let size = case.dy.len() as f32;
                    assert!(found.iter().all(|d| d.abs() < 1e-5 * size), "{found:?}");
                } else {
                    let what = name(format!("gradient {i}"));
                    assert_within(3e-5, &what, found, expected.iter().copied());
                }
            }
            let others = [None, Some(&case.x[..])];
            let sum = backward_new(&shape, &case.x, &weights, &saved, &case.dy, others);
            let added = found.x.iter().zip(&case.x).map(|(a, b)| a + b);
            let added: Vec<f32> = added.collect();
            assert!(bits(&sum.x) == bits(&added), "{}", name("others".into()));
        });
    }
}

/// The twin's own gradients against finite differences of its output.
#[test]
fn the_twin_has_the_right_gradients() {
    const STEP: f64 = 1e-5;
    for shape in [
        residual((2, 2, 3), (3, 4), 1),
        residual((1, 4, 5), (2, 3), 2),
    ] {
        let case = Case::new(shape);
        let (_, gradients) = case.twin();
        let (mut x, skip, dy) = (wide(&case.x), wide(&case.skip), wide(&case.dy));
        let weights = case.wide_weights();
        let loss = |x: &[f64], weights: &ResidualWeights| -> f64 {
            let pass = residual_forward(&shape, x, &skip, weights, None);
            pass.y.iter().zip(&dy).map(|(y, d)| y * d).sum()
        };
        let near = |found: f64, expected: f64| {
            let error = (found - expected).abs();
            assert!(error < 1e-6 * (1.0 + expected.abs()), "{found} {expected}");
        };
        for i in 0..x.len() {
            let centre = x[i];
            x[i] = centre + STEP;
            let above = loss(&x, &weights);
            x[i] = centre - STEP;
            near((above - loss(&x, &weights)) / (2.0 * STEP), gradients.x[i]);
            x[i] = centre;
        }
        let of_wide: Vec<&Vec<f64>> = gradients
            .norms
            .iter()
            .flatten()
            .chain(&gradients.squeeze)
            .collect();
        for (which, expected) in of_wide.into_iter().enumerate() {
            for (i, &expected) in expected.iter().enumerate() {
                let at = |step: f64| {
                    let mut weights = weights.clone();
                    let norms = weights.norms.iter_mut().flatten();
                    let mut all: Vec<_> = norms.chain(&mut weights.squeeze).collect();
                    all[which][i] += step;
                    loss(&x, &weights)
                };
                near((at(STEP) - at(-STEP)) / (2.0 * STEP), expected);
            }
        }
    }
}

#[test]
fn evaluation_agrees_with_the_naive_twin_and_forgets_the_batch() {
    for shape in shapes() {
        let case = Case::new(shape);
        let mut seed = 40;
        let statistics = [shape.c_in, shape.c_out].map(|n| {
            seed += 2;
            Statistics {
                mean: numbers(n, seed, 1.0),
                variance: numbers(n, seed + 1, 1.0)
                    .iter()
                    .map(|v| v * v + 0.3)
                    .collect(),
            }
        });
        let given = statistics
            .each_ref()
            .map(|s| (wide(&s.mean), wide(&s.variance)));
        let (x, skip) = (wide(&case.x), wide(&case.skip));
        let pass = residual_forward(&shape, &x, &skip, &case.wide_weights(), Some(&given));
        on_every_path(|path| {
            let name = |what: &str| format!("{path} {shape:?} {what}");
            let compute = |shape: &Residual, x: &[f32], skip: &[f32]| {
                evaluate(shape, x, skip, &case.weights(), &statistics)
            };
            let y = with_threads(2, || compute(&shape, &case.x, &case.skip));
            assert_within(1e-5, &name("y"), &y, pass.y.clone());
            let one = Residual { batch: 1, ..shape };
            let (image, out) = (x.len() / shape.batch, skip.len() / shape.batch);
            for i in 0..shape.batch {
                let x = &case.x[i * image..(i + 1) * image];
                let skip = &case.skip[i * out..(i + 1) * out];
                let alone = compute(&one, x, skip);
                let same = bits(&alone) == bits(&y[i * out..(i + 1) * out]);
                assert!(same, "{}", name("alone"));
            }
        });
    }
}

#[test]
fn threads_change_no_bit() {
    for stride in [1, 2] {
        let shape = residual((3, 16, 16), (40, 48), stride);
        let case = Case::new(shape);
        on_every_path(|path| {
            let compute = || {
                let weights = case.weights();
                let (y, saved) = forward_new(&shape, &case.x, &case.skip, &weights);
                let g = backward_new(&shape, &case.x, &weights, &saved, &case.dy, [None; 2]);
                let statistics = saved.statistics().clone();
                let z = evaluate(&shape, &case.x, &case.skip, &weights, &statistics);
                let mut results = vec![bits(&y), bits(&z)];
                results.extend(all(&g).into_iter().map(bits));
                results
            };
            let one = with_threads(1, compute);
            for threads in [2, 3, 7] {
                assert!(with_threads(threads, compute) == one, "{path} {threads}");
            }
        });
    }
}
