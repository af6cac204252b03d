//! The elementary functions against the standard library's in double precision.

mod common;

use common::on_every_path;
use vdvae_kernels::detect::{Kernel, dispatch};
use vdvae_kernels::math;
use vdvae_kernels::simd::Simd;

#[derive(Clone, Copy, Debug)]
enum Function {
    Exp,
    OneMinusExpNeg,
    Ln,
    Ln1pUnit,
    Softplus,
    Sigmoid,
    Tanh,
}
use Function::*;

/// Applies a function to every number.
struct Map<'a>(Function, &'a mut [f32]);

impl Kernel for Map<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for chunk in self.1.chunks_mut(S::LANES) {
            let x = s.load_partial(chunk);
            let y = match self.0 {
                Exp => math::exp(s, x),
                OneMinusExpNeg => math::one_minus_exp_neg(s, x),
                Ln => math::ln(s, x),
                Ln1pUnit => math::ln_1p_unit(s, x),
                Softplus => math::softplus(s, x),
                Sigmoid => math::sigmoid(s, x),
                Tanh => math::tanh(s, x),
            };
            s.store_partial(chunk, y);
        }
    }
}

fn exact(function: Function, x: f64) -> f64 {
    match function {
        Exp => x.exp(),
        OneMinusExpNeg => -(-x).exp_m1(),
        Ln => x.ln(),
        Ln1pUnit => x.ln_1p(),
        Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Tanh => x.tanh(),
    }
}

/// `count` numbers from `low` to `high`, both included.
fn grid(low: f32, high: f32, count: usize) -> Vec<f32> {
    let step = (f64::from(high) - f64::from(low)) / (count - 1) as f64;
    (0..count)
        .map(|i| (f64::from(low) + step * i as f64) as f32)
        .collect()
}

/// Numbers of all magnitudes from 2^low to 2^high.
fn magnitudes(low: i32, high: i32) -> Vec<f32> {
    let mantissas = grid(1.0, 1.999, 97);
    (low..high)
        .flat_map(|e| mantissas.iter().map(move |m| m * 2.0_f32.powi(e)))
        .collect()
}

/// Asserts a relative error below `tolerance` (below the smallest normal number, an absolute
/// one of its size).
fn check(path: &str, function: Function, inputs: &[f32], tolerance: f64) {
    let mut found = inputs.to_vec();
    dispatch(Map(function, &mut found));
    for (&x, y) in inputs.iter().zip(found) {
        let e = exact(function, f64::from(x));
        if (e as f32).is_infinite() {
            assert_eq!(y, e as f32, "{path} {function:?}({x})");
            continue;
        }
        let size = e.abs().max(f64::from(f32::MIN_POSITIVE));
        let error = (f64::from(y) - e).abs() / size;
        assert!(
            error <= tolerance,
            "{path} {function:?}({x}) = {y}, not {e}: {error:e}"
        );
    }
}

#[test]
fn functions_are_accurate_to_single_precision() {
    on_every_path(|path| {
        check(path, Exp, &grid(-104.0, 90.0, 100_003), 2.5e-7);
        check(path, Exp, &magnitudes(-149, -3), 1.2e-7);
        check(path, OneMinusExpNeg, &grid(0.0, 100.0, 100_003), 2e-7);
        check(path, OneMinusExpNeg, &magnitudes(-126, 1), 2e-7);
        check(path, Ln, &magnitudes(-149, 128), 1.5e-7);
        check(path, Ln, &grid(0.5, 2.0, 100_003), 1.5e-7);
        check(path, Ln1pUnit, &grid(0.0, 1.0, 100_003), 1.5e-7);
        check(path, Ln1pUnit, &magnitudes(-126, 0), 1.5e-7);
        check(path, Softplus, &grid(-87.0, 100.0, 100_003), 5e-7);
        check(path, Sigmoid, &grid(-87.0, 100.0, 100_003), 5e-7);
        check(path, Tanh, &grid(-12.0, 12.0, 100_003), 3e-7);
        check(path, Tanh, &magnitudes(-126, 4), 3e-7);
    });
}

#[test]
fn functions_are_right_at_the_ends() {
    let (huge, inf) = (f32::MAX, f32::INFINITY);
    let cases = [
        (
            Exp,
            [
                (-inf, 0.0),
                (-huge, 0.0),
                (inf, inf),
                (huge, inf),
                (0.0, 1.0),
            ],
        ),
        (
            Ln,
            [
                (0.0, -inf),
                (-0.0, -inf),
                (inf, inf),
                (1.0, 0.0),
                (1e-45, -103.278_93),
            ],
        ),
        (
            Softplus,
            [
                (-inf, 0.0),
                (-huge, 0.0),
                (inf, inf),
                (huge, huge),
                (-200.0, 0.0),
            ],
        ),
        (
            Sigmoid,
            [
                (-inf, 0.0),
                (-huge, 0.0),
                (inf, 1.0),
                (huge, 1.0),
                (0.0, 0.5),
            ],
        ),
        (
            Tanh,
            [
                (-inf, -1.0),
                (-huge, -1.0),
                (inf, 1.0),
                (huge, 1.0),
                (0.0, 0.0),
            ],
        ),
        (
            OneMinusExpNeg,
            [
                (0.0, 0.0),
                (50.0, 1.0),
                (inf, 1.0),
                (huge, 1.0),
                (1e-40, 1e-40),
            ],
        ),
        (
            Ln1pUnit,
            [
                (0.0, 0.0),
                (1.0, std::f32::consts::LN_2),
                (1e-40, 1e-40),
                (1e-30, 1e-30),
                (0.5, 0.405_465_1),
            ],
        ),
    ];
    on_every_path(|path| {
        for (function, points) in cases {
            for (x, y) in points {
                let mut found = [x];
                dispatch(Map(function, &mut found));
                assert_eq!(found[0], y, "{path} {function:?}({x})");
            }
            let mut found = [f32::NAN; 3];
            dispatch(Map(function, &mut found));
            assert!(found.iter().all(|y| y.is_nan()), "{path} {function:?}(NaN)");
        }
        let mut negative = [-1.0, -1e-40, -inf];
        dispatch(Map(Ln, &mut negative));
        assert!(negative.iter().all(|y| y.is_nan()), "{path} ln below zero");
    });
}
