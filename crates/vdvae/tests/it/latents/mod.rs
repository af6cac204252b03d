//! Latents in the hand: what is encoded decodes to the same bits, coders can take the place of noise, and
//! the way between two images.

mod slerp;

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use vdvae::config::Config;
use vdvae::latents::{
    About, DecodeOptions, EncodeOptions, FloatArray, InterpolateOptions, LatentsError, Layers, Z,
    check, decode, decode_parameters, encode, features, interpolate, load_z, save,
};
use vdvae::models::Plan;
use vdvae::models::hierarchy::{LatentSource, Latents, Noise, Recorder, StochasticLayer, TopDown};
use vdvae::parameters::{self, Specs};
use vdvae::random::{Keys, Purpose};
use vdvae::trained::TrainedModel;

const SIDE: usize = 8;
const IMAGE: usize = 3 * SIDE * SIDE;
const DEPTH: usize = 4;

/// No weight is zero, so that priors differ from a standard normal and from each other.
fn model() -> TrainedModel {
    model_with("")
}

/// The same with more lines for `[model]`.
fn model_with(more: &str) -> TrainedModel {
    let text = r#"
        [model]
        image_size = 8
        width = 12
        zdim = 3
        enc_blocks = "8x1,8d2,4d4,1x1"
        dec_blocks = "1x1,4m1,8m4,8x1"
        num_mixtures = 2
        [data]
        source = "photos"
        shift = -127.5
        scale = 0.0157
    "#;
    let text = text.replace("[model]", &format!("[model]\n{more}"));
    let config = Config::from_toml(&text, "the tiny model").unwrap();
    let mut model = TrainedModel::untrained(config, Device::flex()).unwrap();
    let mut seed = 1_u32;
    let mut weight = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(seed) / f64::from(u32::MAX) - 0.5) as f32 * 0.5
    };
    model.model = parameters::import(model.model, &specs(&model.plan), |spec| {
        let count = spec.shape.iter().product::<usize>();
        Ok::<_, ()>((0..count).map(|_| weight()).collect())
    })
    .unwrap();
    model
}

fn specs(plan: &Arc<dyn Plan>) -> Specs {
    Specs::new(plan.tensors())
}

fn images(count: usize) -> Vec<u8> {
    let byte = |at: usize| (at.wrapping_mul(2_654_435_761) >> 7) as u8 / 3 + (at % 97) as u8;
    (0..count * IMAGE).map(byte).collect()
}

