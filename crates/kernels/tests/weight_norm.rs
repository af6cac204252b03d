//! Weight normalisation and power iteration against plain loops in f64.

mod common;

use common::{assert_close, assert_within, bits, numbers, on_every_path, with_threads};
use vdvae_kernels::weight_norm::{
    Direction, Gain, Normed, NormedGradient, Spectral, add_spectral_gradient, backward_new,
    forward_new, power_iteration,
};

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&n| f64::from(n)).collect()
}

struct Weight {
    v: Vec<f32>,
    g: Vec<f32>,
    gain: Gain,
    mask: Option<Vec<f32>>,
    dw: Vec<f32>,
    spectral: Spectral,
}

impl Weight {
    fn new(rows: usize, outputs: usize, masked: bool, seed: u32) -> Self {
        let mask = numbers(rows * outputs, seed + 1, 1.0);
        let mask = mask.iter().map(|&m| f32::from(u8::from(m > 0.0)));
        Self {
            v: numbers(rows * outputs, seed, 1.0),
            g: numbers(outputs, seed + 2, 1.0),
            gain: Gain::LogNorm,
            mask: masked.then(|| mask.collect()),
            dw: numbers(rows * outputs, seed + 3, 1.0),
            spectral: Spectral {
                u: numbers(outputs, seed + 4, 1.0),
                v: numbers(rows, seed + 5, 1.0),
                norm: 0.0,
            },
        }
    }

    fn with_gain(self, gain: Gain) -> Self {
        Self { gain, ..self }
    }

    fn direction(&self) -> Direction<'_> {
        Direction {
            v: &self.v,
            g: &self.g,
            gain: self.gain,
            mask: self.mask.as_deref(),
        }
    }

    fn masked(&self, v: &[f64]) -> Vec<f64> {
        let mask = |i: usize| self.mask.as_ref().map_or(1.0, |mask| f64::from(mask[i]));
        v.iter().enumerate().map(|(i, v)| v * mask(i)).collect()
    }

    fn norms(&self, v: &[f64]) -> Vec<f64> {
        let n = self.g.len();
        let mut squares = vec![0.0; n];
        for (i, v) in self.masked(v).iter().enumerate() {
            squares[i % n] += v * v;
        }
        squares.iter().map(|s: &f64| s.sqrt()).collect()
    }

    fn normed(&self, v: &[f64], g: &[f64]) -> Vec<f64> {
        let n = g.len();
        let norms = self.norms(v);
        let factor = |i: usize| match self.gain {
            Gain::Norm => g[i] / norms[i],
            Gain::LogNorm => g[i].exp() / (norms[i] + 1e-5),
        };
        let one = |(i, v): (usize, &f64)| factor(i % n) * v;
        self.masked(v).iter().enumerate().map(one).collect()
    }

    /// What the gradient is taken of.
    fn loss(&self, v: &[f64], g: &[f64], factor: f64) -> f64 {
        let n = g.len();
        let penalty = |i: usize| f64::from(self.spectral.u[i % n] * self.spectral.v[i / n]);
        let w = self.normed(v, g);
        let one = |(i, w): (usize, &f64)| w * (f64::from(self.dw[i]) + factor * penalty(i));
        w.iter().enumerate().map(one).sum()
    }
}

fn weights() -> Vec<Weight> {
    vec![
        Weight::new(1, 1, false, 1),
        Weight::new(9 * 5, 7, true, 11),
        Weight::new(25, 33, true, 21),
        Weight::new(130, 64, false, 31),
        Weight::new(70, 17, false, 41),
        Weight::new(6 * 20, 37, false, 51).with_gain(Gain::Norm),
        Weight::new(40, 5, true, 61).with_gain(Gain::Norm),
    ]
}

fn compute(all: &[Weight], factor: f32) -> (Vec<Normed>, Vec<[Vec<f32>; 2]>) {
    let directions: Vec<_> = all.iter().map(Weight::direction).collect();
    let normed = forward_new(&directions);
    let slopes = all.iter().enumerate().map(|(i, weight)| NormedGradient {
        dw: &weight.dw,
        spectral: (i % 2 == 0).then_some((&weight.spectral, factor)),
    });
    let slopes: Vec<_> = slopes.collect();
    let gradients = backward_new(&directions, &normed, &slopes);
    (normed, gradients.into_iter().map(|d| [d.v, d.g]).collect())
}

#[test]
fn weights_are_normalised() {
    let mut all = weights();
    // An output that is masked away completely, and one that is zero.
    let zero = |weight: &mut Weight| {
        let n = weight.g.len();
        weight.v.iter_mut().step_by(n).for_each(|v| *v = 0.0);
    };
    zero(&mut all[1]);
    on_every_path(|path| {
        let (normed, gradients) = compute(&all, 0.3);
        for (i, weight) in all.iter().enumerate() {
            let name = |what| format!("{path} {i} {what}");
            let (v, g) = (wide(&weight.v), wide(&weight.g));
            assert_close(&name("w"), &normed[i].w, weight.normed(&v, &g));
            assert_close(&name("norms"), &normed[i].norms, weight.norms(&v));
            assert!(gradients[i].iter().flatten().all(|d| d.is_finite()));
        }
    });
}

