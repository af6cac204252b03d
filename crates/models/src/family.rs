//! What every family of models is to the rest: a name with presets, plans, models.

use std::collections::BTreeSet;
use std::fmt::Debug;

use burn::tensor::{Device, Tensor};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Table;

use crate::hierarchy::Hierarchy;
use crate::likelihood::Likelihood;
use crate::ops::Compute;
use crate::ordered::Ordered;
use crate::parameters::{Parameters, Role, TensorSpec};
use crate::preprocess::{Normalisation, Prepared, Preprocess};
use crate::published::Published;
use crate::random::Noise;
use crate::verify::{Compared, Recording, Setting, VerifyError};

/// A kind of model: what its configurations may say, and what comes with the program.
pub trait Family: Debug + Sync {
    /// As in `[model] family = "..."` and in `family/preset`.
    fn name(&self) -> &'static str;

    /// In words, with the source.
    fn title(&self) -> &'static str;

    /// Complete experiments. There is at least one.
    fn presets(&self) -> &'static [Preset];

    /// `values` with a default for every key of `[model]` that is not given, in the order in which they
    /// are written.
    ///
    /// # Errors
    /// If a key is missing, unknown or of the wrong type.
    fn complete(&self, values: Table) -> Result<Table, ModelError>;

    /// What follows from complete values.
    ///
    /// # Errors
    /// If they describe no possible model.
    fn plan(&self, values: &Table) -> Result<Box<dyn Plan>, ModelError>;

    /// The one file in which its published code keeps everything of a checkpoint; none where weights, their
    /// average and the state of AdamW are files of their own, dictionaries by the names of a plan's tensors.
    fn published(&self) -> Option<&'static dyn Published> {
        None
    }
}

/// A complete, commented experiment that is part of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The family's name.
    pub family: &'static str,
    /// Its own, unique in the family.
    pub name: &'static str,
    /// The whole file, with its comments.
    pub text: &'static str,
}

impl Preset {
    /// `family/name`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.family, self.name)
    }

    /// What it is, in one line: the first comment of the file.
    pub fn description(&self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default();
        first.trim_start_matches(['#', ' '])
    }
}

/// `configs/FAMILY/NAME.toml`, embedded.
macro_rules! preset {
    ($family:literal, $name:literal) => {
        $crate::family::Preset {
            family: $family,
            name: $name,
            text: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../configs/",
                $family,
                "/",
                $name,
                ".toml"
            )),
        }
    };
}
pub(crate) use preset;

/// A `[model]` table that describes no possible model. The message names the key, what was expected and
/// what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ModelError(pub String);

/// [`Family::complete`] for a family whose values are a `C`.
///
/// # Errors
/// As there.
pub fn complete<C: Serialize + DeserializeOwned>(values: Table) -> Result<Table, ModelError> {
    let typed = read::<C>(&values)?;
    Table::try_from(typed).map_err(|error| ModelError(error.to_string()))
}

/// The values as a `C`.
///
/// # Errors
/// If a key is missing, unknown or of the wrong type.
pub fn read<C: DeserializeOwned>(values: &Table) -> Result<C, ModelError> {
    let typed = C::deserialize(toml::Value::Table(values.clone()));
    typed.map_err(|error| ModelError(with_key(&error)))
}

/// The message, after the key that it is about: that is told by the error in whole alone, in its last line.
fn with_key(error: &toml::de::Error) -> String {
    let (whole, message) = (error.to_string(), error.message());
    let last = whole.strip_prefix(message).map(str::trim);
    let key = last.and_then(|last| last.strip_prefix("in `")?.strip_suffix('`'));
    match key {
        Some(key) => format!("model.{key}: {message}"),
        None => message.to_owned(),
    }
}

/// What a model cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}. {instead}")]
pub struct Cannot {
    /// What was asked for, such as `compress`.
    pub what: &'static str,
    /// Why this model cannot.
    pub why: String,
    /// What works in its place.
    pub instead: String,
}

/// Side and channels of the images that a model is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ImageShape {
    /// Side in pixels; images are square.
    pub size: usize,
    /// 3 (RGB) or 1.
    pub channels: usize,
}

impl ImageShape {
    /// Values of an image.
    pub fn len(&self) -> usize {
        self.size * self.size * self.channels
    }

    /// No image is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What bits per dimension of a model mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Exactness {
    /// The negative log-likelihood itself.
    Exact,
    /// An upper bound of it.
    Bound,
}

/// How images are compressed with a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coding {
    /// Latents give back the bits that choosing them took (Townsend et al., ICLR 2019).
    BitsBack,
    /// Pixel after pixel, each given those before it.
    InOrder,
}

/// One layer of latent variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LatentLayer {
    /// Side of its grid R.
    pub resolution: usize,
    /// Latent variables Z at each of its R x R places.
    pub channels: usize,
}