fn z_of(layers: &Layers) -> Z {
    layers
        .iter()
        .map(|(&layer, seen)| (layer, seen.z.clone()))
        .collect()
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn keys(items: u64, purpose: Purpose) -> Keys {
    Keys {
        seed: 5,
        purpose,
        step: 0,
        items: (0..items).collect(),
    }
}

fn options(mean: bool) -> EncodeOptions {
    EncodeOptions {
        mean,
        seed: 5,
        ..EncodeOptions::default()
    }
}

/// The likelihood's parameters of the images' own reconstructions.
fn reconstruction(model: &TrainedModel, images: &[u8], latents: &Latents) -> Vec<f32> {
    let keys = keys((images.len() / IMAGE) as u64, Purpose::Binarization);
    let prepared = model.preprocess.apply(images, &keys, &model.device);
    let batch = keys.items.len();
    let hierarchy = model.hierarchy().unwrap();
    host(hierarchy.decode(batch, Some(prepared.input), &mut &*latents))
}

#[test]
fn encoded_and_decoded_are_the_same_output_parameters_to_the_bit() {
    let (model, images) = (model(), images(3));
    let noise = Noise::Keyed(keys(3, Purpose::Reconstruction));
    for (mean, latents) in [
        (false, Latents::posterior(noise)),
        (true, Latents::posterior_mean()),
    ] {
        let expected = reconstruction(&model, &images, &latents);
        let z = z_of(&encode(&model, &images, 0..3, &options(mean)).unwrap());
        assert_eq!(z.len(), DEPTH);
        let decoded = decode_parameters(&model, &z, 0..3, &DecodeOptions::default()).unwrap();
        assert_eq!(host(decoded), expected, "mean {mean}");
        // In other batches too.
        let (first, rest) = images.split_at(IMAGE);
        let mut layers = encode(&model, first, 0..1, &options(mean)).unwrap();
        for (layer, seen) in encode(&model, rest, 1..3, &options(mean)).unwrap() {
            layers.get_mut(&layer).unwrap().append(seen);
        }
        assert_eq!(z_of(&layers), z);
        let one = decode_parameters(&model, &z, 1..2, &DecodeOptions::default()).unwrap();
        let each = expected.len() / 3;
        assert_eq!(host(one), expected[each..2 * each]);
    }
}

/// Where nobody looks at a layer, its prior and draw are one operation: the same bits.
#[test]
fn watched_or_not_the_loop_computes_the_same() {
    for more in ["", "topdown_residual = false"] {
        watched_or_not(&model_with(more));
    }
}

fn watched_or_not(model: &TrainedModel) {
    let images = images(3);
    let prior = Latents::prior(&[1.0, 0.7], Noise::Keyed(keys(3, Purpose::Sample)));
    let hierarchy = model.hierarchy().unwrap();
    let watched = hierarchy.decode(3, None, &mut Recorder::new(&prior));
    let unwatched = hierarchy.decode(3, None, &mut &prior);
    assert_eq!(host(unwatched), host(watched), "samples");
    let binarization = keys(3, Purpose::Binarization);
    let prepared = model
        .preprocess
        .apply(&images, &binarization, &model.device);
    let posterior = Latents::posterior(Noise::Keyed(keys(3, Purpose::Evaluation)));
    let elbo = |latents: &mut dyn LatentSource| {
        let activations = hierarchy.encode(prepared.input.clone());
        let TopDown { parameters, kl } = hierarchy.top_down(3, Some(&activations), latents);
        let likelihood = hierarchy.likelihood();
        let distortion = likelihood.negative_log_likelihood(parameters, prepared.target.clone());
        let rates = kl.into_iter().flatten().map(host);
        (host(distortion), rates.collect::<Vec<_>>())
    };
    let (distortion, rates) = elbo(&mut &posterior);
    assert_eq!(rates.len(), DEPTH);
    assert!(rates.iter().flatten().all(|nats| *nats > 0.0));
    let watched = elbo(&mut Recorder::new(&posterior));
    assert_eq!((distortion, rates), watched, "an evaluation");
}

/// Noise alone would do: it must not be taken for the prior.
#[test]
#[should_panic(expected = "latents from the posterior need an encoded image")]
fn the_posterior_without_an_image_is_refused() {
    let latents = Latents::posterior(Noise::Keyed(keys(1, Purpose::Evaluation)));
    let model = model();
    let hierarchy = model.hierarchy().unwrap();
    hierarchy.decode(1, None, &mut &latents);
}

#[test]
fn what_is_kept_of_a_layer_agrees_with_itself() {
    let (model, images) = (model(), images(2));
    let all = encode(&model, &images, 0..2, &options(false)).unwrap();
    let means = encode(&model, &images, 0..2, &options(true)).unwrap();
    assert_eq!(means[&0].z, means[&0].posterior_mean);
    assert_ne!(all[&0].z, all[&0].posterior_mean);
    assert_eq!(
        all[&0].posterior_mean, means[&0].posterior_mean,
        "the top sees no noise"
    );
    assert_eq!(all[&3].kl.shape, [2, 8, 8, 3]);
    assert_eq!(all[&3].kl_per_image.shape, [2]);
    for (layer, seen) in &all {
        let per_image = seen.kl.values.len() / 2;
        for (image, elements) in seen.kl.values.chunks(per_image).enumerate() {
            let sum: f64 = elements.iter().map(|&nats| f64::from(nats)).sum();
            let said = f64::from(seen.kl_per_image.values[image]);
            assert!(
                (sum - said).abs() < 1e-4 * said.abs().max(1.0),
                "{layer}: {sum} {said}"
            );
            assert!(said > 0.0);
        }
        for at in 0..seen.kl.values.len() {
            let [qm, qv, pm, pv] = [
                &seen.posterior_mean,
                &seen.posterior_log_sigma,
                &seen.prior_mean,
                &seen.prior_log_sigma,
            ]
            .map(|array| f64::from(array.values[at]));
            let spread = (2.0 * qv).exp() + (qm - pm).powi(2);
            let nats = -0.5 + pv - qv + 0.5 * spread / (2.0 * pv).exp();
            assert!((nats - f64::from(seen.kl.values[at])).abs() < 1e-4 * nats.max(1.0));
        }
    }
    let some = encode(
        &model,
        &images,
        0..2,
        &EncodeOptions {
            layers: 1..3,
            ..options(false)
        },
    )
    .unwrap();
    assert!(some.keys().eq(&[1, 2]));
    assert_eq!(some[&2], all[&2]);
}

/// An entropy coder in miniature: the latents of each layer in the order of the loop, as it popped them.
struct Popped {
    z: std::vec::IntoIter<Tensor<4>>,
    /// What the coder would have to code with: the priors.
    priors: Vec<Vec<f32>>,
}

impl LatentSource for &mut Popped {
    fn needs_posterior(&self, _: usize) -> bool {
        false
    }

    fn latent(&mut self, layer: StochasticLayer) -> Tensor<4> {
        assert!(layer.posterior.is_none());
        let prior = layer.prior.clone().narrow(3, 0, 2 * layer.zdim);
        self.priors.push(host(prior));
        self.z.next().unwrap()
    }
}

/// Bits-back coding rests on it: from z alone follow the priors, from z and the image the posteriors, all
/// to the bit as in the pass that chose z.
#[test]
fn a_coder_meets_the_same_distributions_in_every_pass() {
    let (model, images) = (model(), images(2));
    let prepared = model
        .preprocess
        .apply(&images, &keys(2, Purpose::Binarization), &model.device);
    let hierarchy = model.hierarchy().unwrap();
    let activations = hierarchy.encode(prepared.input);
    let latents = Latents::posterior(Noise::Keyed(keys(2, Purpose::Evaluation)));
    let mut sender = Recorder::new(&latents);
    let sent = hierarchy.top_down(2, Some(&activations), &mut sender);

    let z: Vec<Tensor<4>> = sender.layers.iter().map(|layer| layer.z.clone()).collect();
    let mut popped = Popped {
        z: z.clone().into_iter(),
        priors: Vec::new(),
    };
    let received = hierarchy.top_down(2, None, &mut &mut popped);
    assert!(received.kl.iter().all(Option::is_none));
    assert_eq!(host(received.parameters), host(sent.parameters.clone()));

    let given = Latents::given(z);
    let mut receiver = Recorder::new(&given);
    let again = hierarchy.top_down(2, Some(&activations), &mut receiver);
    assert_eq!(host(again.parameters), host(sent.parameters));
    assert_eq!(receiver.layers.len(), DEPTH);
    for (layer, (a, b)) in sender.layers.iter().zip(&receiver.layers).enumerate() {
        assert_eq!(host(a.prior.clone()), popped.priors[layer], "prior {layer}");
        assert_eq!(
            host(a.prior.clone()),
            host(b.prior.clone()),
            "prior {layer}"
        );
        let [a, b] = [a, b].map(|record| host(record.posterior.clone().unwrap()));
        assert_eq!(a, b, "posterior {layer}");
    }
    let kl = |kl: Vec<Option<Tensor<1>>>| -> Vec<_> {
        kl.into_iter().map(|kl| host(kl.unwrap())).collect()
    };
    assert_eq!(kl(again.kl), kl(sent.kl));
}

#[test]
fn the_first_layers_as_given_and_the_rest_from_the_prior() {
    let (model, images) = (model(), images(2));
    let z = z_of(&encode(&model, &images, 0..2, &options(false)).unwrap());
    let decoded = |layers, temperature: f32, seed| {
        let options = DecodeOptions {
            layers,
            temperatures: vec![temperature],
            seed,
            ..DecodeOptions::default()
        };
        host(decode_parameters(&model, &z, 0..2, &options).unwrap())
    };
    let all = decoded(None, 1.0, 0);
    assert_eq!(
        decoded(Some(DEPTH), 0.3, 7),
        all,
        "nothing is left to the prior"
    );
    let two = decoded(Some(2), 1.0, 0);
    assert_ne!(two, all);
    assert_eq!(decoded(Some(2), 1.0, 0), two);
    assert_ne!(decoded(Some(2), 0.5, 0), two);
    assert_ne!(decoded(Some(2), 1.0, 1), two);
    let cut: Z = z
        .clone()
        .into_iter()
        .filter(|(layer, _)| *layer < 2)
        .collect();
    assert_eq!(check(&model, &cut, &DecodeOptions::default()).unwrap(), 2);
    let from_cut = DecodeOptions {
        temperatures: vec![1.0],
        ..DecodeOptions::default()
    };
    assert_eq!(
        host(decode_parameters(&model, &cut, 0..2, &from_cut).unwrap()),
        two
    );
    let mut options = DecodeOptions::default();
    let drawn = decode(&model, &z, 0..2, &options).unwrap();
    options.mode = true;
    let likely = decode(&model, &z, 0..2, &options).unwrap();
    assert_eq!((drawn.len(), likely.len()), (images.len(), images.len()));
    assert_ne!(drawn, likely);
    options.seed = 1;
    assert_eq!(
        decode(&model, &z, 0..2, &options).unwrap(),
        likely,
        "no noise"
    );
}

#[test]
fn latents_that_do_not_fit_are_refused() {
    let (model, images) = (model(), images(2));
    let good = z_of(&encode(&model, &images, 0..2, &options(false)).unwrap());
    let refused = |change: &dyn Fn(&mut Z), layers| {
        let mut z = good.clone();
        change(&mut z);
        let options = DecodeOptions {
            layers,
            ..DecodeOptions::default()
        };
        let error = decode(&model, &z, 0..2, &options).unwrap_err();
        assert_eq!(
            check(&model, &z, &options).unwrap_err().to_string(),
            error.to_string()
        );
        error
    };
    let error = refused(&|z| drop(z.remove(&1)), None);
    assert!(matches!(error, LatentsError::MissingLayer { .. }));
    let text = error.to_string();
    assert!(
        text.starts_with("layer_001/z") && text.contains("0, 2, 3"),
        "{text}"
    );
    assert!(text.contains("--layers 1"), "{text}");
    let text = refused(&|z| z.clear(), Some(1)).to_string();
    assert!(text.starts_with("layer_000/z"), "{text}");

    let text = refused(&|z| z.get_mut(&2).unwrap().shape = vec![2, 4, 16, 3], None).to_string();
    for part in [
        "layer_002/z",
        "[2, 8, 8, 3]",
        "[2, 4, 16, 3]",
        "another model",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    let one_image = |z: &mut Z| {
        let layer = z.get_mut(&2).unwrap();
        layer.shape[0] = 1;
        layer.values.truncate(8 * 8 * 3);
    };
    let text = refused(&one_image, None).to_string();
    assert!(text.contains("the same images"), "{text}");

    for wrong in [f32::NAN, f32::INFINITY] {
        let set = |z: &mut Z| *z.get_mut(&3).unwrap().values.last_mut().unwrap() = wrong;
        let error = refused(&set, None);
        assert!(
            matches!(error, LatentsError::NotFinite { image: 1, .. }),
            "{error}"
        );
    }
    let error = refused(&|_| (), Some(5));
    assert!(matches!(
        error,
        LatentsError::TooManyLayers {
            depth: DEPTH,
            found: 5
        }
    ));
}

#[test]
fn files_hold_the_latents_to_the_bit() {
    let (model, images) = (model(), images(2));
    let layers = encode(&model, &images, 0..2, &options(false)).unwrap();
    let about = About::new(
        &model,
        "latents",
        vec!["a.png".to_owned(), "b.png".to_owned()],
    );
    let folder = tempfile::tempdir().unwrap();
    for name in ["z.safetensors", "z.npz"] {
        let path = folder.path().join(name);
        let write = || {
            let arrays = layers.iter().flat_map(|(layer, seen)| {
                let name = move |array| format!("layer_{layer:03}/{array}");
                seen.arrays().map(|(array, values)| (name(array), values))
            });
            save(&path, &about, arrays).unwrap();
            std::fs::read(&path).unwrap()
        };
        let file = write();
        assert!(file == write(), "{name}: the same file every time");
        let (z, read) = load_z(&path).unwrap();
        assert_eq!(z, z_of(&layers), "{name}");
        assert_eq!(read.as_ref(), Some(&about), "{name}");
    }
    assert_eq!(about.model_sha256.len(), 64);
    assert_eq!(about.model_sha256, model.fingerprint());
}

#[test]
fn a_fingerprint_tells_weights_apart() {
    let one = model().fingerprint();
    assert_eq!(model().fingerprint(), one);
    let mut changed = false;
    let mut other = model();
    let specs = specs(&other.plan);
    other.model = parameters::import(other.model, &specs, |spec| {
        let mut values = vec![0.1; spec.shape.iter().product()];
        changed = true;
        values[0] = 0.2;
        Ok::<_, ()>(values)
    })
    .unwrap();
    assert_ne!(other.fingerprint(), one);
    assert!(changed);
}

#[test]
fn interpolation_ends_at_the_images_and_moves_what_it_is_told_to() {
    let (model, images) = (model(), images(2));
    let way = |steps, layers: std::ops::Range<usize>, batch| {
        let options = InterpolateOptions {
            steps,
            layers,
            mean: false,
            seed: 5,
            batch,
        };
        interpolate(&model, &images, &options).unwrap()
    };
    let nine = way(9, 0..DEPTH, 9);
    assert_eq!(nine.len(), 9 * IMAGE);
    assert_eq!(way(9, 0..DEPTH, 2), nine);
    let (first, second) = images.split_at(IMAGE);
    for (frame, (image, item)) in [(0, (first, 0)), (8, (second, 1))] {
        let layers = encode(&model, image, item..item + 1, &options(false)).unwrap();
        let decoding = DecodeOptions {
            mode: true,
            ..DecodeOptions::default()
        };
        let own = decode(&model, &z_of(&layers), 0..1, &decoding).unwrap();
        let found = &nine[frame * IMAGE..(frame + 1) * IMAGE];
        let differ = own.iter().zip(found).filter(|(a, b)| a.abs_diff(**b) > 1);
        assert!(differ.count() <= IMAGE / 50, "frame {frame}");
    }
    let still = way(3, 0..0, 3);
    assert_eq!(still[..IMAGE], still[IMAGE..2 * IMAGE]);
    assert_eq!(still[..IMAGE], nine[..IMAGE]);
    let below = way(9, 2..DEPTH, 9);
    assert_eq!(below[..IMAGE], nine[..IMAGE]);
    assert_ne!(below[8 * IMAGE..], nine[8 * IMAGE..]);
}

#[test]
fn features_are_the_encoders_activations_and_the_decoders_state() {
    let (model, images) = (model(), images(3));
    let all = features(&model, &images, 0..3, 1).unwrap();
    let shapes: Vec<_> = all
        .arrays
        .iter()
        .map(|(name, array)| (name.as_str(), array.shape.clone()))
        .collect();
    let expected = [
        ("decoder_001/pooled", vec![3, 12]),
        ("decoder_001/state", vec![3, 4, 4, 12]),
        ("encoder_001/activation", vec![3, 1, 1, 12]),
        ("encoder_001/pooled", vec![3, 12]),
        ("encoder_004/activation", vec![3, 4, 4, 12]),
        ("encoder_004/pooled", vec![3, 12]),
        ("encoder_008/activation", vec![3, 8, 8, 12]),
        ("encoder_008/pooled", vec![3, 12]),
    ];
    assert_eq!(shapes, expected);
    let keys = keys(3, Purpose::Binarization);
    let input = model.preprocess.apply(&images, &keys, &model.device).input;
    let activations = model.hierarchy().unwrap().encode(input);
    assert_eq!(
        all.arrays["encoder_004/activation"].values,
        host(activations[&4].clone())
    );
    let state = &all.arrays["decoder_001/state"].values;
    let mean: f32 = (0..16).map(|pixel| state[pixel * 12 + 5]).sum::<f32>() / 16.0;
    assert!((all.arrays["decoder_001/pooled"].values[5] - mean).abs() < 1e-5);
    let (first, rest) = images.split_at(IMAGE);
    let mut parts = features(&model, first, 0..1, 1).unwrap();
    parts.append(features(&model, rest, 1..3, 1).unwrap());
    assert_eq!(parts, all);
    let other = features(&model, &images, 0..3, 3).unwrap();
    assert_eq!(other.arrays["decoder_003/state"].shape, [3, 8, 8, 12]);
}

/// What others computed may lie in another order: with channels first it is read as such.
#[test]
fn latents_with_channels_first() {
    let (model, images) = (model(), images(3));
    let z = z_of(&encode(&model, &images, 0..3, &options(false)).unwrap());
    let first: Z = z
        .iter()
        .map(|(&layer, array)| {
            let [n, side, _, channels] = array.shape[..] else {
                panic!("four axes")
            };
            let strides = [side * side * channels, 1, side * channels, channels];
            let shape = vec![n, channels, side, side];
            (layer, FloatArray::strided(&array.values, shape, &strides))
        })
        .collect();
    assert_ne!(first[&3].shape, z[&3].shape);
    let decoded = |z| decode(&model, z, 1..3, &DecodeOptions::default()).unwrap();
    assert_eq!(decoded(&first), decoded(&z));
}

/// A part of the images is decoded as it is among all.
#[test]
fn a_part_is_decoded_as_the_whole() {
    let (model, images) = (model(), images(3));
    let z = z_of(&encode(&model, &images, 0..3, &options(false)).unwrap());
    let two = |first| DecodeOptions {
        layers: Some(2),
        first,
        ..DecodeOptions::default()
    };
    let all = decode(&model, &z, 0..3, &two(0)).unwrap();
    let last: Z = z
        .iter()
        .map(|(&layer, array)| {
            let each = array.values.len() / 3;
            let mut shape = array.shape.clone();
            shape[0] = 1;
            let values = array.values[2 * each..].to_vec();
            (layer, FloatArray { shape, values })
        })
        .collect();
    assert_eq!(
        decode(&model, &last, 0..1, &two(2)).unwrap(),
        all[2 * IMAGE..]
    );
}
