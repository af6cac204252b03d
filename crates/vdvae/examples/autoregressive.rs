//! Proposition 1 of the paper (Child, ICLR 2021), run: a VAE of N layers whose encoder is the identity
//! and whose prior is autoregressive *is* an autoregressive model over N variables. And what layers are
//! for: where latents are conditionally independent, one layer draws them all at once.
//!
//! Images of 4x4 black and white pixels, one of four patterns with every pixel flipped now and then.
//! Of this one distribution there are three models:
//!
//! 1. autoregressive: p(x) = prod p(x_i | x_<i), 16 pixels one after the other;
//! 2. a VAE of 16 layers, z_i = x_i: the same numbers, and the same images of the same noise;
//! 3. a VAE of two layers: which pattern, then all pixels at once. The same likelihood in two steps.
//!
//! `cargo run --locked --release --example autoregressive`

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Side of the images.
const SIDE: usize = 4;
/// Pixels: the variables of the autoregressive model.
const PIXELS: usize = SIDE * SIDE;
/// Probability that a pixel differs from its pattern.
const FLIP: f64 = 0.1;
/// How often each pattern occurs.
const OCCURS: [f64; 4] = [0.4, 0.3, 0.2, 0.1];

/// Pixels, row by row, 0 or 1; or the latents of a layer.
type Values = Vec<usize>;
/// The probability of each value of a discrete variable.
type Distribution = Vec<f64>;

/// A hierarchical VAE with discrete latents. The latents of one layer are independent of each other
/// given those of the layers above.
trait Vae {
    /// Layers of latents.
    fn depth(&self) -> usize;
    /// p(z_l | z_<l) of each latent of the next layer l; `above` are the latents of the layers before it.
    fn prior(&self, above: &[Values]) -> Vec<Distribution>;
    /// q(z_l | z_<l, x).
    fn posterior(&self, above: &[Values], x: &[usize]) -> Vec<Distribution>;
    /// The image that all latents together are: p(x | z) is 1 for it and 0 for every other.
    fn decode(&self, latents: &[Values]) -> Values;
}

/// p(pixel i is 1 | pattern): rows, columns, a checkerboard, a frame.
fn pixel_given(pattern: usize, i: usize) -> f64 {
    let (y, x) = (i / SIDE, i % SIDE);
    let edge = |at: usize| at == 0 || at == SIDE - 1;
    let on = match pattern {
        0 => y.is_multiple_of(2),
        1 => x.is_multiple_of(2),
        2 => (x + y).is_multiple_of(2),
        _ => edge(x) || edge(y),
    };
    if on { 1.0 - FLIP } else { FLIP }
}

fn black_or_white(one: f64) -> Distribution {
    vec![1.0 - one, one]
}

/// p(pattern | the first pixels), by Bayes' rule.
fn pattern_given(pixels: &[usize]) -> Distribution {
    let joint = OCCURS.iter().enumerate().map(|(pattern, occurs)| {
        let pixels = pixels.iter().enumerate();
        let likelihood = pixels.map(|(i, &x)| black_or_white(pixel_given(pattern, i))[x]);
        occurs * likelihood.product::<f64>()
    });
    let joint: Vec<f64> = joint.collect();
    let total: f64 = joint.iter().sum();
    joint.into_iter().map(|p| p / total).collect()
}

/// The autoregressive model: p(x_i | x_<i), with `before` all pixels up to i.
fn next_pixel(before: &[usize]) -> Distribution {
    let i = before.len();
    let patterns = pattern_given(before).into_iter().enumerate();
    black_or_white(patterns.map(|(k, p)| p * pixel_given(k, i)).sum())
}

/// ln p(x) of the autoregressive model, exactly: the chain rule.
fn log_likelihood(x: &[usize]) -> f64 {
    (0..PIXELS).map(|i| next_pixel(&x[..i])[x[i]].ln()).sum()
}

/// The value that a number in [0, 1) selects.
fn pick(distribution: &[f64], noise: f64) -> usize {
    let mut below = 0.0;
    let found = distribution.iter().position(|p| {
        below += p;
        noise < below
    });
    found.unwrap_or(distribution.len() - 1)
}

/// An image of the autoregressive model, a number of `noise` per pixel; and the sequential steps it took.
fn sample_autoregressively(noise: &[f64]) -> (Values, usize) {
    let (mut x, mut steps) = (Values::new(), 0);
    for &noise in noise {
        x.push(pick(&next_pixel(&x), noise));
        steps += 1;
    }
    (x, steps)
}

/// Proposition 1: one layer per pixel, the encoder the identity, the prior autoregressive.
struct IdentityEncoder;

