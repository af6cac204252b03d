//! Products with weights that stay, against plain loops in f64.

mod common;

use common::{assert_close, bits, numbers, on_every_path, poisoned, with_threads};
use proptest::prelude::*;
use vdvae_kernels::Precision;
use vdvae_kernels::kept::{Weights, product, product_of_segments};
use vdvae_kernels::naive::round_to_bf16;

/// Rows of inputs, weights `[k, n]` and a bias.
struct Case {
    m: usize,
    k: usize,
    n: usize,
    x: Vec<f32>,
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
    precision: Precision,
}

impl Case {
    fn new([m, k, n]: [usize; 3], with_bias: bool, precision: Precision) -> Self {
        Self {
            m,
            k,
            n,
            x: numbers(m * k, 1, 1.0),
            weights: numbers(k * n, 2, 1.0),
            bias: with_bias.then(|| numbers(n, 3, 1.0)),
            precision,
        }
    }

    fn weights(&self) -> Weights {
        Weights::new(&self.weights, self.k, self.n, self.precision)
    }

    /// The outputs of some of the rows.
    fn rows(&self, weights: &Weights, rows: std::ops::Range<usize>) -> Vec<f32> {
        let mut y = poisoned(rows.len() * self.n);
        let x = &self.x[rows.start * self.k..rows.end * self.k];
        product(weights, x, self.bias.as_deref(), &mut y);
        y
    }

    fn expected(&self) -> Vec<f64> {
        let output = |(row, column): (usize, usize)| {
            let bias = self.bias.as_ref().map_or(0.0, |bias| bias[column]);
            let term = |k: usize| {
                let weight = self.weights[k * self.n + column];
                let weight = match self.precision {
                    Precision::Fp32 => weight,
                    Precision::Bf16 => round_to_bf16(weight),
                };
                f64::from(self.x[row * self.k + k]) * f64::from(weight)
            };
            f64::from(bias) + (0..self.k).map(term).sum::<f64>()
        };
        let places = (0..self.m).flat_map(|row| (0..self.n).map(move |column| (row, column)));
        places.map(output).collect()
    }

    fn name(&self, path: &str) -> String {
        format!(
            "{path} {} {} {} {:?}",
            self.m, self.k, self.n, self.precision
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn products_agree_with_plain_loops(
        m in 1_usize..70,
        k in 0_usize..300,
        n in 1_usize..140,
        with_bias: bool,
        half: bool,
    ) {
        let precision = if half { Precision::Bf16 } else { Precision::Fp32 };
        let case = Case::new([m, k, n], with_bias, precision);
        let expected = case.expected();
        on_every_path(|path| {
            let found = case.rows(&case.weights(), 0..m);
            assert_close(&case.name(path), &found, expected.iter().copied());
        });
    }

    #[test]
    fn pieces_of_rows_are_rows(
        m in 1_usize..20,
        lengths in prop::collection::vec(0_usize..200, 1..5),
        n in 1_usize..100,
    ) {
        let k = lengths.iter().sum();
        let case = Case::new([m, k, n], true, Precision::Fp32);
        let mut segments = Vec::new();
        for row in 0..m {
            let mut rest = &case.x[row * k..][..k];
            for &length in &lengths {
                let (segment, others) = rest.split_at(length);
                segments.push(segment);
                rest = others;
            }
        }
        on_every_path(|path| {
            let weights = case.weights();
            let mut found = poisoned(m * n);
            let bias = case.bias.as_deref();
            product_of_segments(&weights, &segments, lengths.len(), bias, &mut found);
            let whole = case.rows(&weights, 0..m);
            assert_eq!(bits(&found), bits(&whole), "{}", case.name(path));
        });
    }
}

#[test]
fn neither_the_other_rows_nor_threads_change_a_bit() {
    for (shape, precision) in [
        ([130, 300, 100], Precision::Fp32),
        ([61, 1000, 17], Precision::Bf16),
        ([7, 640, 160], Precision::Bf16),
        ([23, 500, 5], Precision::Fp32),
    ] {
        let case = Case::new(shape, true, precision);
        on_every_path(|path| {
            let weights = case.weights();
            let all = with_threads(1, || case.rows(&weights, 0..case.m));
            for threads in [2, 5] {
                let shared = with_threads(threads, || case.rows(&weights, 0..case.m));
                assert_eq!(bits(&shared), bits(&all), "{} threads", case.name(path));
            }
            for (row, expected) in all.chunks(case.n).enumerate() {
                let alone = case.rows(&weights, row..row + 1);
                assert_eq!(bits(&alone), bits(expected), "{} alone", case.name(path));
                // Among as many others as fit a tile or not.
                let end = case.m.min(row + 1 + row % 17);
                let some = case.rows(&weights, row..end);
                assert_eq!(bits(&some[..case.n]), bits(expected), "{}", case.name(path));
            }
        });
    }
}

#[test]
fn weights_are_rounded_to_nearest() {
    let mut weights = numbers(4000, 5, 3.0);
    // Ties to both sides, the largest numbers, denormal ones, and none.
    let tie = |upper: u32| f32::from_bits(upper << 16 | 0x8000);
    weights.extend([tie(0x3f80), tie(0x3f81), f32::MAX, -f32::MAX, 1e-40, -2e-41]);
    weights.extend([f32::NAN, f32::INFINITY, 0.0]);
    let n = weights.len();
    on_every_path(|path| {
        let kept = Weights::new(&weights, 1, n, Precision::Bf16);
        let mut found = poisoned(n);
        product(&kept, &[1.0], None, &mut found);
        for (&weight, found) in weights.iter().zip(found) {
            let expected = round_to_bf16(weight);
            let same = found == expected || found.is_nan() && expected.is_nan();
            assert!(same, "{path}: {weight} is {found}, expected {expected}");
        }
    });
}

#[test]
#[should_panic(expected = "expected 5 inputs")]
fn rows_of_another_length_are_refused() {
    let weights = Weights::new(&[0.0; 15], 5, 3, Precision::Fp32);
    product(&weights, &[0.0; 9], None, &mut [0.0; 6]);
}
