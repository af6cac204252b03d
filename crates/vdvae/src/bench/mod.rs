//! How long the program's own work takes: the same calls as training, evaluation and sampling make, on
//! random images and fresh weights.

pub mod profile;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Device;
use clap::ValueEnum;
use rand::Rng;
use serde::Serialize;

use crate::config::Config;
use crate::likelihood::values;
use crate::models::hierarchy::{Latents, Noise};
use crate::models::ordered::Turn;
use crate::models::state::TrainState;
use crate::models::step::train_step;
use crate::models::{Model, Operations, Ordered, Plan, PosteriorLatents};
use crate::ops::Compute;
use crate::parameters::Specs;
use crate::preprocess::{Normalisation, Prepared};
use crate::random::{Keys, Purpose, generator};

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
    /// Of which model.
    pub plan: &'a dyn Plan,
    /// Trained how.
    pub config: &'a Config,
    /// Images in a step.
    pub batch: usize,
    /// Whether samples are drawn to the pixels.
    pub pixels: bool,
    /// Whether samples are those of the plain sampler of an ordered model, of which one pixel is measured.
    pub plain: bool,
    /// How it computes.
    pub compute: Compute,
    /// Where it computes; without autodiff.
    pub device: &'a Device,
}

impl Bench<'_> {
    /// Makes `warmup` steps, calls `ready`, makes `steps` more; returns the seconds of each of these: of the plain
    /// sampler those of one pixel, times the pixels of an image.
    ///
    /// # Errors
    /// If the device fails.
    pub fn run(&self, warmup: u64, steps: u64, ready: impl FnOnce()) -> Result<Vec<f64>> {
        let mut step = self.step();
        let pixels = match self.plain {
            true => self.plan.image().size.pow(2) as f64,
            false => 1.0,
        };
        let mut timed = |number| -> Result<f64> {
            let start = Instant::now();
            step(number);
            self.device.sync().context("the device failed")?;
            Ok(start.elapsed().as_secs_f64() * pixels)
        };
        for number in 0..warmup {
            timed(number)?;
        }
        ready();
        (warmup..warmup + steps).map(timed).collect()
    }

    /// What is timed: called with the number of the step.
    fn step(&self) -> Box<dyn FnMut(u64)> {
        let (batch, pixels) = (self.batch, self.pixels);
        let keys = move |purpose, step| Keys {
            seed: 0,
            purpose,
            step,
            items: (0..batch as u64).collect(),
        };
        match self.task {
            Task::Train => {
                let device = self.device.clone().autodiff();
                let images = self.images(&device);
                let mut config = self.config.train.clone();
                // Random images may have any gradient; an update that is skipped would take no time.
                config.skip_threshold = -1.0;
                let specs = Arc::new(Specs::new(self.plan.tensors()));
                let mut state = Some(TrainState::new(self.model(&device), specs));
                Box::new(move |step| {
                    let batch = [(images.clone(), Noise::Keyed(keys(Purpose::Training, step)))];
                    let recipe = config.recipe(step);
                    state = state
                        .take()
                        .map(|state| train_step(state, &recipe, batch.into_iter()).0);
                })
            }
            Task::Eval => {
                let (model, images) = (self.model(self.device), self.images(self.device));
                Box::new(move |step| {
                    let latents =
                        PosteriorLatents::Drawn(Noise::Keyed(keys(Purpose::Evaluation, step)));
                    values(model.cost(images.clone(), latents).total());
                })
            }
            Task::Sample if self.plain => {
                let model = self.model(self.device);
                let classes = self.classes();
                Box::new(move |_| {
                    let ordered = model.ordered().expect("the plan was asked");
                    first_pixel(ordered, batch, &classes);
                })
            }
            Task::Sample => {
                let model = self.model(self.device);
                Box::new(move |step| match model.hierarchy() {
                    Ok(hierarchy) if !pixels => {
                        let noise = Noise::Keyed(keys(Purpose::Sample, step));
                        let latents = Latents::prior(&[TEMPERATURE], noise);
                        hierarchy.decode(batch, None, &mut &latents);
                    }
                    _ => {
                        let items = keys(Purpose::Sample, step).items;
                        model.sample(step, &items, &[TEMPERATURE]);
                    }
                })
            }
        }
    }

    fn model(&self, device: &Device) -> Box<dyn Model> {
        let mut model = self.plan.build(self.config.train.seed, device);
        model.set_compute(self.compute);
        model
    }

    /// Random bytes as images, normalised.
    fn images(&self, device: &Device) -> Prepared {
        // Mean and standard deviation of random bytes, where the configuration has no others.
        let of_bytes = Normalisation {
            shift: -127.5,
            scale: 1.0 / 73.9,
        };
        let normalisation = self.config.data.normalisation().unwrap_or(of_bytes);
        let preprocess = self.plan.preprocess(Some(normalisation));
        let mut bytes = vec![0; self.batch * self.plan.image().len()];
        generator(0, Purpose::Training, 0, 0).fill_bytes(&mut bytes);
        let keys = Keys::new(0, Purpose::Binarization, 0..self.batch as u64);
        preprocess
            .apply(&bytes, &keys, device)
            .of_classes(self.classes())
    }

    /// One for each image, in turn, where the model tells classes apart.
    fn classes(&self) -> Vec<usize> {
        match self.plan.classes() {
            0 => Vec::new(),
            classes => (0..self.batch).map(|image| image % classes).collect(),
        }
    }
}

/// All turns of a pixel of the plain sampler; one takes as long as any other.
fn first_pixel(model: &dyn Ordered, batch: usize, classes: &[usize]) {
    let canvas = model.blank(batch);
    let mut next = model.begin_plain(classes);
    for part in 0..model.likelihood().turns() {
        let turn = Turn {
            row: 0,
            column: 0,
            part,
        };
        next.parameters(turn, &canvas);
    }
}
