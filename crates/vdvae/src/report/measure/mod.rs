//! The numbers of a report, gathered once: page, tables and JSON all come from them.

mod channels;
mod history;
mod neighbours;
mod pictures;
mod pixels;
mod run;

use serde::Serialize;

use crate::evaluate::Evaluation;
use crate::log::{TrainEntry, ValidEntry};
use crate::models::LatentShare;

pub use channels::channel_kl;
pub use history::{GradientWindow, UPDATES_PER_WINDOW, gradient_windows};
pub use neighbours::{Distances, NEIGHBOURS_AMONG, Neighbour, nearest};
pub use pictures::{Pictures, Reconstructed, cut, gather_pictures};
pub use pixels::{PixelBits, pixel_bits};
pub use run::{Evenly, measure_run};

/// A channel whose posterior tells less than this many nats about an image, all its positions
/// together, carries no information.
pub const NOTHING_NATS: f64 = 1e-2;

/// Everything in a report but the pictures.
#[derive(Clone, Debug, Serialize)]
pub struct Measurements {
    /// The program's version.
    pub version: &'static str,
    /// The run that the report is about, then those it is compared with.
    pub runs: Vec<RunMeasures>,
    /// How far samples are from the training images; of the first run.
    pub neighbours: Option<Distances>,
}

/// The numbers of one run. What could not be measured is `None` or empty, and `missing` says why.
#[derive(Clone, Debug, Serialize)]
pub struct RunMeasures {
    /// The run's name.
    pub name: String,
    /// Where its images are from.
    pub data: String,
    /// Number of learned values.
    pub parameters: u64,
    /// Stochastic layers.
    pub depth: usize,
    /// Why there are no layers; none where there are.
    pub no_latents: Option<String>,
    /// Passes of the network that one sample takes by the plain sampler.
    pub network_evaluations_per_sample: u64,
    /// Of a model that makes pixel after pixel: the arithmetic of a sample in evaluations, with what is kept of earlier
    /// pixels.
    pub network_evaluations_per_sample_cached: Option<f64>,
    /// How long the samples of the report took.
    pub sampling: Option<Sampling>,
    /// Values of an image: the passes that an autoregressive model takes.
    pub dimensions: usize,
    /// Whether the last update that was asked for is made.
    pub finished: bool,
    /// Updates that were asked for.
    pub steps_asked: u64,
    /// The step that the weights are of.
    pub step: Option<u64>,
    /// Norms of gradients from which updates are skipped; -1: none.
    pub skip_threshold: f64,
    /// The latent variables at each resolution.
    pub latents: Vec<LatentShare>,
    /// Top to bottom.
    pub layers: Vec<LayerMeasures>,
    /// What was evaluated.
    pub evaluation: Option<EvaluationMeasures>,
    /// Of a model that makes pixel after pixel: what the pixels of an image cost.
    pub pixel_bits: Option<PixelBits>,
    /// The training intervals of the log.
    pub training: Vec<TrainEntry>,
    /// The validations of the log.
    pub validation: Vec<ValidEntry>,
    /// The largest norm of a gradient in every so many updates.
    pub gradients: Vec<GradientWindow>,
    /// What the report lacks of this run.
    pub missing: Vec<Missing>,
}

/// An evaluation with what it was made on.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluationMeasures {
    /// Where the images are from.
    pub data: String,
    /// Which of them.
    pub split: String,
    /// How many the split has.
    pub images_in_split: usize,
    /// The means.
    #[serde(flatten)]
    pub means: Evaluation,
}

/// Samples that were drawn, and how long it took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sampling {
    /// How many.
    pub images: usize,
    /// So many at once.
    pub batch: usize,
    /// Wall time of all.
    pub seconds: f64,
}

/// One stochastic layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerMeasures {
    /// From 1 at the top.
    pub layer: usize,
    /// Its side in pixels.
    pub resolution: usize,
    /// Its share of the rate, where it was evaluated.
    pub rate_bits_per_dim: Option<f64>,
    /// The rate of this layer and those above it.
    pub cumulative_rate_bits_per_dim: Option<f64>,
    /// KL divergence of each channel, all positions together, nats per image.
    pub channel_kl_nats: Vec<f64>,
    /// Share of the channels below [`NOTHING_NATS`], from 0 to 1.
    pub share_without_information: Option<f64>,
}

/// A part of the report that there is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// What.
    pub what: String,
    /// Why, and what to do about it.
    pub why: String,
}

impl RunMeasures {
    /// Keeps a value; where there is none, remembers why.
    pub fn keep<T>(&mut self, what: &str, result: anyhow::Result<T>) -> Option<T> {
        result
            .map_err(|error| {
                self.missing.push(Missing {
                    what: what.to_owned(),
                    why: crate::error::message(&error),
                });
            })
            .ok()
    }

    /// Share of the latent channels of all layers that carry no information, from 0 to 1.
    pub fn share_without_information(&self) -> Option<f64> {
        let channels = || self.layers.iter().flat_map(|layer| &layer.channel_kl_nats);
        let count = channels().count();
        let empty = channels().filter(|&&kl| kl < NOTHING_NATS).count();
        (count > 0).then(|| empty as f64 / count as f64)
    }

    /// Share of the rate that the layers up to a resolution have, from 0 to 1.
    pub fn rate_share_up_to(&self, resolution: usize) -> Option<f64> {
        let rate = |layers: &mut dyn Iterator<Item = &LayerMeasures>| -> Option<f64> {
            layers.map(|layer| layer.rate_bits_per_dim).sum()
        };
        let all = rate(&mut self.layers.iter())?;
        let mut up_to = self
            .layers
            .iter()
            .filter(|layer| layer.resolution <= resolution);
        (all > 0.0).then_some(rate(&mut up_to)? / all)
    }
}

#[cfg(test)]
mod tests;
