//! What every family promises that makes pixel after pixel, with a tiny model of each
//! (`golden/FAMILY/tiny.toml`): a pixel sees those before it and no other, and the samplers agree.

use std::ops::Range;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use vdvae_models::likelihood::values;
use vdvae_models::ordered::{Drawn, Known, Next, Turn, fill};
use vdvae_models::preprocess::Prepared;
use vdvae_models::random::{Keys, Noise, Purpose, generator};
use vdvae_models::registry::{FAMILIES, KEY, ModelConfig};
use vdvae_models::{Coding, Family, ImageShape, Model, Plan, PosteriorLatents, Step};

/// A plan of every such family that has these keys, its tiny one with other values of them.
fn plans(keys: &[(&str, toml::Value)]) -> Vec<(&'static str, Box<dyn Plan>)> {
    let plan = |family: &'static dyn Family| {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let text = std::fs::read_to_string(golden.join(family.name()).join("tiny.toml"));
        let table: toml::Table = text.unwrap().parse().unwrap();
        let mut model = table["model"].as_table().unwrap().clone();
        model.remove(KEY);
        for (key, value) in keys {
            model.insert((*key).to_owned(), value.clone());
        }
        let plan = ModelConfig::new(family, model).ok()?.plan().ok()?;
        (plan.coding() == Ok(Coding::InOrder)).then_some((family.name(), plan))
    };
    let plans: Vec<_> = FAMILIES.into_iter().filter_map(plan).collect();
    assert!(!plans.is_empty());
    plans
}

fn images(batch: usize, image: ImageShape) -> Vec<u8> {
    let mut generator = generator(3, Purpose::Pixels, 0, 0);
    let values = batch * image.len();
    (0..values).map(|_| generator.random()).collect()
}

fn prepared(plan: &dyn Plan, images: &[u8], device: &Device) -> Prepared {
    let batch = images.len() / plan.image().len();
    let keys = Keys::new(1, Purpose::Training, 0..batch as u64);
    let mut prepared = plan.preprocess(None).apply(images, &keys, device);
    let kinds = |image: usize| image.checked_rem(plan.classes());
    prepared.classes = (0..batch).filter_map(kinds).collect();
    prepared
}

/// A model that was shown random images, so that every layer says something; small images alike to a layer at a coarse
/// resolution would make it say anything.
fn model(plan: &dyn Plan, device: &Device) -> Box<dyn Model> {
    let mut model = plan.build(5, device);
    if plan.image().size >= 8 {
        let images = images(6, plan.image());
        let nothing = Noise::Given(Vec::new());
        model.start(prepared(plan, &images, device), &nothing);
    }
    model
}

/// The gradient of the parameters of each turn with respect to all inputs.
#[test]
fn a_turn_sees_all_before_it_and_nothing_else() {
    const SEVERAL: usize = 8;
    let device = Device::flex().autodiff();
    // Small networks reach over all of small images alone.
    for (side, reached) in [(4_i64, true), (8, false)] {
        for (family, plan) in plans(&[("image_size", side.into())]) {
            let model = model(&*plan, &device);
            let model = model.ordered().unwrap();
            let ImageShape { size, channels } = plan.image();
            // Of several images: what one sees may be 0 in another, behind a relu.
            let (likelihood, bytes) = (model.likelihood(), images(SEVERAL, plan.image()));
            let turns = likelihood.turns();
            for turn in 0..size * size * turns {
                let batch = prepared(&*plan, &bytes, &device);
                let input = batch.input.require_grad();
                let parameters = model.parameters(input.clone(), &batch.classes);
                let (pixel, part) = (turn / turns, turn % turns);
                let part = likelihood.parameters_of(part, parameters.dims()[3]);
                let own = parameters.narrow(1, pixel / size, 1);
                let own = own.narrow(2, pixel % size, 1);
                let own = own.narrow(3, part.start, part.len());
                // Not all alike: what is added to all logits says nothing.
                let weights: Vec<f32> = part.map(|i| (i as f32).sin()).collect();
                let weights = Tensor::<1>::from_floats(&weights[..], &device);
                let gradients = (own * weights.unsqueeze()).sum().backward();
                let gradient = input.grad(&gradients).map(values);
                let gradient = gradient.unwrap_or_else(|| vec![0.0; bytes.len()]);
                let each = channels / turns;
                for other in 0..size * size * turns {
                    let of =
                        |image: &[f32]| image[other * each..][..each].iter().any(|&g| g != 0.0);
                    let seen = gradient.chunks_exact(size * size * channels).any(of);
                    let what = format!("{family}, {turn} of {other}, side {side}");
                    assert!(!seen || other < turn, "{what}: seen, and later");
                    assert!(seen || other >= turn || !reached, "{what}: not seen");
                }
            }
        }
    }
}

