//! Inverted bottlenecks against their naive twin, at sizes that fit no tile.

mod common;

use common::{assert_within, bits, numbers, on_every_path, with_threads};
use vdvae_kernels::batch_norm::{Norm, Statistics};
use vdvae_kernels::inverted::{Gradients, Inverted, Weights, backward_new, evaluate, forward_new};
use vdvae_kernels::naive_cells::{
    InvertedPass, InvertedWeights, inverted_backward, inverted_forward,
};
use vdvae_kernels::squeeze::Squeeze;

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&n| f64::from(n)).collect()
}

fn inverted(
    (batch, height, width): (usize, usize, usize),
    (c_in, expanded, c_out): (usize, usize, usize),
    kernel: usize,
    upsample: bool,
) -> Inverted {
    Inverted {
        batch,
        height,
        width,
        c_in,
        expanded,
        c_out,
        squeezed: 4,
        kernel,
        upsample,
        epsilon: 1e-3,
        scale: 0.7,
    }
}

fn shapes() -> Vec<Inverted> {
    vec![
        inverted((2, 4, 4), (3, 5, 4), 5, false),
        inverted((1, 3, 7), (17, 50, 9), 3, false),
        inverted((2, 8, 8), (16, 96, 16), 5, false),
        inverted((2, 3, 5), (20, 100, 33), 5, true),
        inverted((3, 9, 8), (40, 48, 65), 5, false),
        inverted((1, 4, 4), (8, 49, 4), 3, true),
    ]
}

struct Case {
    shape: Inverted,
    x: Vec<f32>,
    skip: Vec<f32>,
    dy: Vec<f32>,
    /// Gamma and beta of each normalisation.
    norms: [[Vec<f32>; 2]; 4],
    weights: [Vec<f32>; 3],
    squeeze: [Vec<f32>; 4],
}

impl Case {
    fn new(shape: Inverted) -> Self {
        let Inverted {
            c_in,
            c_out,
            expanded,
            squeezed,
            kernel,
            ..
        } = shape;
        let pixels = shape.batch * shape.height * shape.width;
        let out = pixels * if shape.upsample { 4 } else { 1 } * c_out;
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
            norms: [c_in, expanded, expanded, c_out]
                .map(|n| [draw(n, 1.0).iter().map(|g| g + 0.2).collect(), draw(n, 0.5)]),
            weights: [
                c_in * expanded,
                kernel * kernel * expanded,
                expanded * c_out,
            ]
            .map(|n| draw(n, 0.5)),
            squeeze: [c_out * squeezed, squeezed, squeezed * c_out, c_out].map(|n| draw(n, 1.0)),
        }
    }

    fn weights(&self) -> Weights<'_> {
        let [expand, depthwise, project] = &self.weights;
        let [w1, b1, w2, b2] = &self.squeeze;
        Weights {
            norms: self
                .norms
                .each_ref()
                .map(|[gamma, beta]| Norm { gamma, beta }),
            expand,
            depthwise,
            project,
            squeeze: Squeeze { w1, b1, w2, b2 },
        }
    }

    fn wide_weights(&self) -> InvertedWeights {
        let [expand, depthwise, project] = self.weights.each_ref().map(|w| wide(w));
        InvertedWeights {
            norms: self
                .norms
                .each_ref()
                .map(|norm| norm.each_ref().map(|v| wide(v))),
            expand,
            depthwise,
            project,
            squeeze: self.squeeze.each_ref().map(|w| wide(w)),
        }
    }

    fn twin(&self) -> (InvertedPass, Vec<f64>, InvertedWeights) {
        let weights = self.wide_weights();
        let (x, skip) = (wide(&self.x), wide(&self.skip));
        let pass = inverted_forward(&self.shape, &x, &skip, &weights, None);
        let (dx, gradients) = inverted_backward(&self.shape, &weights, &pass, &wide(&self.dy));
        (pass, dx, gradients)
    }
}

/// All gradients but the input's, in the order of the twin's.
fn parameters(g: &Gradients) -> Vec<(&'static str, &[f32])> {
    let mut all: Vec<(&str, &[f32])> = vec![
        ("expand", &g.expand),
        ("depthwise", &g.depthwise),
        ("project", &g.project),
        ("squeeze w1", &g.squeeze.w1),
        ("squeeze b1", &g.squeeze.b1),
        ("squeeze w2", &g.squeeze.w2),
        ("squeeze b2", &g.squeeze.b2),
    ];
    for norm in &g.norms {
        all.push(("gamma", &norm.gamma));
        all.push(("beta", &norm.beta));
    }
    all
}

fn wide_parameters(g: &InvertedWeights) -> Vec<&[f64]> {
    let mut all: Vec<&[f64]> = vec![&g.expand, &g.depthwise, &g.project];
    all.extend(g.squeeze.iter().map(Vec::as_slice));
    for norm in &g.norms {
        all.extend(norm.iter().map(Vec::as_slice));
    }
    all
}

