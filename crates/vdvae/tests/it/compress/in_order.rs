//! Archives of models that make pixel after pixel.

use vdvae::compress::{Archive, Codec, Compressed, Image};
use vdvae::likelihood::Likelihood;
use vdvae::likelihood::units::bits;
use vdvae::models::PosteriorLatents;
use vdvae::models::preprocess::Prepared;
use vdvae::random::{Keys, Purpose};
use vdvae::trained::TrainedModel;

use super::{noise, smooth};
use crate::support::toy::{SIDE, Toy};

fn image(name: &str, shape: [usize; 3], value: impl Fn(usize) -> u8) -> Image {
    Image {
        name: format!("{name}.png"),
        shape,
        pixels: (0..shape.iter().product()).map(value).collect(),
    }
}

/// All sizes: one tile, several, narrow, flat, a single pixel; gray ones too.
fn images(channels: usize, binary: bool) -> Vec<Image> {
    let sizes = [[8, 8], [20, 13], [3, 40], [1, 1], [9, 2], [8, 8]];
    let mut images = Vec::new();
    for (index, [height, width]) in sizes.into_iter().enumerate() {
        for channels in [1, channels] {
            let noise = noise(index);
            let value = |i: usize| match binary {
                true => 255 * (noise(i / 5) & 1),
                false if index % 2 == 0 => noise(i),
                false => smooth(i),
            };
            let name = format!("{index}-{channels}");
            images.push(image(&name, [height, width, channels], value));
        }
        if channels == 1 {
            images.pop();
        }
    }
    images
}

/// The images of an archive, in its order.
fn back(codec: &Codec, archive: &Archive) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut found = vec![Vec::new(); archive.images.len()];
    codec.decompress(
        archive,
        None,
        |_| (),
        |image, pixels| {
            found[image as usize] = pixels;
            Ok(())
        },
    )?;
    Ok(found)
}

fn written(compressed: &Compressed) -> Archive {
    let mut file = Vec::new();
    compressed.archive.write(&mut file).unwrap();
    Archive::read(&file).unwrap()
}

#[test]
fn every_likelihood_gives_every_image_back() {
    for toy in [
        Toy::logistics(3, 8),
        Toy::logistics(3, 5),
        Toy::logistics(1, 8),
        Toy::softmax(3, 256),
        Toy::softmax(3, 16),
        Toy::softmax(1, 2),
        Toy::new(Likelihood::Bernoulli, 3),
    ] {
        let model = toy.trained();
        let binary = model.plan.likelihood() == Likelihood::Bernoulli;
        let images = images(model.plan.image().channels, binary);
        let codec = Codec::new(&model, 14).unwrap();
        for streams in [1, 3, 100] {
            let compressed = codec.compress(&images, streams, |_| ()).unwrap();
            assert_eq!(compressed.seed_bits, 0, "nothing is borrowed");
            let archive = written(&compressed);
            let found = back(&codec, &archive).unwrap();
            for (image, found) in images.iter().zip(found) {
                assert!(image.pixels == found, "{:?} {}", model.plan, image.name);
            }
        }
    }
}

/// What whole images of the model's size cost, in bits.
fn cost(model: &TrainedModel, images: &[Image]) -> f64 {
    let keys = Keys::new(0, Purpose::Evaluation, 0..images.len() as u64);
    let bytes: Vec<u8> = images
        .iter()
        .flat_map(|image| image.pixels.clone())
        .collect();
    let Prepared { input, target, .. } = model.preprocess.apply(&bytes, &keys, &model.device);
    let cost = model
        .model
        .cost(Prepared::new(input, target), PosteriorLatents::Mean);
    let nats = vdvae::likelihood::values(cost.total());
    let nats: f64 = nats.into_iter().map(f64::from).sum();
    bits(nats) * model.plan.dimensions() as f64
}

#[test]
fn archives_take_what_the_evaluation_says() {
    for toy in [
        Toy::logistics(3, 8),
        Toy::softmax(3, 256),
        Toy::softmax(3, 16),
    ] {
        let low_bits = 8 - vdvae::models::Plan::likelihood(&toy).bits();
        let model = toy.trained();
        let image = |index: usize| {
            image(&index.to_string(), [SIDE, SIDE, 3], |i| {
                smooth(i + 97 * index)
            })
        };
        let images: Vec<Image> = (0..30).map(image).collect();
        let compressed = Codec::new(&model, 14)
            .unwrap()
            .compress(&images, 4, |_| ())
            .unwrap();
        let values = compressed.dimensions as f64;
        // Bits that the likelihood does not know are kept as they are.
        let expected = cost(&model, &images) / values + f64::from(low_bits);
        let found = compressed.net_bits / values;
        assert!(
            (found - expected).abs() < 0.001 * expected + 0.001,
            "{:?}: {found} for {expected}",
            model.plan
        );
    }
}

/// The stream of an image does not depend on those beside it.
#[test]
fn a_stream_is_a_function_of_its_images() {
    let model = Toy::logistics(3, 8).trained();
    let codec = Codec::new(&model, 14).unwrap();
    let images = images(3, false);
    let many = codec.compress(&images, 100, |_| ()).unwrap().archive;
    for chain in &many.chains {
        let own: Vec<Image> = chain
            .images
            .iter()
            .map(|&i| images[i as usize].clone())
            .filter(|image| codec.tiles(image.shape) == 1)
            .collect();
        if own.len() == chain.images.len() {
            let alone = codec.compress(&own, 1, |_| ()).unwrap().archive;
            assert_eq!(alone.chains[0].stream, chain.stream);
        }
    }
}

#[test]
fn order_can_be_left_out() {
    let model = Toy::softmax(3, 256).trained();
    let codec = Codec::new(&model, 14).unwrap();
    let one = |index: usize| image(&index.to_string(), [7, 8, 3], |i| smooth(i + 31 * index));
    let images: Vec<Image> = (0..24).map(one).collect();
    let ordered = codec.compress(&images, 1, |_| ()).unwrap();
    let free = codec.compress_unordered(&images, 1, |_| ()).unwrap();
    assert!(free.net_bits < ordered.net_bits - 50.0, "log2(24!) is 79");
    let mut found = back(&codec, &written(&free)).unwrap();
    let mut expected: Vec<Vec<u8>> = images.into_iter().map(|image| image.pixels).collect();
    found.sort();
    expected.sort();
    assert!(found == expected);
}

#[test]
fn damage_is_an_error() {
    let model = Toy::softmax(3, 256).trained();
    let codec = Codec::new(&model, 14).unwrap();
    let archive = codec
        .compress(&images(3, false), 2, |_| ())
        .unwrap()
        .archive;
    let words = archive.chains[0].stream.words.len();
    for at in [0, words / 2, words - 1] {
        let mut bad = archive.clone();
        bad.chains[0].stream.words[at] ^= 0x10;
        let error = back(&codec, &bad).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
    }
    let mut short = archive.clone();
    short.chains[1].stream.words.drain(..words / 2);
    let error = format!("{:#}", back(&codec, &short).unwrap_err());
    assert!(error.contains("damaged"), "{error}");
    // Another model's.
    let other = Toy::softmax(3, 16).trained();
    assert!(back(&Codec::new(&other, 14).unwrap(), &archive).is_err());
}

#[test]
fn kinds_that_nobody_tells_are_refused() {
    let model = Toy::softmax(3, 256).of_kinds(10).trained();
    let error = Codec::new(&model, 14).err().expect("refused").to_string();
    assert!(error.contains("which of 10 kinds"), "{error}");
}
