//! The network's activations, for other tasks to learn from.

use std::collections::BTreeMap;
use std::ops::Range;

use vdvae_models::Cannot;

use super::{FloatArray, array};
use crate::models::hierarchy::{Latents, StateAfter};
use crate::random::{Keys, Purpose};
use crate::trained::TrainedModel;

/// Activations of N images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// By name: the encoder's activations [N, R, R, C], such as `encoder_RRR/activation`, the last one at
    /// each resolution R,
    /// and `decoder_LLL/state` [N, R, R, C], what layer L of the decoder leaves at its resolution. Each
    /// also as `.../pooled` [N, C], the mean over the pixels.
    pub arrays: BTreeMap<String, FloatArray>,
}

/// Activations of `images`, [N, S, S, C] bytes: all of the encoder, and the decoder's after layer
/// `layer` (counted from 0 at the top), with the posterior's means as latents, so that nothing is random
/// but the binarization of binary images. `items` number the images for that.
///
/// ```
/// # use vdvae::{config::Config, device, trained::TrainedModel};
/// use vdvae::latents::features;
/// # let mut config = Config::preset("photos32")?;
/// # config.apply_overrides(&["model.width=16", "data.shift=-127.5", "data.scale=0.0157"])?;
/// # let model = TrainedModel::untrained(config, device::parse("cpu")?)?;
///
/// let seen = features(&model, &vec![128; 2 * 32 * 32 * 3], 0..2, 3)?;
/// assert_eq!(seen.arrays["encoder_008/activation"].shape, [2, 8, 8, 16]);
/// assert_eq!(seen.arrays["decoder_003/state"].shape, [2, 8, 8, 16]);
/// assert_eq!(seen.arrays["decoder_003/pooled"].shape, [2, 16]);
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If the model has no latents.
///
/// # Panics
/// If the decoder has no such layer.
pub fn features(
    model: &TrainedModel,
    images: &[u8],
    items: Range<u64>,
    layer: usize,
) -> Result<Features, Cannot> {
    let hierarchy = model.model.hierarchy()?;
    let depth = hierarchy.depth();
    assert!(layer < depth, "layer {layer} of {depth}");
    let keys = Keys::new(0, Purpose::Binarization, items);
    let prepared = model.preprocess.apply(images, &keys, &model.device);
    let activations = hierarchy.encode(prepared.input);
    let latents = Latents::posterior_mean();
    let mut state = StateAfter::new(&latents, layer);
    hierarchy.top_down(keys.items.len(), Some(&activations), &mut state);
    let mut features = Features::default();
    for (number, activation) in activations {
        features.add(
            &hierarchy.activation_name(number),
            "activation",
            array(activation),
        );
    }
    let state = state.state.expect("the loop passes every layer");
    features.add(&format!("decoder_{layer:03}"), "state", array(state));
    Ok(features)
}

impl Features {
    /// Adds the images of `other`, another batch, after those of this one.
    pub fn append(&mut self, other: Self) {
        for (name, array) in other.arrays {
            self.arrays.entry(name).or_default().append(array);
        }
    }

    fn add(&mut self, place: &str, what: &str, array: FloatArray) {
        self.arrays
            .insert(format!("{place}/pooled"), pooled(&array));
        self.arrays.insert(format!("{place}/{what}"), array);
    }
}

/// [N, R, R, C] to its mean over the pixels, [N, C].
fn pooled(array: &FloatArray) -> FloatArray {
    let (images, channels) = (array.shape[0], array.shape[3]);
    let pixels = array.shape[1] * array.shape[2];
    let mean = |image: &[f32]| -> Vec<f32> {
        let mut sums = vec![0.0_f64; channels];
        for pixel in image.chunks_exact(channels) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += f64::from(value);
            }
        }
        sums.iter()
            .map(|sum| (sum / pixels as f64) as f32)
            .collect()
    };
    FloatArray {
        shape: vec![images, channels],
        values: array
            .values
            .chunks_exact(pixels * channels)
            .flat_map(mean)
            .collect(),
    }
}
