//! Random images through a small network: always the same pixels back, and the seed at the end.
//!
//! `VDVAE_PROPERTY_IMAGES` sets how many.

use vdvae::compress::{Archive, Codec, Image};
use vdvae::config::Config;
use vdvae::device;
use vdvae::trained::TrainedModel;

use super::{noise, smooth};

/// Weights that were never trained, and so posteriors and priors of any shape.
fn model(seed: u64) -> TrainedModel {
    let mut config = Config::preset("photos32").unwrap();
    let overrides = [
        "model.width=16",
        "model.zdim=2",
        "model.enc_blocks=32d4,8d8,1x1",
        "model.dec_blocks=1x1,8m1,32m8",
        "model.num_mixtures=2",
        "data.shift=-127.5",
        "data.scale=0.0157",
    ];
    config.apply_overrides(&overrides).unwrap();
    config.train.seed = seed;
    TrainedModel::untrained(config, device::parse("cpu").unwrap()).unwrap()
}

/// A third each of noise, of something smooth, and of few values.
fn image(index: usize) -> Image {
    let noise = noise(index);
    let value = |i: usize| match index % 3 {
        0 => noise(i),
        1 => smooth(i + index * 131),
        _ => noise(i / 50) & 0x81,
    };
    let shape = [32, 32, 3];
    Image {
        name: format!("{index}.png"),
        shape,
        pixels: (0..shape.iter().product()).map(value).collect(),
    }
}

#[test]
fn random_images_come_back() {
    let count = std::env::var("VDVAE_PROPERTY_IMAGES")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(150);
    let models = [model(0), model(1), model(2)];
    for first in (0..count).step_by(50) {
        let images: Vec<Image> = (first..(first + 50).min(count)).map(image).collect();
        let codec = Codec::new(&models[first / 50 % 3], [14, 8, 18][first / 50 % 3]).unwrap();
        let streams = 1 + first / 50 % 7;
        let compressed = codec.compress(&images, streams, |_| ()).unwrap();
        let mut file = Vec::new();
        compressed.archive.write(&mut file).unwrap();
        let archive = Archive::read(&file).unwrap();
        let mut seen = 0;
        let take = |index: u32, pixels: Vec<u8>| {
            assert!(
                pixels == images[index as usize].pixels,
                "image {index} of {first}"
            );
            seen += 1;
            Ok(())
        };
        codec.decompress(&archive, None, |_| (), take).unwrap();
        assert_eq!(seen, images.len());
    }
}
