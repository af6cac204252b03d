//! The discretized mixture of logistics against its naive twin, branch by branch; gradients
//! against finite differences of the twin.

mod common;

use common::{bits, numbers, on_every_path, poisoned, with_threads};
use vdvae_kernels::elementwise::dmol::{DmolShape, UPPER_EDGE, nll, nll_with_gradient, sample};
use vdvae_kernels::elementwise::naive;

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&n| f64::from(n)).collect()
}

fn shape(batch: usize, pixels: usize, mixtures: usize, colours: usize, bits: u32) -> DmolShape {
    DmolShape {
        batch,
        pixels,
        mixtures,
        colours,
        bits,
        upper_edge: UPPER_EDGE,
    }
}

const SHAPES: [(usize, usize, usize, usize, u32); 8] = [
    (1, 1, 1, 1, 8),
    (2, 9, 10, 3, 8),
    (3, 7, 3, 3, 5),
    (1, 17, 2, 3, 8),
    (2, 15, 5, 1, 5),
    (1, 16, 17, 3, 8),
    (1, 65, 10, 1, 8),
    (2, 130, 4, 3, 5),
];

/// Parameters that reach every branch: log scales from below the clamp to wide, means in and
/// out of range.
fn parameters(shape: &DmolShape, seed: u32) -> Vec<f32> {
    let k = shape.mixtures;
    let p = shape.parameters();
    let mut logits = numbers(shape.batch * shape.pixels * p, seed, 1.5);
    for (i, value) in logits.iter_mut().enumerate() {
        let kind = (i % p / k).checked_sub(1);
        let is_scale = kind.is_some_and(|kind| kind % if shape.colours == 1 { 2 } else { 3 } == 1);
        if is_scale {
            *value = *value * 4.0 - 3.0;
        }
    }
    logits
}

/// Pixel values on the grid of the bits, the first and the last often.
fn targets(shape: &DmolShape, seed: u32) -> Vec<f32> {
    let levels = ((1 << shape.bits) - 1) as f32;
    let value = |u: f32| ((u.clamp(-1.0, 1.0) + 1.0) / 2.0 * levels).round() / levels * 2.0 - 1.0;
    let count = shape.batch * shape.pixels * shape.colours;
    numbers(count, seed, 1.3).into_iter().map(value).collect()
}

/// The twin of each pixel.
fn naive_pixels(shape: &DmolShape, logits: &[f32], target: &[f32]) -> Vec<f64> {
    let pixels = logits
        .chunks(shape.parameters())
        .zip(target.chunks(shape.colours));
    pixels
        .map(|(l, x)| naive::dmol_pixel(shape, &wide(l), &wide(x)))
        .collect()
}

fn assert_near(what: &str, found: f32, expected: f64, tolerance: f64) {
    let error = (f64::from(found) - expected).abs();
    assert!(
        error <= tolerance,
        "{what}: {found}, expected {expected}, error {error:e}"
    );
}

#[test]
fn likelihoods_match_the_published_formula() {
    on_every_path(|path| {
        for (batch, pixels, mixtures, colours, bits_) in SHAPES {
            let shape = shape(batch, pixels, mixtures, colours, bits_);
            let (logits, target) = (parameters(&shape, 1), targets(&shape, 2));
            let mut found = poisoned(batch);
            nll(&shape, &logits, &target, &mut found);
            let expected = naive_pixels(&shape, &logits, &target);
            for (&f, image) in found.iter().zip(expected.chunks(pixels)) {
                let size: f64 = image.iter().map(|n| n.abs()).sum();
                assert_near(
                    &format!("{path} {shape:?}"),
                    f,
                    image.iter().sum(),
                    2e-6 * size,
                );
            }
        }
    });
}

#[test]
fn gradients_match_finite_differences() {
    const STEP: f64 = 1e-6;
    on_every_path(|path| {
        for (batch, pixels, mixtures, colours, bits_) in SHAPES {
            let shape = shape(batch, pixels, mixtures, colours, bits_);
            let p = shape.parameters();
            let (logits, target) = (parameters(&shape, 3), targets(&shape, 4));
            let (mut found, mut gradient) = (poisoned(batch), poisoned(logits.len()));
            nll_with_gradient(&shape, &logits, &target, &mut found, &mut gradient);
            let mut alone = poisoned(batch);
            nll(&shape, &logits, &target, &mut alone);
            assert_eq!(bits(&found), bits(&alone), "{path} {shape:?}");
            for (pixel, x) in target.chunks(colours).enumerate().take(20) {
                let x = wide(x);
                let mut l = wide(&logits[pixel * p..][..p]);
                for i in 0..p {
                    let centre = l[i];
                    l[i] = centre + STEP;
                    let above = naive::dmol_pixel(&shape, &l, &x);
                    l[i] = centre - STEP;
                    let slope = (above - naive::dmol_pixel(&shape, &l, &x)) / (2.0 * STEP);
                    l[i] = centre;
                    let what = format!("{path} {shape:?} pixel {pixel} parameter {i}");
                    let found = gradient[pixel * p + i];
                    // Log scales of -7 multiply the rounding of the shifted means by 1096.
                    assert_near(&what, found, slope, 2e-4 * (1.0 + slope.abs()));
                }
            }
        }
    });
}

/// One grayscale component: value, mean, log scale, and which branch they are in.
const BRANCHES: [(f32, f32, f32, &str); 9] = [
    (-1.0, 0.2, -2.0, "first bin"),
    (-1.0, 40.0, -6.0, "first bin, far away"),
    (1.0, 0.2, -2.0, "last bin"),
    (1.0, -40.0, -6.0, "last bin, far away"),
    (0.1, 0.12, -3.0, "mass"),
    (0.1, 0.1, -7.5, "mass, below the clamp"),
    (0.1, 0.3, -5.0, "density"),
    (0.1, 30.0, -9.0, "density, far away, below the clamp"),
    (0.1, -0.5, 8.0, "density, very wide"),
];

