//! Prints what rounding latents costs, over bits per latent and precisions, and how fast the
//! codecs are: `cargo run --locked --release -p vdvae-coding --example rates`.

use std::hint::black_box;
use std::time::Instant;
use vdvae_coding::{Coder, CodingError, LatentCodec, Normals, PixelCodec, PixelShape};

/// Latents per measurement.
const COUNT: usize = 200_000;
/// Latents per run of a speed measurement.
const TIMED: usize = 10_000;

fn main() -> Result<(), CodingError> {
    println!("Posteriors of r times the prior's sigma, their means scattered by d of them.");
    println!("rate: bits per latent over the divergence. error: mean square of (z - mean) / sigma");
    println!("over 1, which is what rounding adds. net: rate and half the error in bits, which is");
    println!("about what the error makes the pixels cost more. All scatter by some 0.003.\n");
    println!("| P | bits per latent | r, d | divergence | rate | error | net |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (ratio, distance) in [
        (0.9, 0.1),
        (0.3, 1.0),
        (0.1, 1.0),
        (0.01, 1.0),
        (0.001, 1.0),
        (0.1, 3.0),
    ] {
        for bits in [8, 10, 12, 14, 16] {
            table_row::<28>(bits, ratio, distance)?;
        }
        table_row::<16>(12, ratio, distance)?;
        table_row::<20>(14, ratio, distance)?;
        table_row::<24>(14, ratio, distance)?;
    }
    println!();
    latent_speed()?;
    for mixtures in [1, 10] {
        pixel_speed(mixtures)?;
    }
    Ok(())
}

/// Random numbers from a coder's own seed.
struct Random(Coder);

impl Random {
    fn unit(&mut self) -> Result<f64, CodingError> {
        Ok((f64::from(self.0.pop_bits(16)?) + 0.5) / 65536.0)
    }

    fn normal(&mut self) -> Result<f64, CodingError> {
        let radius = (-2.0 * self.unit()?.ln()).sqrt();
        Ok(radius * (std::f64::consts::TAU * self.unit()?).cos())
    }

    fn floats(&mut self, count: usize, low: f64, high: f64) -> Result<Vec<f32>, CodingError> {
        let one = |_| Ok((low + (high - low) * self.unit()?) as f32);
        (0..count).map(one).collect()
    }
}

/// Means and log sigmas of prior and posterior, and the divergence in bits.
struct Layer {
    prior: [Vec<f32>; 2],
    posterior: [Vec<f32>; 2],
    divergence: f64,
}

impl Layer {
    fn new(count: usize, ratio: f64, distance: f64) -> Result<Self, CodingError> {
        let mut random = Random(Coder::seeded());
        let prior = [
            random.floats(count, -1.0, 1.0)?,
            random.floats(count, -1.0, 1.0)?,
        ];
        let mut posterior = prior.clone();
        let mut nats = 0.0;
        for i in 0..count {
            let away = distance * random.normal()?;
            posterior[0][i] += (away * f64::from(prior[1][i]).exp()) as f32;
            posterior[1][i] += ratio.ln() as f32;
            nats += -0.5 - ratio.ln() + 0.5 * (ratio * ratio + away * away);
        }
        let divergence = nats / std::f64::consts::LN_2;
        Ok(Self {
            prior,
            posterior,
            divergence,
        })
    }

    fn prior(&self) -> Normals<'_> {
        let [mean, log_sigma] = &self.prior;
        Normals { mean, log_sigma }
    }

    fn posterior(&self) -> Normals<'_> {
        let [mean, log_sigma] = &self.posterior;
        Normals { mean, log_sigma }
    }
}

fn table_row<const P: usize>(bits: u32, ratio: f64, distance: f64) -> Result<(), CodingError> {
    let layer = Layer::new(COUNT, ratio, distance)?;
    let codec = LatentCodec::<P>::new(bits)?;
    let mut coder = Coder::seeded();
    let mut cells = vec![0; COUNT];
    codec.pop_posterior(&mut coder, layer.prior(), layer.posterior(), &mut cells)?;
    codec.push_prior(&mut coder, &cells)?;
    let mut values = vec![0.0; COUNT];
    codec.values(layer.prior(), &cells, &mut values)?;
    let [mean, log_sigma] = &layer.posterior;
    let errors = values.iter().zip(mean.iter().zip(log_sigma));
    let square: f64 = errors
        .map(|(z, (mean, log_sigma))| f64::from((z - mean) / log_sigma.exp()).powi(2))
        .sum();
    let count = COUNT as f64;
    let rate = (coder.net_bits() - layer.divergence) / count;
    let error = square / count - 1.0;
    println!(
        "| {P} | {bits} | {ratio}, {distance} | {:.3} | {rate:+.4} | {error:+.4} | {:+.4} |",
        layer.divergence / count,
        rate + 0.5 * error / std::f64::consts::LN_2,
    );
    Ok(())
}

/// Runs `work` a hundred times and prints millions per second in the fastest run: the one that
/// no other process interrupted.
fn report(
    what: &str,
    count: usize,
    mut work: impl FnMut() -> Result<(), CodingError>,
) -> Result<(), CodingError> {
    let mut least = f64::INFINITY;
    for _ in 0..100 {
        let start = Instant::now();
        work()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    println!("{what}: {:.2} million a second", count as f64 / least / 1e6);
    Ok(())
}

fn latent_speed() -> Result<(), CodingError> {
    let layer = Layer::new(TIMED, 0.3, 1.0)?;
    let codec: LatentCodec = LatentCodec::new(14)?;
    let mut coder = Coder::seeded();
    let mut cells = vec![0; TIMED];
    report("latents, pop posterior", TIMED, || {
        codec.pop_posterior(&mut coder, layer.prior(), layer.posterior(), &mut cells)
    })?;
    let mut other = coder.clone();
    report("latents, push posterior", TIMED, || {
        codec.push_posterior(&mut other, layer.prior(), layer.posterior(), &cells)
    })?;
    report("latents, push prior", TIMED, || {
        codec.push_prior(&mut coder, &cells)
    })?;
    report("latents, pop prior", TIMED, || {
        codec.pop_prior(&mut coder, &mut cells)
    })?;
    let mut values = vec![0.0; TIMED];
    report("latents, values", TIMED, || {
        codec.values(layer.prior(), &cells, black_box(&mut values))
    })
}

fn pixel_speed(mixtures: usize) -> Result<(), CodingError> {
    let (pixels, shape) = (
        1000,
        PixelShape {
            mixtures,
            colours: 3,
            bits: 8,
        },
    );
    let mut random = Random(Coder::seeded());
    let parameters = random.floats(pixels * shape.parameters(), -1.0, 1.0)?;
    let mut codec = PixelCodec::new(shape)?;
    let mut coder = random.0;
    let mut levels = vec![0; 3 * pixels];
    report(
        &format!("RGB pixels, {mixtures} logistics, pop"),
        pixels,
        || codec.pop(&mut coder, &parameters, &mut levels, None),
    )?;
    report(
        &format!("RGB pixels, {mixtures} logistics, push"),
        pixels,
        || codec.push(&mut coder, &parameters, &levels, None),
    )
}
