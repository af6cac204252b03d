//! Pixels and bits: inverses at any parameters, and the rate against the exact likelihood.

use crate::common::{Random, state};
use proptest::prelude::*;
use vdvae_coding::{Coder, CodingError, PixelCodec, PixelShape, pop_bernoulli, push_bernoulli};

fn shapes() -> impl Strategy<Value = PixelShape> {
    let (mixtures, colours, bits) = (
        1_usize..=4,
        prop::sample::select(vec![1_usize, 3]),
        prop::sample::select(vec![5_u32, 8]),
    );
    (mixtures, colours, bits).prop_map(|(mixtures, colours, bits)| PixelShape {
        mixtures,
        colours,
        bits,
    })
}

fn parameter(random: &mut Random) -> f32 {
    match random.below(20) {
        0 => [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
        ][random.below(5) as usize],
        1..3 => random.within(-1e6, 1e6) as f32,
        3..8 => random.within(-30.0, 30.0) as f32,
        _ => random.within(-2.0, 2.0) as f32,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn push_then_pop_restores_pixels_and_coder(shape in shapes(), seed in any::<u64>()) {
        let mut random = Random(seed);
        let pixels = 6;
        let parameters: Vec<f32> = (0..pixels * shape.parameters()).map(|_| parameter(&mut random)).collect();
        let levels: Vec<u8> = (0..pixels * shape.colours).map(|_| random.below(shape.levels()) as u8).collect();
        let valid: Vec<bool> = (0..pixels).map(|_| random.below(4) > 0).collect();
        let mut codec = PixelCodec::new(shape).unwrap();
        let mut coder = Coder::seeded();
        coder.push_bits(9, 9).unwrap();
        let before = state(&coder);
        codec.push(&mut coder, &parameters, &levels, Some(&valid)).unwrap();
        let mut again = vec![255; levels.len()];
        codec.pop(&mut coder, &parameters, &mut again, Some(&valid)).unwrap();
        prop_assert_eq!(state(&coder), before);
        for (pixel, valid) in valid.iter().enumerate() {
            let at = pixel * shape.colours..(pixel + 1) * shape.colours;
            if *valid {
                prop_assert_eq!(&again[at.clone()], &levels[at]);
            } else {
                prop_assert!(again[at].iter().all(|&level| level == 255));
            }
        }
    }

    #[test]
    fn pop_then_push_restores_the_coder(shape in shapes(), seed in any::<u64>()) {
        let mut random = Random(seed);
        let parameters: Vec<f32> = (0..5 * shape.parameters()).map(|_| parameter(&mut random)).collect();
        let mut codec = PixelCodec::new(shape).unwrap();
        let mut coder = Coder::seeded();
        for _ in 0..40 {
            coder.push_bits(random.below(1 << 16), 16).unwrap();
        }
        let before = state(&coder);
        let mut levels = vec![0; 5 * shape.colours];
        codec.pop(&mut coder, &parameters, &mut levels, None).unwrap();
        codec.push(&mut coder, &parameters, &levels, None).unwrap();
        let mut after = state(&coder);
        let taken = after.seed_words as usize;
        after.words.drain(..taken);
        after.seed_words = 0;
        prop_assert_eq!(after, before);
    }

    #[test]
    fn bits_come_back(logits in prop::collection::vec(prop_oneof![-40.0_f32..40.0, Just(f32::NAN), Just(f32::INFINITY)], 0..50), seed in any::<u64>()) {
        let mut random = Random(seed);
        let bits: Vec<bool> = logits.iter().map(|_| random.below(2) == 1).collect();
        let mut coder = Coder::seeded();
        let before = state(&coder);
        push_bernoulli(&mut coder, &logits, &bits).unwrap();
        let mut again = vec![false; bits.len()];
        pop_bernoulli(&mut coder, &logits, &mut again).unwrap();
        prop_assert_eq!(again, bits);
        prop_assert_eq!(state(&coder), before);
    }
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Bits of one pixel under the joint likelihood, written as in the paper: the sum over
/// components of weight times the product over colours.
fn exact_bits(shape: &PixelShape, parameters: &[f32], levels: &[u8]) -> f64 {
    let k = shape.mixtures;
    let p = |block: usize, i: usize| f64::from(parameters[block * k + i]);
    let kinds = if shape.colours == 1 { 2 } else { 3 };
    let step = f64::from(1 << (8 - shape.bits));
    let x: Vec<f64> = levels
        .iter()
        .map(|&v| (f64::from(v) * step - 127.5) / 127.5)
        .collect();
    let norm: f64 = (0..k).map(|i| p(0, i).exp()).sum();
    let mut total = 0.0;
    for i in 0..k {
        let mut joint = p(0, i).exp() / norm;
        for colour in 0..shape.colours {
            let mut mean = p(1 + kinds * colour, i);
            if colour == 1 {
                mean += p(3, i).tanh() * x[0];
            } else if colour == 2 {
                mean += p(6, i).tanh() * x[0] + p(9, i).tanh() * x[1];
            }
            let scale = p(2 + kinds * colour, i).max(-7.0).exp();
            let half = step / 255.0;
            let last = u32::from(levels[colour]) + 1 == shape.levels();
            let upper = if last {
                1.0
            } else {
                logistic((x[colour] + half - mean) / scale)
            };
            let lower = if levels[colour] == 0 {
                0.0
            } else {
                logistic((x[colour] - half - mean) / scale)
            };
            joint *= upper - lower;
        }
        total += joint;
    }
    -total.log2()
}

/// A pixel drawn from what the parameters predict: random bits, decoded.
fn likely_levels(shape: &PixelShape, parameters: &[f32], random: &mut Random) -> Vec<u8> {
    let mut codec = PixelCodec::new(*shape).unwrap();
    let mut coder = Coder::seeded();
    for _ in 0..8 {
        coder.push_bits(random.below(1 << 16), 16).unwrap();
    }
    let mut levels = vec![0; shape.colours];
    codec
        .pop(&mut coder, parameters, &mut levels, None)
        .unwrap();
    levels
}

#[test]
fn code_length_is_the_exact_likelihood() {
    for (mixtures, colours, bits) in [(10, 3, 8), (1, 3, 8), (10, 1, 8), (2, 3, 5), (3, 1, 5)] {
        let shape = PixelShape {
            mixtures,
            colours,
            bits,
        };
        let mut codec = PixelCodec::new(shape).unwrap();
        let mut random = Random(3);
        let mut coder = Coder::seeded();
        let (mut exact, pixels) = (0.0, 5000);
        for _ in 0..pixels {
            let k = mixtures;
            let mut parameters = random.floats(shape.parameters(), -1.0, 1.0);
            let kinds = if colours == 1 { 2 } else { 3 };
            for colour in 0..colours {
                let at = (2 + kinds * colour) * k;
                parameters[at..at + k].copy_from_slice(&random.floats(k, -4.5, -1.0));
            }
            let levels = likely_levels(&shape, &parameters, &mut random);
            exact += exact_bits(&shape, &parameters, &levels);
            codec.push(&mut coder, &parameters, &levels, None).unwrap();
        }
        let got = coder.net_bits();
        assert!(
            (got - exact).abs() < 1e-3 * exact,
            "{shape:?}: {got} for {exact}"
        );
    }
}

#[test]
fn the_first_colour_alone_costs_its_marginal() {
    let shape = PixelShape {
        mixtures: 5,
        colours: 3,
        bits: 8,
    };
    let mut codec = PixelCodec::first_colour(shape).unwrap();
    let mut random = Random(4);
    let (mut exact, mut coder, mut all) = (0.0, Coder::seeded(), Vec::new());
    for _ in 0..2000 {
        let mut parameters = random.floats(shape.parameters(), -1.0, 1.0);
        parameters[10..15].copy_from_slice(&random.floats(5, -4.5, -1.0));
        let level = likely_levels(&shape, &parameters, &mut random)[0];
        // Logits, means and log scales of red are a grayscale model.
        let gray = PixelShape {
            colours: 1,
            ..shape
        };
        exact += exact_bits(&gray, &parameters[..15], &[level]);
        codec.push(&mut coder, &parameters, &[level], None).unwrap();
        all.push((parameters, level));
    }
    let got = coder.net_bits();
    assert!((got - exact).abs() < 1e-3 * exact, "{got} for {exact}");
    for (parameters, level) in all.iter().rev() {
        let mut found = [0];
        codec.pop(&mut coder, parameters, &mut found, None).unwrap();
        assert_eq!(found[0], *level);
    }
    coder.verify_drained().unwrap();
}

#[test]
fn impossible_input_is_an_error() {
    let shape = |mixtures, colours, bits| PixelShape {
        mixtures,
        colours,
        bits,
    };
    for wrong in [shape(0, 3, 8), shape(1, 2, 8), shape(1, 3, 4)] {
        assert!(matches!(
            PixelCodec::new(wrong),
            Err(CodingError::Setting { .. })
        ));
    }
    let mut codec = PixelCodec::new(shape(1, 1, 5)).unwrap();
    let mut coder = Coder::seeded();
    let large = codec.push(&mut coder, &[0.0; 3], &[32], None);
    assert!(matches!(
        large,
        Err(CodingError::Symbol {
            found: 32,
            limit: 32,
            ..
        })
    ));
    let short = codec.push(&mut coder, &[0.0; 4], &[1], None);
    assert!(matches!(short, Err(CodingError::Length { .. })));
    let mask = codec.push(&mut coder, &[0.0; 3], &[1], Some(&[]));
    assert!(matches!(mask, Err(CodingError::Length { .. })));
    assert!(coder.push_bits(4, 2).is_err() && coder.push_bits(0, 17).is_err());
    assert!(coder.pop_bits(0).is_err());
}
