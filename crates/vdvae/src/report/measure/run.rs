//! The numbers of one run.

use std::sync::Arc;

use anyhow::Result;
use vdvae_data::{DataError, Dataset, ImageShape, ItemRng};

use super::history::{UPDATES_PER_WINDOW, gradient_windows};
use super::{EvaluationMeasures, LayerMeasures, Missing, NOTHING_NATS, RunMeasures};
use crate::config::Config;
use crate::evaluate::EvaluateOptions;
use crate::evenly::evenly;
use crate::likelihood::units::bits;
use crate::log;
use crate::models::{LatentShare, Plan};
use crate::run_dir::RunDir;
use crate::trained::TrainedModel;

/// Images whose channels or pixels are looked into.
const CHANNEL_IMAGES: usize = 64;

/// Some images of a data set, evenly spaced.
pub struct Evenly {
    inner: Arc<dyn Dataset>,
    indices: Vec<usize>,
}

impl Evenly {
    /// At most `count` images of `inner`; all of them where there are no more.
    pub fn new(inner: Arc<dyn Dataset>, count: usize) -> Self {
        let indices = evenly(inner.len(), count);
        Self { inner, indices }
    }
}

impl Dataset for Evenly {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn image(&self) -> ImageShape {
        self.inner.image()
    }

    fn read(&self, index: usize, rng: &mut ItemRng, out: &mut [u8]) -> Result<(), DataError> {
        self.inner.read(self.indices[index], rng, out)
    }

    fn name(&self, index: usize) -> String {
        self.inner.name(self.indices[index])
    }

    fn class(&self, index: usize) -> Option<usize> {
        self.inner.class(self.indices[index])
    }
}

/// What configuration and log tell of a run.
///
/// # Errors
/// If the folder holds no run.
pub fn measure_run(run: &RunDir) -> Result<RunMeasures> {
    let config = run.load_config()?;
    let plan = config.plan()?;
    let mut measures = structure(run, &config, &*plan);
    let entries = match run.log().exists() {
        true => measures.keep(
            "training history",
            log::read(&run.log()).map_err(Into::into),
        ),
        false => {
            measures.missing.push(Missing {
                what: "training history".to_owned(),
                why: format!("{}: no log is there", run.log().display()),
            });
            None
        }
    };
    (measures.training, measures.validation) = log::split(entries.unwrap_or_default());
    let last = measures.training.last().map_or(0, |entry| entry.step);
    measures.finished = last >= config.train.steps;
    measures.gradients = gradient_windows(&measures.training, UPDATES_PER_WINDOW);
    Ok(measures)
}

fn structure(run: &RunDir, config: &Config, plan: &dyn Plan) -> RunMeasures {
    // Of a model without latents there are no layers to tell of.
    let (latents, no_latents) = match plan.latents() {
        Ok(latents) => (latents, None),
        Err(cannot) => (Vec::new(), Some(cannot.to_string())),
    };
    let operations = plan.operations();
    let cached = operations.sample / operations.evaluation;
    RunMeasures {
        name: run.name(),
        data: config.data.source.clone(),
        parameters: plan.parameters(),
        depth: latents.len(),
        no_latents,
        network_evaluations_per_sample: plan.passes_per_sample(),
        network_evaluations_per_sample_cached: plan.ordered().is_ok().then_some(cached),
        sampling: None,
        dimensions: plan.dimensions(),
        finished: false,
        steps_asked: config.train.steps,
        step: None,
        skip_threshold: config.train.skip_threshold,
        latents: LatentShare::all(&latents),
        layers: (1..)
            .zip(&latents)
            .map(|(layer, shape)| LayerMeasures {
                layer,
                resolution: shape.resolution,
                rate_bits_per_dim: None,
                cumulative_rate_bits_per_dim: None,
                channel_kl_nats: Vec::new(),
                share_without_information: None,
            })
            .collect(),
        evaluation: None,
        pixel_bits: None,
        training: Vec::new(),
        validation: Vec::new(),
        gradients: Vec::new(),
        missing: Vec::new(),
    }
}

impl RunMeasures {
    /// Evaluates at most `options.limit` images, evenly spaced, of `dataset`, which is `split` of
    /// `data`. Calls `progress` with the number of images done.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn evaluate(
        &mut self,
        model: &TrainedModel,
        (data, split, dataset): (String, String, Arc<dyn Dataset>),
        options: &EvaluateOptions,
        progress: impl FnMut(usize),
    ) -> Result<()> {
        let images_in_split = dataset.len();
        let some: Arc<dyn Dataset> = Arc::new(Evenly::new(dataset.clone(), options.limit));
        let means = model.evaluate(some, options, progress)?;
        self.set_rates(&means.rate_nats_per_dim_per_layer);
        let count = CHANNEL_IMAGES.min(options.limit);
        if !self.layers.is_empty() {
            let (batch, seed) = (options.batch, options.seed);
            self.set_channels(super::channel_kl(model, &*dataset, count, batch, seed)?);
        }
        if model.plan.ordered().is_ok() {
            let measured = super::pixel_bits(model, &*dataset, count, options.batch)?;
            self.pixel_bits = Some(measured);
        }
        self.evaluation = Some(EvaluationMeasures {
            data,
            split,
            images_in_split,
            means,
        });
        Ok(())
    }

    /// Nats per dimension, top to bottom.
    pub(super) fn set_rates(&mut self, nats: &[f64]) {
        let mut cumulative = 0.0;
        for (layer, &nats) in self.layers.iter_mut().zip(nats) {
            cumulative += bits(nats);
            layer.rate_bits_per_dim = Some(bits(nats));
            layer.cumulative_rate_bits_per_dim = Some(cumulative);
        }
    }

    pub(super) fn set_channels(&mut self, channels: Vec<Vec<f64>>) {
        for (layer, channels) in self.layers.iter_mut().zip(channels) {
            let empty = channels.iter().filter(|&&kl| kl < NOTHING_NATS).count();
            layer.share_without_information = Some(empty as f64 / channels.len() as f64);
            layer.channel_kl_nats = channels;
        }
    }
}
