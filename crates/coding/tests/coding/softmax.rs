//! Levels of a softmax: inverses at any logits, and the rate against the exact likelihood.

use crate::common::{Random, state};
use proptest::prelude::*;
use vdvae_coding::{Coder, CodingError, pop_softmax, push_softmax};

fn logit(random: &mut Random) -> f32 {
    const ODD: [f32; 5] = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
    ];
    match random.below(20) {
        0 => ODD[random.below(5) as usize],
        1..3 => random.within(-1e6, 1e6) as f32,
        _ => random.within(-20.0, 20.0) as f32,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn push_then_pop_restores_levels_and_coder(count in 2_usize..=256, seed in any::<u64>()) {
        let mut random = Random(seed);
        let logits: Vec<f32> = (0..5 * count).map(|_| logit(&mut random)).collect();
        let levels: Vec<u8> = (0..5).map(|_| random.below(count as u32) as u8).collect();
        let mut coder = Coder::seeded();
        coder.push_bits(9, 9).unwrap();
        let before = state(&coder);
        push_softmax(&mut coder, count, &logits, &levels).unwrap();
        let mut again = vec![0; levels.len()];
        pop_softmax(&mut coder, count, &logits, &mut again).unwrap();
        prop_assert_eq!(again, levels);
        prop_assert_eq!(state(&coder), before);
    }

    #[test]
    fn pop_then_push_restores_the_coder(count in 2_usize..=256, seed in any::<u64>()) {
        let mut random = Random(seed);
        let logits: Vec<f32> = (0..5 * count).map(|_| logit(&mut random)).collect();
        let mut coder = Coder::seeded();
        for _ in 0..20 {
            coder.push_bits(random.below(1 << 16), 16).unwrap();
        }
        let before = state(&coder);
        let mut levels = [0; 5];
        pop_softmax(&mut coder, count, &logits, &mut levels).unwrap();
        push_softmax(&mut coder, count, &logits, &levels).unwrap();
        let mut after = state(&coder);
        let taken = after.seed_words as usize;
        after.words.drain(..taken);
        after.seed_words = 0;
        prop_assert_eq!(after, before);
    }
}

#[test]
fn code_length_is_the_exact_likelihood() {
    for count in [2, 3, 16, 256] {
        let mut random = Random(5);
        let mut coder = Coder::seeded();
        let mut exact = 0.0;
        for _ in 0..5000 {
            let logits = random.floats(count, -3.0, 3.0);
            let level = random.below(count as u32) as u8;
            let total: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
            exact += (total.ln() - f64::from(logits[usize::from(level)])) / std::f64::consts::LN_2;
            push_softmax(&mut coder, count, &logits, &[level]).unwrap();
        }
        let got = coder.net_bits();
        assert!(
            (got - exact).abs() < 2e-4 * exact,
            "{count}: {got} for {exact}"
        );
    }
}

/// The costliest level has 1 of 2^28, the surest all that the others leave.
#[test]
fn improbable_levels_have_a_code() {
    let mut logits = vec![-1e30; 256];
    logits[200] = f32::INFINITY;
    let bits = |level: u8| {
        let mut coder = Coder::seeded();
        let before = coder.net_bits();
        push_softmax(&mut coder, 256, &logits, &[level]).unwrap();
        coder.net_bits() - before
    };
    assert!((bits(0) - 28.0).abs() < 1e-6 && (bits(255) - 28.0).abs() < 1e-6);
    assert!(bits(200) < 2e-6, "{}", bits(200));
}

#[test]
fn impossible_input_is_an_error() {
    let mut coder = Coder::seeded();
    for count in [0, 1, 257] {
        let found = push_softmax(&mut coder, count, &vec![0.0; count], &[0]);
        assert!(matches!(found, Err(CodingError::Setting { .. })), "{count}");
    }
    let large = push_softmax(&mut coder, 4, &[0.0; 4], &[4]);
    assert!(matches!(
        large,
        Err(CodingError::Symbol {
            found: 4,
            limit: 4,
            ..
        })
    ));
    let short = pop_softmax(&mut coder, 4, &[0.0; 7], &mut [0, 0]);
    assert!(matches!(short, Err(CodingError::Length { .. })));
    let mut empty = Coder::from_stream(Coder::seeded().into_stream()).unwrap();
    let ended = pop_softmax(&mut empty, 256, &[0.0; 2560], &mut [0; 10]);
    assert_eq!(ended, Err(CodingError::Exhausted));
}
