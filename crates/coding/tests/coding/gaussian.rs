//! Latents: inverses at any parameters, and the rate against the exact divergence.

use crate::common::{Random, state};
use proptest::prelude::*;
use vdvae_coding::{Coder, CodingError, LatentCodec, Normals};

const NASTY: [f32; 12] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    0.0,
    -0.0,
    -30.0,
    30.0,
    1e6,
    -1e6,
];

fn parameter() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -30.0_f32..30.0,
        2 => -2.0_f32..2.0,
        1 => -1e6_f32..1e6,
        1 => prop::sample::select(NASTY.to_vec()),
    ]
}

/// Prior mean and log sigma, posterior mean and log sigma.
fn parameters(len: usize) -> impl Strategy<Value = [Vec<f32>; 4]> {
    let one = move || prop::collection::vec(parameter(), len);
    [one(), one(), one(), one()]
}

fn normals([mean, log_sigma]: &[Vec<f32>; 2]) -> Normals<'_> {
    Normals { mean, log_sigma }
}

fn split([pm, pv, qm, qv]: [Vec<f32>; 4]) -> ([Vec<f32>; 2], [Vec<f32>; 2]) {
    ([pm, pv], [qm, qv])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn posterior_pop_then_push_restores_the_coder(all in parameters(12), bits in 4_u32..=14) {
        let (prior, posterior) = split(all);
        let (prior, posterior) = (normals(&prior), normals(&posterior));
        let codec: LatentCodec = LatentCodec::new(bits).unwrap();
        let mut coder = Coder::seeded();
        coder.push_bits(5, 7).unwrap();
        let before = state(&coder);
        let mut cells = [0; 12];
        codec.pop_posterior(&mut coder, prior, posterior, &mut cells).unwrap();
        let after = state(&coder);
        let mut values = [f32::NAN; 12];
        codec.values(prior, &cells, &mut values).unwrap();
        prop_assert!(values.iter().all(|z| z.is_finite()));

        // What was taken from the seed lies on the stack afterwards, as the state does.
        codec.push_posterior(&mut coder, prior, posterior, &cells).unwrap();
        let mut expected = before;
        let given_back = after.seed_words as usize;
        let restored = state(&coder);
        prop_assert_eq!(restored.words.len(), expected.words.len() + given_back);
        expected.words = restored.words[..given_back].iter().chain(&expected.words).copied().collect();
        expected.seed_words = after.seed_words;
        prop_assert_eq!(&restored, &expected);

        // And the same cells come again.
        let mut again = [0; 12];
        codec.pop_posterior(&mut coder, prior, posterior, &mut again).unwrap();
        prop_assert_eq!(again, cells);
        prop_assert_eq!(state(&coder), after);
    }

    #[test]
    fn prior_push_then_pop_restores_the_coder(seed in any::<u64>(), bits in 4_u32..=14) {
        let codec: LatentCodec = LatentCodec::new(bits).unwrap();
        let mut random = Random(seed);
        let cells: Vec<u32> = (0..100).map(|_| random.below(codec.cells())).collect();
        let mut coder = Coder::seeded();
        coder.push_bits(77, 8).unwrap();
        let before = state(&coder);
        codec.push_prior(&mut coder, &cells).unwrap();
        let mut again = vec![0; 100];
        codec.pop_prior(&mut coder, &mut again).unwrap();
        prop_assert_eq!(again, cells);
        prop_assert_eq!(state(&coder), before);
    }
}

#[test]
fn ten_thousand_symbols_and_two_thousand_rounds_lose_no_state() {
    let codec: LatentCodec = LatentCodec::new(14).unwrap();
    let mut random = Random(1);
    let len = 10_000;
    let prior = [random.floats(len, -3.0, 3.0), random.floats(len, -2.0, 1.0)];
    let posterior = [random.floats(len, -3.0, 3.0), random.floats(len, -5.0, 1.0)];
    let mut coder = Coder::seeded();
    let mut kept = Vec::new();
    for _ in 0..20 {
        let mut cells = vec![0; len];
        codec
            .pop_posterior(&mut coder, normals(&prior), normals(&posterior), &mut cells)
            .unwrap();
        codec.push_prior(&mut coder, &cells).unwrap();
        kept.push(cells);
    }
    // A long chain of small layers.
    let small =
        |parameters: &[Vec<f32>; 2]| [parameters[0][..9].to_vec(), parameters[1][..9].to_vec()];
    let (small_prior, small_posterior) = (small(&prior), small(&posterior));
    let mut chain = Vec::new();
    for _ in 0..2000 {
        let mut cells = [0; 9];
        codec
            .pop_posterior(
                &mut coder,
                normals(&small_prior),
                normals(&small_posterior),
                &mut cells,
            )
            .unwrap();
        codec.push_prior(&mut coder, &cells).unwrap();
        chain.push(cells);
    }
    let mut coder = Coder::from_stream(coder.into_stream()).unwrap();
    for expected in chain.iter().rev() {
        let mut cells = [0; 9];
        codec.pop_prior(&mut coder, &mut cells).unwrap();
        assert_eq!(&cells, expected);
        codec
            .push_posterior(
                &mut coder,
                normals(&small_prior),
                normals(&small_posterior),
                &cells,
            )
            .unwrap();
    }
    for expected in kept.iter().rev() {
        let mut cells = vec![0; len];
        codec.pop_prior(&mut coder, &mut cells).unwrap();
        assert_eq!(&cells, expected);
        codec
            .push_posterior(&mut coder, normals(&prior), normals(&posterior), &cells)
            .unwrap();
    }
    coder.verify_drained().unwrap();
}

