//! Standard normal numbers: exact where words say what they must be, and normal where words are random.

mod common;

use common::{bits, on_every_path};
use vdvae_kernels::elementwise::normal::{GROUP, normal};

/// Random words, by xorshift.
fn random_words(count: usize) -> Vec<u32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    };
    (0..count).map(|_| next()).collect()
}

/// The k-th and the k + 16-th number of a group of these words, in double precision.
fn exact(words: &[u32], k: usize) -> [f64; 2] {
    let radius = (f64::from(words[k]) + 0.5) / 2.0_f64.powi(32);
    let angle = f64::from(words[k + 16] as i32) / 2.0_f64.powi(32);
    let radius = (-2.0 * radius.ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * angle).sin_cos();
    [radius * cos, radius * sin]
}

#[test]
fn what_the_words_say() {
    // The ends and the corners of the angle, then any words.
    let ends = [0, 1, u32::MAX, 1 << 31, 1 << 30, 3 << 30, 1 << 29, 5 << 29];
    let mut words: Vec<_> = (0..8 * GROUP)
        .map(|i| ends[if i % GROUP < 16 { i % 8 } else { i / GROUP }])
        .collect();
    words.extend(random_words(1000 * GROUP));
    on_every_path(|path| {
        let mut out = vec![f32::NAN; words.len()];
        normal(&words, &mut out);
        for (words, out) in words.chunks(GROUP).zip(out.chunks(GROUP)) {
            for k in 0..16 {
                for (found, expected) in [out[k], out[k + 16]].into_iter().zip(exact(words, k)) {
                    let error = (f64::from(found) - expected).abs();
                    // Next to 1 the first word has more digits than single precision; the angle's are 2^-24.
                    let most = if words[k] > 0xffff_0000 { 1e-3 } else { 1e-5 };
                    assert!(
                        error <= most,
                        "{path}: {found} for {expected}, {:x} {:x}",
                        words[k],
                        words[k + 16]
                    );
                }
            }
        }
    });
}

/// Only `portable` rounds otherwise: it never fuses a multiplication with an addition.
#[test]
fn instruction_sets_agree_to_the_bit() {
    let words = random_words(1000 * GROUP);
    let mut all = Vec::new();
    on_every_path(|path| {
        let mut out = vec![f32::NAN; words.len()];
        normal(&words, &mut out);
        all.push((path.to_owned(), out));
    });
    all.retain(|(path, _)| path != "portable");
    for pair in all.windows(2) {
        assert!(
            bits(&pair[0].1) == bits(&pair[1].1),
            "{} and {}",
            pair[0].0,
            pair[1].0
        );
    }
}

#[test]
fn a_part_of_a_group_is_the_beginning_of_a_whole_one() {
    let words = random_words(3 * GROUP);
    on_every_path(|path| {
        let mut whole = vec![f32::NAN; 3 * GROUP];
        normal(&words, &mut whole);
        for count in [0, 1, 15, 17, 31, 32, 33, 70] {
            let mut part = vec![f32::NAN; count];
            normal(&words[..count.next_multiple_of(GROUP)], &mut part);
            assert_eq!(part, whole[..count], "{path}, {count}");
        }
    });
}

/// Moments, tails and the largest distance from the normal distribution function, each within five of its
/// own standard deviations.
#[test]
fn random_words_become_normal_numbers() {
    const COUNT: usize = 1 << 20;
    let n = COUNT as f64;
    let words = random_words(COUNT);
    on_every_path(|path| {
        let mut out = vec![f32::NAN; COUNT];
        normal(&words, &mut out);
        let mean_of = |f: &dyn Fn(f64) -> f64| out.iter().map(|&x| f(x.into())).sum::<f64>() / n;
        for (what, found, expected, variance) in [
            ("mean", mean_of(&|x| x), 0.0, 1.0),
            ("variance", mean_of(&|x| x * x), 1.0, 2.0),
            ("third moment", mean_of(&|x| x.powi(3)), 0.0, 15.0),
            ("fourth moment", mean_of(&|x| x.powi(4)), 3.0, 96.0),
            (
                "beyond 3",
                mean_of(&|x| f64::from(x.abs() > 3.0)),
                2.6998e-3,
                2.69e-3,
            ),
            (
                "beyond 4",
                mean_of(&|x| f64::from(x.abs() > 4.0)),
                6.3342e-5,
                6.33e-5,
            ),
        ] {
            let error = (found - expected).abs();
            assert!(
                error <= 5.0 * (variance / n).sqrt(),
                "{path}: {what} {found}"
            );
        }
        let products: f64 = out
            .chunks(GROUP)
            .flat_map(|group| (0..16).map(|k| f64::from(group[k]) * f64::from(group[k + 16])))
            .sum();
        assert!(
            products.abs() <= 5.0 * (n / 2.0).sqrt(),
            "{path}: {products}"
        );
        out.sort_by(f32::total_cmp);
        let distance = (0..COUNT)
            .step_by(64)
            .map(|i| (i as f64 / n - distribution(out[i].into())).abs())
            .fold(0.0, f64::max);
        assert!(distance <= 2.5 / n.sqrt(), "{path}: {distance}");
    });
}

/// The standard normal distribution function, by the series of G. Marsaglia (2004).
fn distribution(x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (x, x, 1.0);
    while term.abs() > 1e-17 {
        k += 2.0;
        term *= x * x / k;
        sum += term;
    }
    0.5 + sum * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}

#[test]
#[should_panic(expected = "words: expected 64 numbers, found 33")]
fn too_few_words_are_refused() {
    normal(&random_words(33), &mut [0.0; 33]);
}