/// What both samplers make of the same random numbers, to the byte; a batch changes no image.
#[test]
fn the_cached_sampler_makes_the_images_of_the_plain_one() {
    let device = Device::flex();
    for (side, channels, classes, batch) in [(4, 1, 0, 1), (8, 3, 0, 5), (12, 3, 3, 4)] {
        let keys = [
            ("image_size", side.into()),
            ("image_channels", channels.into()),
            ("classes", classes.into()),
        ];
        for (family, plan) in plans(&keys) {
            let model = model(&*plan, &device);
            let ordered = model.ordered().unwrap();
            let kind = |image: usize| image.checked_rem(plan.classes());
            let kinds: Vec<usize> = (0..batch).filter_map(kind).collect();
            let drawn = |next: &mut dyn Next, items: &[u64]| {
                let keys = Keys::new(7, Purpose::Pixels, items.to_vec());
                let likelihood = ordered.likelihood();
                let mut canvas = ordered.blank(items.len());
                let mut source = Drawn::new(likelihood, keys);
                fill(next, likelihood, &mut source, &mut canvas, &mut |_| ());
                canvas.into_bytes()
            };
            let items: Vec<u64> = (0..batch as u64).collect();
            let cached = drawn(&mut *ordered.begin(batch, &kinds), &items);
            let plain = drawn(&mut *ordered.begin_plain(&kinds), &items);
            assert!(cached == plain, "{family}, side {side}");
            assert!(cached == model.sample(7, &items, &[]), "{family}");
            let alone = model.sample(7, &items[..1], &[]);
            assert!(alone == cached[..alone.len()], "{family}, side {side}");
        }
    }
}

/// The parameters that the cached sampler finds for a known image are those of one evaluation, whatever the canvas
/// holds of what is not known yet.
#[test]
fn known_images_have_the_parameters_of_an_evaluation() {
    const BATCH: usize = 3;
    let device = Device::flex();
    for (family, plan) in plans(&[]) {
        let model = model(&*plan, &device);
        let model = model.ordered().unwrap();
        let (image, likelihood) = (plan.image(), model.likelihood());
        let bytes = images(BATCH, image);
        let batch = prepared(&*plan, &bytes, &device);
        let all = values(model.parameters(batch.input, &batch.classes));
        let pixels = image.size * image.size;
        let each = all.len() / (BATCH * pixels);
        let mut canvas = model.blank(BATCH);
        for place in 0..BATCH * pixels {
            let (at, pixel) = (place / pixels, place % pixels);
            let huge = vec![1e4; image.channels];
            canvas.set_input(at, [pixel / image.size, pixel % image.size], 0, &huge);
        }
        let mut next = model.begin(BATCH, &batch.classes);
        for turn in 0..pixels * likelihood.turns() {
            let (pixel, part) = (turn / likelihood.turns(), turn % likelihood.turns());
            let [row, column] = [pixel / image.size, pixel % image.size];
            let own = likelihood.parameters_of(part, each);
            let channels = likelihood.channels_of(part, image.channels);
            let found = next.parameters(Turn { row, column, part }, &canvas);
            for (at, found) in found.chunks_exact(own.len()).enumerate() {
                let expected = &all[(at * pixels + pixel) * each..][own.clone()];
                for (found, expected) in found.iter().zip(expected) {
                    let error = (found - expected).abs() / expected.abs().max(1.0);
                    assert!(error < 1e-5, "{family}, {turn}: {found} for {expected}");
                }
            }
            for at in 0..BATCH {
                let known = &bytes[(at * pixels + pixel) * image.channels..][channels.clone()];
                canvas.set(at, [row, column], channels.start, known);
            }
        }
    }
}

