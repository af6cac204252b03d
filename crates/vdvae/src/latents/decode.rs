//! Latents to images.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::Tensor;

use super::error::LatentsError;
use super::{FloatArray, rows};
use crate::models::LatentLayer;
use crate::models::hierarchy::{Latents, LayerLatents, Noise};
use crate::random::{Keys, Purpose};
use crate::trained::TrainedModel;

/// Latents by layer, [N, R, R, Z] each, the same N images in all.
pub type Z = BTreeMap<usize, FloatArray>;

/// Which latents are used.
#[derive(Clone, Debug, Default)]
pub struct DecodeOptions {
    /// So many layers from the top as given, the rest from the prior; `None`: as many as there are.
    pub layers: Option<usize>,
    /// Temperatures of the layers from the prior, one per layer from the top of all, the last one for
    /// those after it; none: 1.
    pub temperatures: Vec<f32>,
    /// Of the noise of the prior and the pixels.
    pub seed: u64,
    /// The number of the first image of the latents, where they are a part: an image's noise is that of its
    /// number.
    pub first: usize,
    /// The likelihood's most likely pixels in place of a draw: an image without the pixels' noise.
    pub mode: bool,
}

/// Decodes the images `items` of `z`, as bytes [n, S, S, C].
///
/// # Errors
/// If a layer is missing, of another shape than the model's, or has a number that is not finite.
///
/// # Example
/// See [the module](super).
pub fn decode(
    model: &TrainedModel,
    z: &Z,
    items: Range<usize>,
    options: &DecodeOptions,
) -> Result<Vec<u8>, LatentsError> {
    let keys = keys(&items, options, Purpose::Pixels);
    let parameters = decode_parameters(model, z, items, options)?;
    let likelihood = model.plan.likelihood();
    Ok(if options.mode {
        likelihood.mode(parameters)
    } else {
        likelihood.sample(parameters, keys.generators(0))
    })
}

/// The likelihood's parameters of the images `items` of `z`, [n, S, S, P]: with the latents of all layers
/// as [`encode`](super::encode) gave them, those of the image's own reconstruction to the bit.
///
/// # Errors
/// As [`decode`].
pub fn decode_parameters(
    model: &TrainedModel,
    z: &Z,
    items: Range<usize>,
    options: &DecodeOptions,
) -> Result<Tensor<4>, LatentsError> {
    let layers = check(model, z, options)?;
    let shapes = model.plan.latents()?;
    let given = shapes.into_iter().take(layers).enumerate();
    let given = given.map(|(layer, shape)| {
        let (first, count) = (items.start, items.len());
        LayerLatents::Given(rows(&z[&layer], first, count, shape, &model.device))
    });
    let noise = Noise::Keyed(keys(&items, options, Purpose::Reconstruction));
    let latents = Latents::first(given.collect(), &options.temperatures, noise);
    let hierarchy = model.model.hierarchy()?;
    Ok(hierarchy.decode(items.len(), None, &mut &latents))
}

fn keys(items: &Range<usize>, options: &DecodeOptions, purpose: Purpose) -> Keys {
    let numbers = items.clone().map(|item| (options.first + item) as u64);
    Keys::new(options.seed, purpose, numbers)
}

/// Checks that `z` has the first layers that are to be decoded, of the model's shapes and finite; returns how
/// many these are.
///
/// # Errors
/// As [`decode`].
pub fn check(model: &TrainedModel, z: &Z, options: &DecodeOptions) -> Result<usize, LatentsError> {
    let shapes = z.iter().map(|(&layer, array)| (layer, &*array.shape));
    let layers = check_shapes(model, &shapes.collect(), options.layers)?;
    for (&layer, array) in z.range(..layers) {
        let Some(at) = array.values.iter().position(|value| !value.is_finite()) else {
            continue;
        };
        let each: usize = array.shape[1..].iter().product();
        return Err(LatentsError::NotFinite {
            name: name(layer),
            value: array.values[at],
            image: options.first + at / each,
        });
    }
    Ok(layers)
}

/// Checks that these are the shapes of the first `layers` layers (`None`: all that are there) of the model, for
/// the same number of images; returns how many layers that are. A layer is [N, R, R, Z], or, with channels
/// first, [N, Z, R, R].
///
/// # Errors
/// As [`decode`].
pub fn check_shapes(
    model: &TrainedModel,
    shapes: &BTreeMap<usize, &[usize]>,
    layers: Option<usize>,
) -> Result<usize, LatentsError> {
    let all = model.plan.latents()?;
    let there = shapes.keys().next_back().map_or(0, |last| last + 1);
    let layers = layers.unwrap_or(there);
    if layers > all.len() {
        return Err(LatentsError::TooManyLayers {
            depth: all.len(),
            found: layers,
        });
    }
    let images = shapes.values().next().and_then(|shape| shape.first());
    let images = images.copied().unwrap_or(0);
    for (layer, &expected) in all.iter().enumerate().take(layers) {
        let found = shapes.get(&layer).ok_or_else(|| missing(shapes, layer))?;
        check_layer(layer, found, images, expected)?;
    }
    Ok(layers)
}

fn missing(z: &BTreeMap<usize, &[usize]>, layer: usize) -> LatentsError {
    let found: Vec<String> = z.keys().map(usize::to_string).collect();
    LatentsError::MissingLayer {
        name: name(layer),
        found: format!("the layers {}", found.join(", ")),
        remedy: match layer {
            0 => "Layers are decoded from the top, 0: encode again without --layers".to_owned(),
            above => format!(
                "Decode the layers above it alone (--layers {above}), or encode again without --layers"
            ),
        },
    }
}

fn check_layer(
    layer: usize,
    found: &[usize],
    images: usize,
    LatentLayer {
        resolution: side,
        channels: zdim,
    }: LatentLayer,
) -> Result<(), LatentsError> {
    let expected = vec![images, side, side, zdim];
    if found == expected || found == [images, zdim, side, side] {
        return Ok(());
    }
    let same_model = found.get(1..) == Some(&expected[1..]);
    Err(LatentsError::Shape {
        name: name(layer),
        expected,
        found: found.to_vec(),
        remedy: if same_model {
            "All layers must be of the same images"
        } else {
            "Axes are images, rows, columns, channels (or, channels first, images, channels, rows, columns); other numbers are latents of another model: give the run that encoded them"
        },
    })
}

/// The name of a layer's latents in files.
pub(super) fn name(layer: usize) -> String {
    format!("layer_{layer:03}/z")
}
