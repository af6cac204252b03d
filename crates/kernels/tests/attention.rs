//! Attention against plain loops in f64.

mod common;

use common::{assert_within, bits, numbers, on_every_path, poisoned, with_threads};
use proptest::prelude::*;
use vdvae_kernels::attention::{Attention, Statistics, backward_new, forward_new, step};
use vdvae_kernels::naive_attention as naive;

/// Sizes, what queries see, and numbers for all of them.
struct Case {
    batch: usize,
    keys: usize,
    heads: usize,
    key_size: usize,
    value_size: usize,
    seen: Vec<usize>,
    epsilon: f32,
    inputs: [Vec<f32>; 3],
    dout: Vec<f32>,
}

impl Case {
    fn new(
        [batch, keys, heads, key_size, value_size]: [usize; 5],
        seen: Vec<usize>,
        epsilon: f32,
    ) -> Self {
        let queries = seen.len();
        let keyed = |pixels: usize, seed| numbers(batch * pixels * heads * key_size, seed, 2.0);
        let valued = |pixels: usize, seed| numbers(batch * pixels * heads * value_size, seed, 1.0);
        Self {
            batch,
            keys,
            heads,
            key_size,
            value_size,
            epsilon,
            inputs: [keyed(queries, 1), keyed(keys, 2), valued(keys, 3)],
            dout: valued(queries, 4),
            seen,
        }
    }

    fn attention(&self) -> Attention<'_> {
        Attention {
            batch: self.batch,
            keys: self.keys,
            heads: self.heads,
            key_size: self.key_size,
            value_size: self.value_size,
            seen: &self.seen,
            scale: 1.0 / (self.key_size as f32).sqrt(),
            epsilon: self.epsilon,
        }
    }

    fn forward(&self) -> (Vec<f32>, Statistics) {
        let [q, k, v] = &self.inputs;
        forward_new(&self.attention(), q, k, v)
    }

    fn backward(&self, (out, statistics): &(Vec<f32>, Statistics)) -> [Vec<f32>; 3] {
        let inputs = self.inputs.each_ref().map(Vec::as_slice);
        backward_new(&self.attention(), inputs, (out, statistics), &self.dout)
    }

    fn check(&self, path: &str) {
        let inputs = self.inputs.each_ref().map(Vec::as_slice);
        let attention = self.attention();
        let forward = self.forward();
        let name = |what| {
            let [b, m, h, d, e] = [
                self.batch,
                self.keys,
                self.heads,
                self.key_size,
                self.value_size,
            ];
            let n = self.seen.len();
            format!("{path} {b} {n} x {m}, {h} heads of {d} and {e}: {what}")
        };
        let expected = naive::forward(&attention, inputs);
        assert_within(2e-6, &name("result"), &forward.0, expected);
        let found = self.backward(&forward);
        let expected = naive::backward(&attention, inputs, &self.dout);
        // Gradients of queries and keys are differences of numbers as large as these, which leave nothing but rounding
        // where a query sees one key alone.
        let largest = |x: &[f32]| x.iter().fold(0.0_f64, |m, &x| m.max(f64::from(x.abs())));
        let terms = largest(&self.dout) * largest(inputs[2]);
        for (what, (found, expected)) in ["queries", "keys", "values"]
            .into_iter()
            .zip(found.iter().zip(expected))
        {
            let size = expected.iter().fold(0.0_f64, |m, e| m.max(e.abs()));
            assert_eq!(found.len(), expected.len(), "{}: length", name(what));
            for (i, (&f, e)) in found.iter().zip(expected).enumerate() {
                let error = (f64::from(f) - e).abs();
                let allowed = 1e-5 * size + 1e-6 * terms;
                assert!(
                    error <= allowed,
                    "{}: number {i} is {f}, expected {e}",
                    name(what)
                );
            }
        }
    }
}

/// What each of `n` pixels sees that sees all before it.
fn causal(n: usize) -> Vec<usize> {
    (0..n).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn attention_agrees_with_plain_loops(
        [batch, heads] in [1_usize..3, 1_usize..4],
        [key_size, value_size] in [1_usize..40, 1_usize..40],
        keys in 0_usize..230,
        shares in prop::collection::vec(0_usize..=8, 1..130),
        epsilon: bool,
    ) {
        // Any prefix, in any order, with some that see nothing and some that see all.
        let seen = shares.iter().enumerate();
        let seen = seen.map(|(i, share)| (keys * share / 8).min(keys).saturating_sub(i % 3));
        let epsilon = if epsilon { 0.1 } else { 0.0 };
        let case = Case::new([batch, keys, heads, key_size, value_size], seen.collect(), epsilon);
        on_every_path(|path| case.check(path));
    }
}

