//! The gelu and its slope against f64.

mod common;

use common::on_every_path;
use vdvae_kernels::detect::{Kernel, dispatch};
use vdvae_kernels::gelu::{gelu, slope};
use vdvae_kernels::naive;
use vdvae_kernels::simd::Simd;

/// gelu and slope of each number.
struct Both<'a>(&'a [f32]);

impl Kernel for Both<'_> {
    type Output = Vec<(f32, f32)>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let mut results = Vec::new();
        for x in self.0.chunks(S::LANES) {
            let (mut g, mut d) = ([0.0; 16], [0.0; 16]);
            let v = s.load_partial(x);
            s.store(&mut g, gelu(s, v));
            s.store(&mut d, slope(s, v));
            results.extend(g.into_iter().zip(d).take(x.len()));
        }
        results
    }
}

#[test]
fn gelu_and_slope_are_exact_to_single_precision() {
    let x: Vec<f32> = (-12_000..=12_000).map(|i| i as f32 * 1e-3).collect();
    on_every_path(|path| {
        for (&x, (g, d)) in x.iter().zip(dispatch(Both(&x))) {
            let wide = f64::from(x);
            let error = (f64::from(g) - naive::gelu(wide)).abs();
            assert!(
                error <= 2e-7 * wide.abs().max(1.0),
                "{path}: gelu({x}) = {g}"
            );
            let error = (f64::from(d) - naive::slope(wide)).abs();
            assert!(error <= 3e-7, "{path}: gelu'({x}) = {d}");
        }
    });
}

#[test]
fn naive_twin_agrees_with_known_values() {
    // Phi(1) and Phi(-4) from tables of the normal distribution.
    assert!((naive::phi_cumulative(1.0) - 0.841_344_746_068_543).abs() < 1e-14);
    assert!((naive::phi_cumulative(-4.0) - 3.167_124_183_311_986e-5).abs() < 1e-17);
    let step = 1e-5;
    for x in [-3.5, -1.0, 0.0, 0.3, 2.9] {
        let numeric = (naive::gelu(x + step) - naive::gelu(x - step)) / (2.0 * step);
        assert!((naive::slope(x) - numeric).abs() < 1e-9);
    }
}

#[test]
fn extremes_behave() {
    on_every_path(|path| {
        let results = dispatch(Both(&[f32::NAN, f32::INFINITY, 0.0, 1e30, -1e4]));
        assert!(results[0].0.is_nan() && results[0].1.is_nan(), "{path}");
        assert!(
            results[1].0 == f32::INFINITY && (results[1].1 - 1.0).abs() <= 3e-7,
            "{path}"
        );
        assert!(results[2].0.abs() <= 1e-9 && results[2].1 == 0.5, "{path}");
        assert!((results[3].0 / 1e30 - 1.0).abs() <= 3e-7, "{path}");
        assert!(
            results[4].0.abs() <= 2e-3 && results[4].1.abs() <= 3e-7,
            "{path}"
        );
    });
}