/// Dropout is what its key says: the same for the same step, another for another.
#[test]
fn dropout_follows_its_keys() {
    let device = Device::flex();
    for (family, plan) in plans(&[("dropout", 0.5.into())]) {
        let mut model = model(&*plan, &device);
        let bytes = images(2, plan.image());
        let mut nats = |number: u64, items: Range<u64>| {
            let each = plan.image().len();
            let own = &bytes[items.start as usize * each..items.end as usize * each];
            let keys = Keys {
                step: number,
                ..Keys::new(1, Purpose::Training, items)
            };
            let step = Step {
                noise: Noise::Keyed(keys),
                number,
                of: 10,
            };
            let loss = model.loss(prepared(&*plan, own, &device), &step);
            values(loss.cost.distortion)
        };
        let both = nats(0, 0..2);
        assert_eq!(both, nats(0, 0..2), "{family}");
        assert_eq!(both[1..], nats(0, 1..2), "{family}: whatever the batch");
        assert_ne!(both, nats(1, 0..2), "{family}");
    }
}

/// The probability of an image is the product of those of its pixels, as the cached sampler finds them, and over all
/// values of a pixel they sum to 1: so they do over all images.
#[test]
fn no_probability_is_lost() {
    let device = Device::flex();
    for (family, plan) in plans(&[("image_size", 16.into()), ("image_channels", 1.into())]) {
        let model = model(&*plan, &device);
        let bytes = images(1, plan.image());
        let batch = prepared(&*plan, &bytes, &device);
        let nats = values(model.cost(batch, PosteriorLatents::Mean).total())[0] * 256.0;
        let model = model.ordered().unwrap();
        let likelihood = model.likelihood();
        let all: Vec<u8> = (0..=255).collect();
        let all = prepared(&*plan, &all, &device)
            .target
            .reshape([256, 1, 1, 1]);
        let mut product = 0.0;
        let mut known = Known(|turn: Turn, parameters: &[f32]| {
            let parameters = parameters.repeat(256);
            let shape = [256, 1, 1, parameters.len() / 256];
            let parameters = Tensor::from_data(TensorData::new(parameters, shape), &device);
            let nats = values(likelihood.negative_log_likelihood(parameters, all.clone()));
            let sum: f64 = nats.iter().map(|&nats| f64::from(-nats).exp()).sum();
            assert!((sum - 1.0).abs() < 1e-4, "{family}, {turn:?}: {sum}");
            product += nats[usize::from(bytes[turn.row * 16 + turn.column])];
        });
        let mut canvas = model.blank(1);
        for (pixel, &value) in bytes.iter().enumerate() {
            canvas.set(0, [pixel / 16, pixel % 16], 0, &[value]);
        }
        let mut next = model.begin(1, &[]);
        fill(&mut *next, likelihood, &mut known, &mut canvas, &mut |_| ());
        let error = (product - nats).abs() / nats;
        assert!(error < 1e-4, "{family}: {product} for {nats}");
    }
}

#[test]
fn kinds_make_a_difference() {
    let device = Device::flex();
    for (family, plan) in plans(&[("classes", 2.into())]) {
        let model = model(&*plan, &device);
        let input = prepared(&*plan, &images(1, plan.image()), &device).input;
        let model = model.ordered().unwrap();
        let of = |kind| values(model.parameters(input.clone(), &[kind]));
        assert_ne!(of(0), of(1), "{family}");
    }
}