#[test]
fn training_agrees_with_the_naive_twin() {
    for shape in shapes() {
        let case = Case::new(shape);
        let (pass, dx, gradients) = case.twin();
        on_every_path(|path| {
            let name = |what: &str| format!("{path} {shape:?} {what}");
            let (y, saved) = forward_new(&shape, &case.x, &case.skip, &case.weights());
            assert_within(1e-5, &name("y"), &y, pass.y.clone());
            for (found, (mean, variance)) in saved.statistics().iter().zip(&pass.statistics) {
                assert_within(1e-5, &name("mean"), &found.mean, mean.clone());
                assert_within(1e-5, &name("variance"), &found.variance, variance.clone());
            }
            let found = backward_new(
                &shape,
                &case.x,
                &case.weights(),
                &saved,
                &case.dy,
                [None; 2],
            );
            assert_within(2e-5, &name("dx"), &found.x, dx.clone());
            let expected = wide_parameters(&gradients);
            // The gradient of the first beta is zero: a normalisation follows.
            let size = dx.iter().fold(0.0_f64, |m, d| m.max(d.abs()));
            for (i, ((what, found), expected)) in
                parameters(&found).into_iter().zip(expected).enumerate()
            {
                if i == 8 {
                    let most = found.iter().fold(0.0_f32, |m, d| m.max(d.abs()));
                    let few = 1e-4 * size * (shape.batch * shape.height * shape.width) as f64;
                    assert!(f64::from(most) < few, "{}: {most}", name(what));
                } else {
                    assert_within(2e-5, &name(what), found, expected.iter().copied());
                }
            }
            // Others are added.
            let others = [Some(&case.x[..]), None];
            let weights = case.weights();
            let sum = backward_new(&shape, &case.x, &weights, &saved, &case.dy, others);
            let added = found.x.iter().zip(&case.x).map(|(a, b)| a + b);
            assert!(
                bits(&sum.x) == bits(&added.collect::<Vec<f32>>()),
                "{}",
                name("others")
            );
        });
    }
}

/// The twin's own gradients against finite differences of its output.
#[test]
fn the_twin_has_the_right_gradients() {
    const STEP: f64 = 1e-5;
    for shape in [
        inverted((2, 2, 3), (3, 4, 4), 3, true),
        inverted((1, 3, 4), (2, 3, 2), 5, false),
    ] {
        let case = Case::new(shape);
        let (_, dx, gradients) = case.twin();
        let (mut x, skip, dy) = (wide(&case.x), wide(&case.skip), wide(&case.dy));
        let weights = case.wide_weights();
        let loss = |x: &[f64], weights: &InvertedWeights| -> f64 {
            let pass = inverted_forward(&shape, x, &skip, weights, None);
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
            near((above - loss(&x, &weights)) / (2.0 * STEP), dx[i]);
            x[i] = centre;
        }
        let expected: Vec<Vec<f64>> = wide_parameters(&gradients)
            .iter()
            .map(|g| g.to_vec())
            .collect();
        for (which, expected) in expected.iter().enumerate() {
            for (i, &expected) in expected.iter().enumerate() {
                let at = |step: f64| {
                    let mut weights = weights.clone();
                    let mut all = vec![&mut weights.expand, &mut weights.depthwise];
                    all.push(&mut weights.project);
                    all.extend(&mut weights.squeeze);
                    all.extend(weights.norms.iter_mut().flatten());
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
        let statistics = [shape.c_in, shape.expanded, shape.expanded, shape.c_out].map(|n| {
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
        let pass = inverted_forward(&shape, &x, &skip, &case.wide_weights(), Some(&given));
        on_every_path(|path| {
            let name = |what: &str| format!("{path} {shape:?} {what}");
            let compute = |shape: &Inverted, x: &[f32], skip: &[f32]| {
                evaluate(shape, x, skip, &case.weights(), &statistics)
            };
            let y = with_threads(2, || compute(&shape, &case.x, &case.skip));
            assert_within(1e-5, &name("y"), &y, pass.y.clone());
            let one = Inverted { batch: 1, ..shape };
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
    let shape = inverted((3, 12, 12), (40, 240, 24), 5, false);
    let case = Case::new(shape);
    on_every_path(|path| {
        let compute = || {
            let (y, saved) = forward_new(&shape, &case.x, &case.skip, &case.weights());
            let weights = case.weights();
            let g = backward_new(&shape, &case.x, &weights, &saved, &case.dy, [None; 2]);
            let statistics = saved.statistics().clone();
            let z = evaluate(&shape, &case.x, &case.skip, &weights, &statistics);
            let mut all = vec![bits(&y), bits(&z), bits(&g.x)];
            all.extend(parameters(&g).into_iter().map(|(_, g)| bits(g)));
            all
        };
        let one = with_threads(1, compute);
        for threads in [2, 3, 7] {
            assert!(with_threads(threads, compute) == one, "{path} {threads}");
        }
    });
}