impl LatentLayer {
    /// Latent variables of an image.
    pub fn len(&self) -> usize {
        self.resolution * self.resolution * self.channels
    }

    /// No layer is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The latent variables at one resolution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatentShare {
    /// The resolution.
    pub resolution: usize,
    /// Stochastic layers there.
    pub layers: usize,
    /// Latent variables there, for one image.
    pub latents: u64,
    /// Share of all latent variables up to and with this resolution, from 0 to 1.
    pub cumulative_share: f64,
}

impl LatentShare {
    /// The latent variables of every resolution, ascending.
    pub fn all(layers: &[LatentLayer]) -> Vec<Self> {
        let resolutions: BTreeSet<usize> = layers.iter().map(|layer| layer.resolution).collect();
        let total: usize = layers.iter().map(LatentLayer::len).sum();
        let mut so_far = 0;
        let share = |resolution| {
            let there = layers.iter().filter(|layer| layer.resolution == resolution);
            let latents: usize = there.clone().map(LatentLayer::len).sum();
            so_far += latents;
            Self {
                resolution,
                layers: there.count(),
                latents: latents as u64,
                cumulative_share: so_far as f64 / total as f64,
            }
        };
        resolutions.into_iter().map(share).collect()
    }
}

/// Operations of the products for one image, two for every multiply-add; exact up to 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Operations {
    /// One sample.
    pub sample: f64,
    /// One evaluation.
    pub evaluation: f64,
    /// One training step: an evaluation, and twice that for the two gradients of a product.
    pub training: f64,
}

/// Everything that follows from a checked configuration, without weights.
pub trait Plan: Debug + Send + Sync {
    /// What the model is of.
    fn image(&self) -> ImageShape;

    /// Values of an image that its likelihood measures: what nats and bits per dimension are divided by.
    fn dimensions(&self) -> usize {
        self.image().len()
    }

    /// Every tensor of the model with its name and shape in files, in the published order.
    fn tensors(&self) -> Vec<TensorSpec>;

    /// Number of learned values, exactly.
    fn parameters(&self) -> u64 {
        let weights = self.tensors().into_iter();
        let weights = weights.filter(|tensor| tensor.role == Role::Weight);
        let size = |tensor: TensorSpec| tensor.shape.iter().map(|&n| n as u64).product::<u64>();
        weights.map(size).sum()
    }

    /// The arithmetic for one image.
    fn operations(&self) -> Operations;

    /// Numbers kept per image between the forward and the backward pass; `checkpointed`: as few as the
    /// model can do with.
    fn activations(&self, checkpointed: bool) -> u64;

    /// What its bits per dimension are.
    fn exactness(&self) -> Exactness;

    /// Evaluations of the network that a sample takes; where pixels come one after the other, those of the plain
    /// sampler: with what is kept of earlier pixels, all together are the arithmetic of one.
    fn passes_per_sample(&self) -> u64;

    /// Kinds of images that the model tells apart and can be asked for; 0: none.
    fn classes(&self) -> usize {
        0
    }

    /// The layers of latent variables, top to bottom.
    ///
    /// # Errors
    /// If there are none.
    fn latents(&self) -> Result<Vec<LatentLayer>, Cannot>;

    /// How images are compressed.
    ///
    /// # Errors
    /// If they cannot be.
    fn coding(&self) -> Result<Coding, Cannot>;

    /// Whether it makes an image pixel after pixel, as [`Model::ordered`] does.
    ///
    /// # Errors
    /// If not.
    fn ordered(&self) -> Result<(), Cannot> {
        match self.coding() {
            Ok(Coding::InOrder) => Ok(()),
            _ => Err(all_at_once()),
        }
    }

    /// Whether the model can be computed in this way.
    ///
    /// # Errors
    /// If not.
    fn computes(&self, _: &Compute) -> Result<(), Cannot> {
        Ok(())
    }

    /// The distribution of the pixels.
    fn likelihood(&self) -> Likelihood;

    /// Whether the network reads images normalised by the statistics of a training set.
    fn is_normalised(&self) -> bool;

    /// How bytes become what the network reads and what the likelihood measures.
    ///
    /// # Panics
    /// If the images [are normalised](Self::is_normalised) and no normalisation is given.
    fn preprocess(&self, normalisation: Option<Normalisation>) -> Preprocess;