#[test]
fn every_pixel_sees_those_before_it() {
    for (sizes, n) in [
        ([2, 150, 1, 16, 128], 150),
        ([1, 700, 2, 5, 3], 700),
        ([1, 96, 3, 64, 64], 96),
        ([1, 1, 1, 1, 1], 1),
    ] {
        let case = Case::new(sizes, causal(n), 1e-6);
        on_every_path(|path| {
            case.check(path);
            let first = case.forward().0;
            let row = case.heads * case.value_size;
            assert!(first[..row].iter().all(|&x| x == 0.0), "{path}: pixel 0");
        });
    }
}

#[test]
fn what_is_not_seen_does_not_count() {
    let mut case = Case::new([1, 200, 2, 16, 33], causal(200), 1e-6);
    on_every_path(|path| {
        let before = case.forward().0;
        for first in [0, 1, 95, 97, 150] {
            let [_, k, v] = &mut case.inputs;
            let (old_k, old_v) = (k.clone(), v.clone());
            k[first * 32..].fill(f32::NAN);
            v[first * 66..].fill(f32::NAN);
            let after = case.forward().0;
            let known = (first + 1) * 66;
            assert_eq!(
                bits(&after[..known]),
                bits(&before[..known]),
                "{path} {first}"
            );
            assert!(after[known..].iter().all(|x| x.is_nan()), "{path} {first}");
            case.inputs[1] = old_k;
            case.inputs[2] = old_v;
        }
    });
}

#[test]
fn large_products_do_not_overflow() {
    let mut case = Case::new([1, 130, 1, 4, 3], causal(130), 0.0);
    let [q, k, _] = &mut case.inputs;
    q.iter_mut().chain(k).for_each(|x| *x *= 30.0);
    on_every_path(|path| {
        let inputs = case.inputs.each_ref().map(Vec::as_slice);
        let expected = naive::forward(&case.attention(), inputs);
        // Products of thousands are exact to 1e-4, and so are their exponentials relatively.
        assert_within(1e-3, path, &case.forward().0, expected);
    });
}

#[test]
fn neither_threads_nor_the_batch_change_a_bit() {
    let both = Case::new([2, 650, 2, 16, 24], causal(650), 1e-6);
    on_every_path(|path| {
        let results = |case: &Case| {
            let forward = case.forward();
            let gradients = case.backward(&forward);
            let [dq, dk, dv] = gradients;
            [forward.0, dq, dk, dv]
        };
        let one = with_threads(1, || results(&both));
        for threads in [2, 5] {
            let shared = with_threads(threads, || results(&both));
            for (a, b) in one.iter().zip(&shared) {
                assert_eq!(bits(a), bits(b), "{path} {threads} threads");
            }
        }
        // The second image alone.
        let second = |numbers: &[f32]| numbers[numbers.len() / 2..].to_vec();
        let alone = Case {
            batch: 1,
            seen: both.seen.clone(),
            inputs: both.inputs.each_ref().map(|x| second(x)),
            dout: second(&both.dout),
            ..both
        };
        for (a, b) in results(&alone).iter().zip(&one) {
            assert_eq!(bits(a), bits(&second(b)), "{path} alone");
        }
    });
}

#[test]
fn steps_are_the_whole() {
    for sizes in [[3, 230, 1, 16, 128], [2, 120, 3, 5, 7]] {
        let [batch, n, heads, key_size, value_size] = sizes;
        let case = Case::new(sizes, causal(n), 1e-6);
        let (key_row, value_row) = (heads * key_size, heads * value_size);
        on_every_path(|path| {
            let whole = case.forward().0;
            let [q, k, v] = &case.inputs;
            let mut caches = vec![Vec::new(); batch];
            for i in 0..n {
                let rows: Vec<&[f32]> = caches.iter().map(Vec::as_slice).collect();
                let query = |image: usize| &q[(image * n + i) * key_row..][..key_row];
                let queries: Vec<f32> = (0..batch).flat_map(query).copied().collect();
                let mut out = poisoned(batch * value_row);
                step(&case.attention(), &queries, &rows, &mut out);
                for (image, out) in out.chunks(value_row).enumerate() {
                    let expected = &whole[(image * n + i) * value_row..][..value_row];
                    assert_eq!(bits(out), bits(expected), "{path} {sizes:?} pixel {i}");
                }
                for (image, cache) in caches.iter_mut().enumerate() {
                    cache.extend_from_slice(&k[(image * n + i) * key_row..][..key_row]);
                    cache.extend_from_slice(&v[(image * n + i) * value_row..][..value_row]);
                }
            }
        });
    }
}

#[test]
#[should_panic(expected = "a query sees 4 keys, there are 3")]
fn keys_that_are_not_there_are_refused() {
    Case::new([1, 3, 1, 2, 2], vec![4], 0.0).forward();
}