#[test]
fn every_branch_has_its_own_gradient() {
    on_every_path(|path| {
        for (x, mean, log_scale, branch) in BRANCHES {
            let shape = shape(1, 1, 1, 1, 8);
            let logits = [0.3, mean, log_scale];
            let (mut found, mut gradient) = ([f32::NAN], [f32::NAN; 3]);
            nll_with_gradient(&shape, &logits, &[x], &mut found, &mut gradient);
            let at = |mean: f64, log_scale: f64| {
                naive::dmol_pixel(&shape, &[0.3, mean, log_scale], &[f64::from(x)])
            };
            let (m, s) = (f64::from(mean), f64::from(log_scale));
            let what = |part: &str| format!("{path} {branch}: {part}");
            let size = 1.0 + at(m, s).abs();
            assert_near(&what("nll"), found[0], at(m, s), 2e-6 * size);
            let slope = (at(m + 1e-6, s) - at(m - 1e-6, s)) / 2e-6;
            assert_near(
                &what("mean"),
                gradient[1],
                slope,
                2e-5 * (1.0 + slope.abs()),
            );
            let slope = (at(m, s + 1e-6) - at(m, s - 1e-6)) / 2e-6;
            assert_near(
                &what("scale"),
                gradient[2],
                slope,
                2e-5 * (1.0 + slope.abs()),
            );
            assert!(
                gradient[0].abs() < 1e-6,
                "{}",
                what("a single component has no choice")
            );
            let clamped = log_scale < -7.0;
            assert_eq!(gradient[2] == 0.0, clamped, "{}", what("clamp"));
        }
    });
}

#[test]
fn extreme_parameters_stay_finite_and_nan_is_not_hidden() {
    on_every_path(|path| {
        let shape = shape(1, 1, 2, 3, 8);
        let target = [-1.0, 0.5, 1.0];
        for extreme in [1e4, -1e4, 90.0, -90.0, 1e-30] {
            let (mut found, mut gradient) = ([f32::NAN], [f32::NAN; 20]);
            nll_with_gradient(&shape, &[extreme; 20], &target, &mut found, &mut gradient);
            assert!(found[0].is_finite(), "{path} {extreme}: {found:?}");
            assert!(
                gradient.iter().all(|g| g.is_finite()),
                "{path} {extreme}: {gradient:?}"
            );
        }
        for i in 0..20 {
            let mut logits = [0.1; 20];
            logits[i] = f32::NAN;
            // The last coefficients shift blue by green; all parameters matter for this target.
            let mut found = [0.0];
            nll(&shape, &logits, &target, &mut found);
            assert!(found[0].is_nan(), "{path} parameter {i}: {found:?}");
        }
    });
}

#[test]
fn samples_match_the_naive_twin() {
    on_every_path(|path| {
        for (batch, pixels, mixtures, colours, bits_) in SHAPES {
            let shape = shape(batch, pixels, mixtures, colours, bits_);
            let n = batch * pixels;
            let logits = parameters(&shape, 5);
            let uniform = |count, seed| -> Vec<f32> {
                let u = numbers(count, seed, 0.5).into_iter();
                u.map(|u| (u + 0.5).clamp(1e-5, 1.0 - 1e-5)).collect()
            };
            let (u_mixture, u_logistic) = (uniform(n * mixtures, 6), uniform(n * colours, 7));
            let mut out = poisoned(n * colours);
            sample(&shape, &logits, &u_mixture, &u_logistic, &mut out);
            for i in 0..n {
                let expected = naive::sample_pixel(
                    &shape,
                    &wide(&logits[i * shape.parameters()..][..shape.parameters()]),
                    &wide(&u_mixture[i * mixtures..][..mixtures]),
                    &wide(&u_logistic[i * colours..][..colours]),
                );
                for (&f, e) in out[i * colours..].iter().zip(expected) {
                    assert_near(&format!("{path} {shape:?} pixel {i}"), f, e, 3e-6);
                }
            }
        }
    });
}

#[test]
fn neither_threads_nor_batch_change_a_bit() {
    on_every_path(|path| {
        let run = |batch: usize, threads: usize| {
            with_threads(threads, || {
                let all = shape(3, 300, 10, 3, 8);
                let shape = DmolShape { batch, ..all };
                let logits = &parameters(&all, 8)[..batch * 300 * 100];
                let target = &targets(&all, 9)[..batch * 300 * 3];
                let u: Vec<f32> = numbers(3 * 300 * 10, 10, 0.49)
                    .iter()
                    .map(|u| u + 0.5)
                    .collect();
                let (mut nll, mut gradient) = (poisoned(batch), poisoned(logits.len()));
                nll_with_gradient(&shape, logits, target, &mut nll, &mut gradient);
                let mut drawn = poisoned(batch * 900);
                sample(
                    &shape,
                    logits,
                    &u[..batch * 3000],
                    &u[..batch * 900],
                    &mut drawn,
                );
                [bits(&nll), bits(&gradient), bits(&drawn)]
            })
        };
        let expected = run(3, 1);
        assert_eq!(run(3, 2), expected, "{path}");
        assert_eq!(run(3, 3), expected, "{path}");
        for (one, three) in run(1, 2).iter().zip(&expected) {
            assert_eq!(one, &three[..one.len()], "{path}");
        }
    });
}