    /// What else a person would want to know, a line each: name and value.
    fn details(&self) -> Vec<(&'static str, String)>;

    /// What sets it apart from the published models of the family, in a few words; empty: nothing.
    fn variant(&self) -> String {
        String::new()
    }

    /// Everything that the model's outputs are a function of, beside its weights and the normalisation.
    fn identity(&self) -> Vec<u8>;

    /// Compares a model of these weights with recorded numbers, see [`crate::verify`].
    ///
    /// # Errors
    /// If the recording is not one of such a model.
    fn verify(
        &self,
        recording: &Recording,
        setting: &Setting,
    ) -> Result<Vec<Compared>, VerifyError>;

    /// A model with fresh weights, a function of `seed`.
    fn build(&self, seed: u64, device: &Device) -> Box<dyn Model>;
}

/// Which latents of the posterior a cost is measured with. Models without latents do not look at it.
#[derive(Clone, Debug)]
pub enum PosteriorLatents {
    /// Drawn, with this noise.
    Drawn(Noise),
    /// Drawn, and weighed for the importance-weighted bound.
    Weighed(Noise),
    /// The posterior's means.
    Mean,
}

/// What each image of a batch costs, in its parts. Nats per dimension; a dimension is one value of one
/// pixel.
#[derive(Debug)]
pub struct Cost {
    /// Negative log-likelihood of the image given the latents, `[B]`; of a model without latents all there
    /// is.
    pub distortion: Tensor<1>,
    /// KL divergence of each layer from the prior, top to bottom, `[B]` each; `None` for layers whose
    /// latents are not from the posterior.
    pub rate_per_layer: Vec<Option<Tensor<1>>>,
    /// ln q(z | x) - ln p(z) at the drawn latents, `[B]`, whose expectation is the rate; only of latents
    /// that are [`PosteriorLatents::Weighed`].
    pub log_ratio: Option<Tensor<1>>,
}

impl Cost {
    /// Sum of the layers' KL divergences, `[B]`.
    pub fn rate(&self) -> Tensor<1> {
        let zero = Tensor::zeros_like(&self.distortion);
        self.rate_per_layer
            .iter()
            .flatten()
            .cloned()
            .fold(zero, |sum, layer| sum + layer)
    }

    /// distortion + rate, `[B]`.
    pub fn total(&self) -> Tensor<1> {
        self.distortion.clone() + self.rate()
    }
}

/// Where training stands, for what is annealed or drawn.
#[derive(Clone, Debug)]
pub struct Step {
    /// Of this step's images.
    pub noise: Noise,
    /// Steps made before this one.
    pub number: u64,
    /// Steps in all.
    pub of: u64,
}

/// What a training step minimises.
#[derive(Debug)]
pub struct Loss {
    /// The number to go down, `[1]`: the mean over the batch.
    pub total: Tensor<1>,
    /// What the images cost.
    pub cost: Cost,
    /// What else is in `total`, by name, as it enters there.
    pub terms: Vec<(&'static str, f64)>,
}

/// A model with weights.
pub trait Model: Parameters + Debug + Send + Sync {
    /// Computes like this from now on.
    fn set_compute(&mut self, compute: Compute);

    /// What the images cost.
    fn cost(&self, batch: Prepared, latents: PosteriorLatents) -> Cost;

    /// Chooses what depends on data before the first step, such as scales of weight normalisation: by the first
    /// images of a new run, on the model's device, once. The moving average begins with what comes out.
    fn start(&mut self, _batch: Prepared, _noise: &Noise) {}

    /// What a training step minimises, where that is more than the cost; may change what is no weight, such
    /// as running statistics.
    fn loss(&mut self, batch: Prepared, step: &Step) -> Loss {
        let cost = self.cost(batch, PosteriorLatents::Drawn(step.noise.clone()));
        Loss {
            total: cost.total().mean(),
            cost,
            terms: Vec::new(),
        }
    }

    /// Draws an image for each item of the keys, bytes [B, S, S, C]; `temperatures`: one per layer of
    /// latents, the last one for those after it; none: 1. An image is a function of the seed, its item and
    /// the temperatures.
    fn sample(&self, seed: u64, items: &[u64], temperatures: &[f32]) -> Vec<u8>;

    /// Re-estimates what passes of the network keep, such as running statistics, by so many samples of it, a
    /// batch after the other, at these temperatures.
    ///
    /// # Errors
    /// If it keeps nothing.
    fn readjust(
        &mut self,
        _passes: u64,
        _batch: usize,
        _temperatures: &[f32],
        _seed: u64,
    ) -> Result<(), Cannot> {
        Err(Cannot {
            what: "--readjust-bn",
            why: "the model has no batch norm".to_owned(),
            instead: "Leave it out".to_owned(),
        })
    }

    /// The model as layers of latents.
    ///
    /// # Errors
    /// If it has none.
    fn hierarchy(&self) -> Result<&dyn Hierarchy, Cannot>;

    /// The model as a sequence of pixels.
    ///
    /// # Errors
    /// If it is none.
    fn ordered(&self) -> Result<&dyn Ordered, Cannot> {
        Err(all_at_once())
    }
}

fn all_at_once() -> Cannot {
    Cannot {
        what: "pixel after pixel",
        why: "the model makes all pixels of an image at once".to_owned(),
        instead: "Leave out what is about single pixels".to_owned(),
    }
}