#[test]
fn gradients_agree_with_finite_differences() {
    const STEP: f64 = 1e-5;
    let all = weights();
    let slope = |weight: &Weight, i: usize, of_g: bool, factor: f64| {
        let at = |step: f64| {
            let (mut v, mut g) = (wide(&weight.v), wide(&weight.g));
            let changed = if of_g { &mut g } else { &mut v };
            changed[i] += step;
            weight.loss(&v, &g, factor)
        };
        (at(STEP) - at(-STEP)) / (2.0 * STEP)
    };
    let expected: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(i, weight)| {
            let factor = if i % 2 == 0 { f64::from(0.3_f32) } else { 0.0 };
            let dv = (0..weight.v.len()).map(|i| slope(weight, i, false, factor));
            let dg = (0..weight.g.len()).map(|i| slope(weight, i, true, factor));
            [dv.collect::<Vec<_>>(), dg.collect()]
        })
        .collect();
    on_every_path(|path| {
        let (_, gradients) = compute(&all, 0.3);
        // The first is a single number, whose direction cannot change: 1e-5 of it is all there is.
        for i in 1..all.len() {
            for part in 0..2 {
                let name = format!("{path} {i} {part}");
                let expected = expected[i][part].iter().copied();
                assert_within(1e-5, &name, &gradients[i][part], expected);
            }
        }
    });
}

/// The iteration as it is written.
fn iterate(w: &[f64], u: &mut Vec<f64>, steps: usize) -> (Vec<f64>, f64) {
    let n = u.len();
    let normalise = |x: &mut Vec<f64>| {
        let length = x
            .iter()
            .map(|x| x * x)
            .sum::<f64>()
            .sqrt()
            .max(f64::from(1e-3_f32));
        x.iter_mut().for_each(|x| *x /= length);
    };
    let mut v = vec![0.0; w.len() / n];
    for _ in 0..steps {
        v.fill(0.0);
        w.iter()
            .enumerate()
            .for_each(|(i, w)| v[i / n] += w * u[i % n]);
        normalise(&mut v);
        u.fill(0.0);
        w.iter()
            .enumerate()
            .for_each(|(i, w)| u[i % n] += w * v[i / n]);
        normalise(u);
    }
    let norm = w.iter().enumerate().map(|(i, w)| u[i % n] * w * v[i / n]);
    let norm = norm.sum();
    (v, norm)
}

#[test]
fn power_iterations_agree_with_plain_loops() {
    let mut all = weights();
    // So small that vectors are not of length 1.
    all[3].v.iter_mut().for_each(|v| *v *= 1e-4);
    on_every_path(|path| {
        for steps in [1, 4] {
            let matrices: Vec<&[f32]> = all.iter().map(|w| &w.v[..]).collect();
            let compute = || {
                let mut vectors: Vec<_> = all.iter().map(|w| w.spectral.clone()).collect();
                power_iteration(&matrices, &mut vectors, steps);
                vectors
            };
            let vectors = with_threads(1, compute);
            assert!(with_threads(3, compute) == vectors, "{path} threads");
            for (i, (weight, found)) in all.iter().zip(vectors).enumerate() {
                let name = |what| format!("{path} {i} {steps} {what}");
                let mut u = wide(&weight.spectral.u);
                let (v, norm) = iterate(&wide(&weight.v), &mut u, steps);
                assert_within(1e-5, &name("u"), &found.u, u);
                assert_within(1e-5, &name("v"), &found.v, v);
                assert_within(1e-5, &name("norm"), &[found.norm], [norm]);
                let mut gradient = weight.dw.clone();
                add_spectral_gradient(&mut gradient, &found, 0.5);
                let n = found.u.len();
                let expected = (0..gradient.len()).map(|i| {
                    f64::from(weight.dw[i])
                        + 0.5 * f64::from(found.u[i % n]) * f64::from(found.v[i / n])
                });
                assert_close(&name("gradient"), &gradient, expected);
            }
        }
    });
}

#[test]
fn threads_change_no_bit() {
    let all = vec![
        Weight::new(9 * 64, 200, true, 1),
        Weight::new(300, 130, false, 2),
    ];
    on_every_path(|path| {
        let compute = || {
            let (normed, gradients) = compute(&all, 0.1);
            let normed = normed.iter().flat_map(|n| [bits(&n.w), bits(&n.norms)]);
            let gradients = gradients.iter().flatten().map(|g| bits(g));
            normed.chain(gradients).collect::<Vec<_>>()
        };
        let one = with_threads(1, compute);
        for threads in [2, 5] {
            assert!(with_threads(threads, compute) == one, "{path} {threads}");
        }
    });
}
