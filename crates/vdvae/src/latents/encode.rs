//! Images to latents, with all that their layers saw.

use std::collections::BTreeMap;
use std::ops::Range;

use vdvae_models::Cannot;

use super::{FloatArray, array};
use crate::models::LatentLayer;
use crate::models::hierarchy::{Latents, LayerRecord, Noise, Recorder};
use crate::random::{Keys, Purpose};
use crate::trained::TrainedModel;

/// What to draw and to keep.
#[derive(Clone, Debug)]
pub struct EncodeOptions {
    /// The layers to keep, counted from 0 at the top; all layers' latents are from the posterior
    /// whatever is kept. Layers beyond the last are none.
    pub layers: Range<usize>,
    /// The posterior's means instead of draws.
    pub mean: bool,
    /// Of the latents' noise. Latents are those of `vdvae reconstruct` with the same seed.
    pub seed: u64,
}

impl Default for EncodeOptions {
    /// Draws of all layers, seed 0.
    fn default() -> Self {
        Self {
            layers: 0..usize::MAX,
            mean: false,
            seed: 0,
        }
    }
}

/// What one layer saw of N images. Everything is [N, R, R, Z] but `kl_per_image`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EncodedLayer {
    /// The latents.
    pub z: FloatArray,
    /// Mean of q(z | the layers above, x).
    pub posterior_mean: FloatArray,
    /// Natural logarithm of its standard deviation.
    pub posterior_log_sigma: FloatArray,
    /// Mean of p(z | the layers above).
    pub prior_mean: FloatArray,
    /// Natural logarithm of its standard deviation.
    pub prior_log_sigma: FloatArray,
    /// KL divergence of each latent variable, nats.
    pub kl: FloatArray,
    /// Its sum over each image, nats, `[N]`.
    pub kl_per_image: FloatArray,
}

/// The names in files of what a layer saw.
pub const ARRAYS: [&str; 7] = [
    "z",
    "posterior_mean",
    "posterior_log_sigma",
    "prior_mean",
    "prior_log_sigma",
    "kl",
    "kl_per_image",
];

/// What the layers saw, by their number.
pub type Layers = BTreeMap<usize, EncodedLayer>;

/// Encodes `images`, [N, S, S, C] bytes. `items` number them for their noise, so that a large set can be
/// encoded in batches: the noise of an image depends on its number, not on the batch.
///
/// # Errors
/// If the model has no latents.
///
/// # Example
/// See [the module](super).
pub fn encode(
    model: &TrainedModel,
    images: &[u8],
    items: Range<u64>,
    options: &EncodeOptions,
) -> Result<Layers, Cannot> {
    let keys = |purpose| Keys::new(options.seed, purpose, items.clone());
    let binarization = keys(Purpose::Binarization);
    let prepared = model.preprocess.apply(images, &binarization, &model.device);
    let latents = if options.mean {
        Latents::posterior_mean()
    } else {
        Latents::posterior(Noise::Keyed(keys(Purpose::Reconstruction)))
    };
    let mut recorder = Recorder::new(&latents);
    let batch = binarization.items.len();
    let hierarchy = model.model.hierarchy()?;
    let activations = hierarchy.encode(prepared.input);
    hierarchy.top_down(batch, Some(&activations), &mut recorder);
    let layers = recorder.layers.into_iter().enumerate();
    Ok(layers
        .filter(|(layer, _)| options.layers.contains(layer))
        .filter_map(|(layer, record)| Some((layer, EncodedLayer::of(record)?)))
        .collect())
}

impl EncodedLayer {
    /// `None` if no image was encoded.
    fn of(record: LayerRecord) -> Option<Self> {
        let zdim = record.z.dims()[3];
        let kl = array(record.kl_per_element()?);
        let kl_per_image = array(record.kl()?);
        let posterior = record.posterior?;
        let prior = record.prior;
        Some(Self {
            z: array(record.z),
            posterior_mean: array(posterior.clone().narrow(3, 0, zdim)),
            posterior_log_sigma: array(posterior.narrow(3, zdim, zdim)),
            prior_mean: array(prior.clone().narrow(3, 0, zdim)),
            prior_log_sigma: array(prior.narrow(3, zdim, zdim)),
            kl,
            kl_per_image,
        })
    }

    /// The shape of an array of `images` images at a layer.
    pub fn shape(array: &str, images: usize, layer: LatentLayer) -> Vec<usize> {
        let LatentLayer {
            resolution: side,
            channels,
        } = layer;
        match array {
            "kl_per_image" => vec![images],
            _ => vec![images, side, side, channels],
        }
    }

    /// Every array with its name in files, as [`ARRAYS`] has them.
    pub fn arrays(&self) -> [(&'static str, &FloatArray); 7] {
        let arrays = [
            &self.z,
            &self.posterior_mean,
            &self.posterior_log_sigma,
            &self.prior_mean,
            &self.prior_log_sigma,
            &self.kl,
            &self.kl_per_image,
        ];
        std::array::from_fn(|index| (ARRAYS[index], arrays[index]))
    }

    /// Adds the images of `other`, the same layer of another batch, after those of this one.
    pub fn append(&mut self, other: Self) {
        self.z.append(other.z);
        self.posterior_mean.append(other.posterior_mean);
        self.posterior_log_sigma.append(other.posterior_log_sigma);
        self.prior_mean.append(other.prior_mean);
        self.prior_log_sigma.append(other.prior_log_sigma);
        self.kl.append(other.kl);
        self.kl_per_image.append(other.kl_per_image);
    }
}
