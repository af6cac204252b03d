//! Pairs of bfloat16 on every instruction set, number by number.

mod common;

use common::{numbers, on_every_path};
use vdvae_kernels::detect::{Kernel, dispatch};
use vdvae_kernels::naive::round_to_bf16;
use vdvae_kernels::simd::Simd;

/// Two vectors of numbers.
type Two = [[f32; 16]; 2];

/// Rounds in pairs, and widens again: neighbours, and lanes of two vectors.
struct Round(Two);

/// What [`Round`] makes of its numbers, each in the place that it came from.
struct Rounded {
    neighbours: Vec<f32>,
    joined: Vec<f32>,
    zipped: Vec<f32>,
    lanes: usize,
}

impl Kernel for Round {
    type Output = Rounded;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Rounded {
        let [a, b] = [s.load(&self.0[0]), s.load(&self.0[1])];
        let neighbours = s.round_pairs(a, b);
        let zeros = s.splat(0.0);
        let [low, high] = s.zip_pairs(neighbours, s.round_pairs(zeros, zeros));
        let [low, _] = [s.widen_pairs(low), s.widen_pairs(high)];
        Rounded {
            neighbours: stored(s, s.widen_pairs(neighbours)),
            joined: stored(s, s.widen_pairs(s.join_pairs(a, b))),
            zipped: stored(s, low),
            lanes: S::LANES,
        }
    }
}

#[inline(always)]
fn stored<S: Simd>(s: S, vectors: [S::F; 2]) -> Vec<f32> {
    let mut lanes = [0.0; 32];
    s.store(&mut lanes[..S::LANES], vectors[0]);
    s.store(&mut lanes[S::LANES..], vectors[1]);
    lanes[..2 * S::LANES].to_vec()
}

/// Numbers near and at ties, of all sizes that are not denormal, and what is no number.
fn cases() -> Vec<f32> {
    let mut cases = vec![
        0.0,
        -0.0,
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ];
    cases.extend([
        f32::NAN,
        f32::from_bits(0x7f80_0001),
        f32::from_bits(0xffff_ffff),
    ]);
    for high in [0x3f80_u32, 0x3f81, 0xbf80, 0x0080, 0x7f7e, 0x7f7f, 0xc2ff] {
        let low = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
        cases.extend(low.map(|low| f32::from_bits(high << 16 | low)));
    }
    cases.extend(numbers(300, 5, 1e3));
    cases
}

#[test]
fn numbers_are_rounded_to_nearest() {
    let cases = cases();
    on_every_path(|path| {
        for from in cases.windows(32) {
            let two: Two = [
                from[..16].try_into().unwrap(),
                from[16..].try_into().unwrap(),
            ];
            let found = dispatch(Round(two));
            let n = found.lanes;
            let expect = |what: &str, found: f32, x: f32| {
                let expected = round_to_bf16(x);
                let equal = found.to_bits() == expected.to_bits();
                let both_nan = found.is_nan() && expected.is_nan();
                assert!(equal || both_nan, "{path} {what}: {x} became {found}");
            };
            for (i, (&a, &b)) in two[0].iter().zip(&two[1]).enumerate().take(n) {
                expect("neighbours", found.neighbours[i], a);
                expect("neighbours", found.neighbours[n + i], b);
                expect("joined", found.joined[2 * i], a);
                expect("joined", found.joined[2 * i + 1], b);
                expect("zipped", found.zipped[2 * i], a);
                assert_eq!(found.zipped[2 * i + 1], 0.0, "{path}");
            }
        }
    });
}

#[test]
fn rounding_is_what_it_says() {
    // Between 1 and 2 the distance of neighbours is 1/128.
    let part = |of_256: f32| 1.0 + of_256 / 256.0;
    for (x, expected) in [
        (1.0, 1.0),
        (part(1.0), 1.0),
        (part(1.001), part(2.0)),
        (part(3.0), part(4.0)),
        (part(2.999), part(2.0)),
        (-part(1.0), -1.0),
        (f32::MAX, f32::INFINITY),
        (f32::from_bits(0x7f7f_0000), f32::from_bits(0x7f7f_0000)),
    ] {
        assert_eq!(round_to_bf16(x), expected, "{x}");
    }
    assert!(round_to_bf16(f32::NAN).is_nan());
}

/// `sum + a * b` of pairs.
struct Dot {
    a: Two,
    b: Two,
    sum: [f32; 16],
}

impl Kernel for Dot {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let a = s.join_pairs(s.load(&self.a[0]), s.load(&self.a[1]));
        let b = s.join_pairs(s.load(&self.b[0]), s.load(&self.b[1]));
        let mut result = [0.0; 16];
        s.store(&mut result, s.dot_pairs(a, b, s.load(&self.sum)));
        result[..S::LANES].to_vec()
    }
}

#[test]
fn dot_products_are_of_both_numbers() {
    let vector = |seed| <[f32; 16]>::try_from(numbers(16, seed, 2.0)).unwrap();
    on_every_path(|path| {
        for seed in 0..50 {
            let (a, b) = (
                [vector(seed), vector(seed + 100)],
                [vector(seed + 200), vector(seed + 300)],
            );
            let sum = vector(seed + 400);
            for (i, found) in dispatch(Dot { a, b, sum }).into_iter().enumerate() {
                let term = |k: usize| {
                    f64::from(round_to_bf16(a[k][i])) * f64::from(round_to_bf16(b[k][i]))
                };
                let expected = f64::from(sum[i]) + term(0) + term(1);
                let error = (f64::from(found) - expected).abs();
                assert!(error < 2e-6, "{path}: {found}, expected {expected}");
            }
        }
    });
}