impl Vae for IdentityEncoder {
    fn depth(&self) -> usize {
        PIXELS
    }

    fn prior(&self, above: &[Values]) -> Vec<Distribution> {
        vec![next_pixel(&above.concat())]
    }

    fn posterior(&self, above: &[Values], x: &[usize]) -> Vec<Distribution> {
        vec![certainly(x[above.len()])]
    }

    fn decode(&self, latents: &[Values]) -> Values {
        latents.concat()
    }
}

/// First which pattern, then all pixels, which are independent given the pattern.
struct TwoLayers;

impl Vae for TwoLayers {
    fn depth(&self) -> usize {
        2
    }

    fn prior(&self, above: &[Values]) -> Vec<Distribution> {
        match above {
            [pattern, ..] => (0..PIXELS)
                .map(|i| black_or_white(pixel_given(pattern[0], i)))
                .collect(),
            [] => vec![OCCURS.to_vec()],
        }
    }

    fn posterior(&self, above: &[Values], x: &[usize]) -> Vec<Distribution> {
        match above {
            [_, ..] => x.iter().map(|&x| certainly(x)).collect(),
            [] => vec![pattern_given(x)],
        }
    }

    fn decode(&self, latents: &[Values]) -> Values {
        latents[1].clone()
    }
}

/// All probability on one of two values.
fn certainly(value: usize) -> Distribution {
    black_or_white(value as f64)
}

/// The evidence lower bound, exactly, in nats: the expectation over q of ln p(x | z) minus the KL
/// divergence of each layer, with `above` the latents so far.
fn elbo(vae: &impl Vae, x: &[usize], above: &mut Vec<Values>) -> f64 {
    if above.len() == vae.depth() {
        let decoded = vae.decode(above);
        return if decoded == x { 0.0 } else { f64::NEG_INFINITY };
    }
    let (prior, posterior) = (vae.prior(above), vae.posterior(above, x));
    let kl: f64 = posterior.iter().zip(&prior).map(|(q, p)| kl(q, p)).sum();
    let mut expected = 0.0;
    for (values, probability) in support(&posterior) {
        above.push(values);
        expected += probability * elbo(vae, x, above);
        above.pop();
    }
    expected - kl
}

/// KL(q || p) in nats.
fn kl(q: &[f64], p: &[f64]) -> f64 {
    let possible = q.iter().zip(p).filter(|(q, _)| **q > 0.0);
    possible.map(|(q, p)| q * (q / p).ln()).sum()
}