fn normal(random: &mut Random) -> f64 {
    let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.unit()).cos()
}

/// Bits that a round of posterior and prior costs, less the divergence of the two, per latent;
/// and the root mean square of (value - posterior mean) / posterior sigma.
fn overhead(codec: &LatentCodec, scale: f64, distance: f64) -> (f64, f64) {
    let len = 200_000;
    let mut random = Random(2);
    let prior = [random.floats(len, -1.0, 1.0), random.floats(len, -1.0, 1.0)];
    let mut posterior = [vec![0.0; len], vec![0.0; len]];
    let mut ideal = 0.0;
    for i in 0..len {
        let (pm, pv) = (f64::from(prior[0][i]), f64::from(prior[1][i]));
        let (qm, qv) = (
            pm + distance * normal(&mut random) * pv.exp(),
            pv + scale.ln(),
        );
        (posterior[0][i], posterior[1][i]) = (qm as f32, qv as f32);
        let away = (qm - pm) / pv.exp();
        ideal += (-0.5 + pv - qv + 0.5 * (scale * scale + away * away)) / std::f64::consts::LN_2;
    }
    let mut coder = Coder::seeded();
    let mut cells = vec![0; len];
    codec
        .pop_posterior(&mut coder, normals(&prior), normals(&posterior), &mut cells)
        .unwrap();
    codec.push_prior(&mut coder, &cells).unwrap();
    let mut values = vec![0.0; len];
    codec.values(normals(&prior), &cells, &mut values).unwrap();
    let mut square = 0.0;
    for i in 0..len {
        let error = f64::from(values[i] - posterior[0][i]) / f64::from(posterior[1][i]).exp();
        square += error * error;
    }
    let rate = (coder.net_bits() - ideal) / len as f64;
    (rate, (square / len as f64).sqrt())
}

#[test]
fn a_round_costs_the_divergence_and_the_values_have_the_posterior() {
    let codec: LatentCodec = LatentCodec::new(14).unwrap();
    for (scale, distance) in [(1.0, 0.0), (0.9, 0.1), (0.3, 1.0), (0.1, 1.0), (0.01, 1.5)] {
        let (rate, spread) = overhead(&codec, scale, distance);
        // The draws themselves scatter around the divergence by about 1 / sqrt(len).
        assert!(rate.abs() < 0.01, "{scale} {distance}: {rate}");
        assert!((spread - 1.0).abs() < 0.01, "{scale} {distance}: {spread}");
    }
}

#[test]
fn impossible_input_is_an_error() {
    let codec: LatentCodec = LatentCodec::new(10).unwrap();
    let mut coder = Coder::seeded();
    let two = [0.0; 2];
    let prior = Normals {
        mean: &two,
        log_sigma: &two,
    };
    let one = Normals {
        mean: &two[..1],
        log_sigma: &two[..1],
    };
    let narrow = Normals {
        mean: &two,
        log_sigma: &[-20.0, -20.0],
    };
    assert!(matches!(
        codec.push_prior(&mut coder, &[1024]),
        Err(CodingError::Symbol { .. })
    ));
    let short = codec.push_posterior(&mut coder, prior, one, &[1, 2]);
    assert!(matches!(short, Err(CodingError::Length { .. })));
    let never = codec.push_posterior(&mut coder, prior, narrow, &[1, 2]);
    assert!(matches!(never, Err(CodingError::Impossible(_))));
    let missing = codec.values(prior, &[1024, 0], &mut [0.0; 2]);
    assert!(matches!(missing, Err(CodingError::Symbol { .. })));
    assert!(LatentCodec::<28>::new(3).is_err() && LatentCodec::<28>::new(25).is_err());
    assert!(LatentCodec::<14>::new(13).is_err() && LatentCodec::<32>::new(10).is_err());
    let mut drained = Coder::from_stream(Coder::seeded().into_stream()).unwrap();
    let exhausted = codec.pop_prior(&mut drained, &mut [0; 9]);
    assert_eq!(exhausted, Err(CodingError::Exhausted));
}
