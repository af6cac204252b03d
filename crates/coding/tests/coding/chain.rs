//! The whole of bits-back coding with a toy model of three layers: two thousand images through
//! one stack and back.

use crate::common::Random;
use vdvae_coding::container::{Archive, Chain, ImageEntry, ModelId, joint, pixel_checksum, short};
use vdvae_coding::{Coder, CodingError, LatentCodec, Normals, PixelCodec, PixelShape};

const LAYERS: usize = 3;
const LATENTS: usize = 4;
const PIXELS: usize = 6;
const SHAPE: PixelShape = PixelShape {
    mixtures: 2,
    colours: 3,
    bits: 8,
};

/// Mean and log sigma of one layer.
type Layer = [Vec<f32>; 2];

fn normals([mean, log_sigma]: &Layer) -> Normals<'_> {
    Normals { mean, log_sigma }
}

/// The prior of a layer given the latents above.
fn prior(above: &[Vec<f32>]) -> Layer {
    let sum: f32 = above.iter().flatten().sum();
    let mean = (0..LATENTS).map(|i| (sum * 0.1 + i as f32).sin());
    let log_sigma = (0..LATENTS).map(|i| (sum + i as f32 * 2.0).cos() * 0.5);
    [mean.collect(), log_sigma.collect()]
}

/// The posterior of a layer given the prior and the image.
fn posterior([mean, log_sigma]: &Layer, image: &[u8]) -> Layer {
    let shift = |i: usize| f32::from(image[i]) / 128.0 - 1.0;
    let mean = mean.iter().enumerate().map(|(i, m)| m + shift(i));
    let log_sigma = log_sigma.iter().map(|v| v - 1.5);
    [mean.collect(), log_sigma.collect()]
}

/// The parameters of the pixels given all latents.
fn pixel_parameters(z: &[Vec<f32>]) -> Vec<f32> {
    let sum: f32 = z.iter().flatten().sum();
    let count = PIXELS * SHAPE.parameters();
    (0..count).map(|i| (sum + i as f32).sin()).collect()
}

struct Codecs {
    latents: LatentCodec,
    pixels: PixelCodec,
}

fn codecs() -> Codecs {
    Codecs {
        latents: LatentCodec::new(14).unwrap(),
        pixels: PixelCodec::new(SHAPE).unwrap(),
    }
}

fn compress(codecs: &mut Codecs, coder: &mut Coder, image: &[u8]) {
    let (mut z, mut cells): (Vec<Vec<f32>>, Vec<Vec<u32>>) = Default::default();
    for _ in 0..LAYERS {
        let prior = prior(&z);
        let posterior = posterior(&prior, image);
        let (mut layer, mut values) = (vec![0; LATENTS], vec![0.0; LATENTS]);
        let (prior, posterior) = (normals(&prior), normals(&posterior));
        codecs
            .latents
            .pop_posterior(coder, prior, posterior, &mut layer)
            .unwrap();
        codecs.latents.values(prior, &layer, &mut values).unwrap();
        cells.push(layer);
        z.push(values);
    }
    let parameters = pixel_parameters(&z);
    codecs.pixels.push(coder, &parameters, image, None).unwrap();
    for layer in cells.iter().rev() {
        codecs.latents.push_prior(coder, layer).unwrap();
    }
}

fn decompress(codecs: &mut Codecs, coder: &mut Coder) -> Result<Vec<u8>, CodingError> {
    let (mut z, mut cells): (Vec<Vec<f32>>, Vec<Vec<u32>>) = Default::default();
    let mut priors = Vec::new();
    for _ in 0..LAYERS {
        let prior = prior(&z);
        let (mut layer, mut values) = (vec![0; LATENTS], vec![0.0; LATENTS]);
        codecs.latents.pop_prior(coder, &mut layer)?;
        codecs
            .latents
            .values(normals(&prior), &layer, &mut values)?;
        cells.push(layer);
        priors.push(prior);
        z.push(values);
    }
    let mut image = vec![0; PIXELS * 3];
    let parameters = pixel_parameters(&z);
    codecs.pixels.pop(coder, &parameters, &mut image, None)?;
    for (prior, layer) in priors.iter().zip(&cells).rev() {
        let posterior = posterior(prior, &image);
        let (prior, posterior) = (normals(prior), normals(&posterior));
        codecs
            .latents
            .push_posterior(coder, prior, posterior, layer)?;
    }
    Ok(image)
}

fn entry(i: usize, image: &[u8]) -> ImageEntry {
    ImageEntry {
        name: format!("{i}.png"),
        width: PIXELS as u32,
        height: 1,
        channels: 3,
        check: short(pixel_checksum(image)),
    }
}

#[test]
fn two_thousand_chained_images_come_back_and_the_seed_remains() {
    let mut codecs = codecs();
    let mut random = Random(8);
    let images: Vec<Vec<u8>> = (0..2000)
        .map(|_| (0..PIXELS * 3).map(|_| random.below(256) as u8).collect())
        .collect();
    let mut coder = Coder::seeded();
    let mut bits = Vec::new();
    for image in &images {
        compress(&mut codecs, &mut coder, image);
        bits.push(coder.net_bits());
    }
    // Only the first image borrows from the seed; every image costs something.
    assert!(
        (1..10).contains(&coder.seed_words()),
        "{}",
        coder.seed_words()
    );
    assert!(bits.windows(2).all(|pair| pair[0] < pair[1]));
    let archive = Archive {
        model: ModelId {
            hash: [1; 32],
            kernel_path: "portable".into(),
            side: 8,
            colours: 3,
            bits: 8,
            latent_bits: 14,
        },
        images: images
            .iter()
            .enumerate()
            .map(|(i, image)| entry(i, image))
            .collect(),
        joint_check: joint(images.iter().map(|image| pixel_checksum(image))),
        order_free: false,
        weights: None,
        chains: vec![Chain {
            stream: coder.into_stream(),
            images: (0..2000).collect(),
        }],
    };
    let mut file = Vec::new();
    archive.write(&mut file).unwrap();

    let mut archive = Archive::read(&file).unwrap();
    let chain = archive.chains.remove(0);
    let mut coder = Coder::from_stream(chain.stream).unwrap();
    for &image in chain.images.iter().rev() {
        assert!(coder.verify_drained().is_err());
        let found = decompress(&mut codecs, &mut coder).unwrap();
        assert_eq!(found, images[image as usize]);
        assert_eq!(
            short(pixel_checksum(&found)),
            archive.images[image as usize].check
        );
    }
    coder.verify_drained().unwrap();
}

#[test]
fn a_changed_stream_never_passes_for_the_right_one() {
    let mut codecs = codecs();
    let mut random = Random(9);
    let image: Vec<u8> = (0..PIXELS * 3).map(|_| random.below(256) as u8).collect();
    let mut coder = Coder::seeded();
    for _ in 0..5 {
        compress(&mut codecs, &mut coder, &image);
    }
    let stream = coder.into_stream();
    for bit in 0..32 * stream.words.len() {
        let mut changed = stream.clone();
        changed.words[bit / 32] ^= 1 << (bit % 32);
        let mut coder = Coder::from_stream(changed).unwrap();
        // Wrong images, or nothing left of them, or something else than the seed at the end.
        let right = (0..5).all(|_| decompress(&mut codecs, &mut coder).as_ref() == Ok(&image));
        assert!(!right || coder.verify_drained().is_err(), "bit {bit}");
    }
}