/// Every combination of values that independent variables can take, with its probability.
fn support(variables: &[Distribution]) -> Vec<(Values, f64)> {
    let mut all = vec![(Values::new(), 1.0)];
    for variable in variables {
        let longer = |(values, probability): &(Values, f64)| {
            let possible = variable.iter().enumerate().filter(|(_, p)| **p > 0.0);
            let longer =
                possible.map(|(value, p)| ([&values[..], &[value]].concat(), probability * p));
            longer.collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// Ancestral sampling: an image, a number of `noise` per latent; and the sequential steps it took. A
/// layer is one step however many latents it has, as none of them waits for another.
fn sample(vae: &impl Vae, noise: &[f64]) -> (Values, usize) {
    let (mut latents, mut noise, mut steps) = (Vec::new(), noise, 0);
    while latents.len() < vae.depth() {
        let prior = vae.prior(&latents);
        let (own, rest) = noise.split_at(prior.len());
        latents.push(prior.iter().zip(own).map(|(p, &u)| pick(p, u)).collect());
        noise = rest;
        steps += 1;
    }
    (vae.decode(&latents), steps)
}

fn uniform(generator: &mut ChaCha8Rng, count: usize) -> Vec<f64> {
    (0..count).map(|_| generator.random()).collect()
}

/// Rows of pixels.
fn picture(x: &[usize]) -> Vec<String> {
    let row = |row: &[usize]| row.iter().map(|&x| [".", "#"][x]).collect();
    x.chunks(SIDE).map(row).collect()
}

fn main() {
    let mut generator = ChaCha8Rng::seed_from_u64(0);
    let noise: Vec<Vec<f64>> = (0..1000).map(|_| uniform(&mut generator, PIXELS)).collect();
    let images: Vec<Values> = noise.iter().map(|u| sample_autoregressively(u).0).collect();
    let bounds =
        |vae: &dyn Fn(&[usize]) -> f64| -> Vec<f64> { images.iter().map(|x| vae(x)).collect() };
    let exact = bounds(&log_likelihood);
    let identity = bounds(&|x| elbo(&IdentityEncoder, x, &mut Vec::new()));
    let two = bounds(&|x| elbo(&TwoLayers, x, &mut Vec::new()));
    let mean = |nats: &[f64]| nats.iter().sum::<f64>() / nats.len() as f64;
    let apart = |nats: &[f64]| {
        let pairs = nats.iter().zip(&exact);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    let same = noise
        .iter()
        .zip(&images)
        .filter(|(u, x)| sample(&IdentityEncoder, u).0 == **x)
        .count();
    let more = uniform(&mut generator, PIXELS + 1);
    let (parallel, few) = sample(&TwoLayers, &more);
    let many = sample_autoregressively(&noise[0]).1;
    let layers = sample(&IdentityEncoder, &noise[0]).1;

    println!(
        "{} images of {SIDE}x{SIDE} pixels; nats per image\n",
        images.len()
    );
    println!("                               mean ln p(x)   largest difference   steps per sample");
    println!(
        "autoregressive model           {:>12.6}                    -   {many:>16}",
        mean(&exact)
    );
    for (name, nats, steps) in [
        ("VAE of 16 layers, identity  ", &identity, layers),
        ("VAE of 2 layers             ", &two, few),
    ] {
        let (mean, apart) = (mean(nats), apart(nats));
        println!("{name}   {mean:>12.6}   {apart:>18.1e}   {steps:>16}");
    }
    println!(
        "\nof the same noise, the VAE of 16 layers draws the same image {same} times of {}",
        noise.len()
    );
    println!("\nautoregressive, pixel by pixel     VAE of 2 layers, all pixels at once");
    for (left, right) in picture(&images[0]).into_iter().zip(picture(&parallel)) {
        println!("{left}                               {right}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_image() -> impl Iterator<Item = Values> {
        (0..1_usize << PIXELS).map(|bits| (0..PIXELS).map(|i| bits >> i & 1).collect())
    }

    #[test]
    fn the_autoregressive_model_is_a_distribution_over_images() {
        let total: f64 = every_image().map(|x| log_likelihood(&x).exp()).sum();
        assert!((total - 1.0).abs() < 1e-9, "{total}");
    }

    #[test]
    fn the_bounds_are_the_exact_likelihood_of_every_image() {
        for x in every_image().step_by(7) {
            let exact = log_likelihood(&x);
            let identity = elbo(&IdentityEncoder, &x, &mut Vec::new());
            let two = elbo(&TwoLayers, &x, &mut Vec::new());
            assert!((identity - exact).abs() < 1e-6, "{x:?}: {identity} {exact}");
            assert!((two - exact).abs() < 1e-6, "{x:?}: {two} {exact}");
        }
    }

    /// An encoder that is neither the identity nor the exact posterior only reaches a bound below.
    #[test]
    fn another_encoder_loses() {
        struct Guessing;
        impl Vae for Guessing {
            fn depth(&self) -> usize {
                2
            }
            fn prior(&self, above: &[Values]) -> Vec<Distribution> {
                TwoLayers.prior(above)
            }
            fn posterior(&self, above: &[Values], x: &[usize]) -> Vec<Distribution> {
                match above {
                    [] => vec![vec![0.25; 4]],
                    above => TwoLayers.posterior(above, x),
                }
            }
            fn decode(&self, latents: &[Values]) -> Values {
                TwoLayers.decode(latents)
            }
        }
        for x in every_image().step_by(997) {
            assert!(elbo(&Guessing, &x, &mut Vec::new()) < log_likelihood(&x) - 1e-3);
        }
    }

    #[test]
    fn the_same_noise_is_the_same_image() {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..500 {
            let noise = uniform(&mut generator, PIXELS);
            let (x, steps) = sample_autoregressively(&noise);
            assert_eq!(sample(&IdentityEncoder, &noise), (x, steps));
            assert_eq!(steps, PIXELS);
        }
    }

    /// Two steps, and yet the images of the same distribution: their mean likelihood is the entropy.
    #[test]
    fn independent_latents_are_drawn_in_one_step() {
        let entropy: f64 = every_image()
            .map(|x| log_likelihood(&x))
            .map(|nats| -nats.exp() * nats)
            .sum();
        let mut generator = ChaCha8Rng::seed_from_u64(2);
        let draws = 20_000;
        let drawn = (0..draws).map(|_| {
            let (x, steps) = sample(&TwoLayers, &uniform(&mut generator, 1 + PIXELS));
            assert_eq!(steps, 2);
            -log_likelihood(&x)
        });
        let mean = drawn.sum::<f64>() / f64::from(draws);
        // The standard deviation of an image is below 4 nats: five standard errors.
        assert!(
            (mean - entropy).abs() < 5.0 * 4.0 / f64::from(draws).sqrt(),
            "{mean} {entropy}"
        );
    }
}
