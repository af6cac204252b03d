//! How long the program's own work takes: the same calls as training, evaluation and sampling make, on
//! random images and fresh weights.

pub mod profile;

use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Device;
use clap::ValueEnum;
use rand::Rng;
use serde::Serialize;

use crate::architecture::Operations;
use crate::config::Config;
use crate::likelihood::values;
use crate::models::vdvae::{Latents, Noise, Vdvae};
use crate::models::{Model, PosteriorLatents};
use crate::ops::Compute;
use crate::preprocess::Prepared;
use crate::random::{Keys, Purpose, generator};
use crate::run_dir::{build, preprocess};
use crate::train::{TrainState, train_step};

/// The temperature of the samples; it changes no time.
const TEMPERATURE: f32 = 0.9;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// A whole training step: forward, backward, clipping, AdamW, moving average.
    Train,
    /// The bound of a batch, with drawn latents and without gradients.
    Eval,
    /// Samples from the prior, up to the parameters of the pixels' distribution.
    Sample,
}

impl Task {
    /// The operations of one image.
    pub fn operations(self, operations: &Operations) -> f64 {
        match self {
            Self::Train => operations.training,
            Self::Eval => operations.evaluation,
            Self::Sample => operations.sample,
        }
    }
}

/// One step after the other of a task.
pub struct Bench<'a> {
    /// What a step does.
    pub task: Task,
    /// Of which model, trained how.
    pub config: &'a Config,
    /// Images in a step.
    pub batch: usize,
    /// Whether samples are drawn to the pixels.
    pub pixels: bool,
    /// How it computes.
    pub compute: Compute,
    /// Where it computes; without autodiff.
    pub device: &'a Device,
}

impl Bench<'_> {
    /// Makes `warmup` steps, calls `ready`, makes `steps` more; returns the seconds of each of these.
    ///
    /// # Errors
    /// If the configuration describes no possible architecture, or the device fails.
    pub fn run(&self, warmup: u64, steps: u64, ready: impl FnOnce()) -> Result<Vec<f64>> {
        let mut step = self.step()?;
        let mut timed = |number| -> Result<f64> {
            let start = Instant::now();
            step(number);
            self.device.sync().context("the device failed")?;
            Ok(start.elapsed().as_secs_f64())
        };
        for number in 0..warmup {
            timed(number)?;
        }
        ready();
        (warmup..warmup + steps).map(timed).collect()
    }

    /// What is timed: called with the number of the step.
    fn step(&self) -> Result<Box<dyn FnMut(u64)>> {
        let (batch, pixels) = (self.batch, self.pixels);
        let keys = move |purpose, step| Keys {
            seed: 0,
            purpose,
            step,
            items: (0..batch as u64).collect(),
        };
        Ok(match self.task {
            Task::Train => {
                let device = self.device.clone().autodiff();
                let images = self.images(&device)?;
                let mut config = self.config.train.clone();
                // Random images may have any gradient; an update that is skipped would take no time.
                config.skip_threshold = -1.0;
                let mut state = Some(TrainState::new(self.model(&device)?));
                Box::new(move |step| {
                    let batch = [(images.clone(), keys(Purpose::Training, step))];
                    state = state
                        .take()
                        .map(|state| train_step(state, &config, batch.into_iter()).0);
                })
            }
            Task::Eval => {
                let (model, images) = (self.model(self.device)?, self.images(self.device)?);
                Box::new(move |step| {
                    let latents = PosteriorLatents::Drawn(keys(Purpose::Evaluation, step));
                    values(Model::elbo(&model, images.clone(), latents).total());
                })
            }
            Task::Sample => {
                let model = self.model(self.device)?;
                Box::new(move |step| {
                    let noise = Noise::Keyed(keys(Purpose::Sample, step));
                    let latents = Latents::prior(&[TEMPERATURE], noise);
                    let parameters = model.decode(batch, None, &latents);
                    if pixels {
                        let generators = keys(Purpose::Pixels, step).generators(0);
                        model.likelihood().sample(parameters, generators);
                    }
                })
            }
        })
    }

    fn model(&self, device: &Device) -> Result<Vdvae> {
        let model = build(self.config, self.config.train.seed, device)?;
        Ok(model.computing(self.compute))
    }

    /// Random bytes as images, normalised.
    fn images(&self, device: &Device) -> Result<Prepared> {
        let mut config = self.config.clone();
        // Mean and standard deviation of random bytes, where the configuration has no others.
        config.data.shift.get_or_insert(-127.5);
        config.data.scale.get_or_insert(1.0 / 73.9);
        let preprocess = preprocess(&config)?;
        let mut bytes =
            vec![0; self.batch * preprocess.image_size.pow(2) * preprocess.image_channels];
        generator(0, Purpose::Training, 0, 0).fill_bytes(&mut bytes);
        let keys = Keys {
            seed: 0,
            purpose: Purpose::Binarization,
            step: 0,
            items: (0..self.batch as u64).collect(),
        };
        Ok(preprocess.apply(&bytes, &keys, device))
    }
}
