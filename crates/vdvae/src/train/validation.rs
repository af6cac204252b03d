//! What is made of a run's averaged weights while it is trained: evaluations and pictures.

use std::io;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::announce::Announcer;
use super::keep::{Clock, Log, unwritable};
use super::run::{Training, is_due};
use crate::checkpoint::{self, Progress};
use crate::config::TrainConfig;
use crate::evaluate::{EvaluateOptions, Evaluation, evaluate_until, go_on_unless};
use crate::likelihood::units::bits;
use crate::log::{self, Entry, ValidEntry};
use crate::models::Model;
use crate::report::{EventWriter, loss_curve, save_svg};

/// Batches of an evaluation at an early power of two, when it only has to show that learning began.
const EARLY_BATCHES: usize = 8;

impl Training {
    /// Evaluates the averaged weights; keeps them if they are the best so far. An evaluation at an early
    /// power of two is a short one that does not count. Stopped in its middle, it is owed: says whether it
    /// was not.
    pub(super) fn validate(
        &mut self,
        log: &mut Log,
        announcer: &Announcer,
        clock: &Clock,
    ) -> Result<bool> {
        let TrainConfig {
            n_batch: batch,
            eval_every,
            steps,
            ..
        } = self.config.train;
        let step = self.state.step;
        let early = step != steps && !step.is_multiple_of(eval_every.max(1));
        let average = self.state.average();
        let options = EvaluateOptions {
            batch,
            seed: self.config.train.seed,
            mean_latents: false,
            samples: 1,
            threads: self.threads,
            limit: if early {
                EARLY_BATCHES * batch
            } else {
                usize::MAX
            },
        };
        let device = self.device.clone().inner();
        let evaluation = evaluate_until(
            &*average,
            &self.preprocess,
            self.plan.dimensions(),
            self.valid.clone(),
            &options,
            &device,
            |_| go_on_unless(&self.stop),
        )?;
        let Some(evaluation) = evaluation else {
            self.progress.owes_validation = true;
            return Ok(false);
        };
        self.progress.owes_validation = false;
        let best = self.progress.best_bits_per_dim.unwrap_or(f64::INFINITY);
        if !early && evaluation.bits_per_dim < best {
            self.progress = Progress {
                best_bits_per_dim: Some(evaluation.bits_per_dim),
                ..self.progress_at(clock)
            };
            checkpoint::save_average(
                &self.run.best(),
                &self.config,
                &self.progress,
                &*average,
                &self.state.specs,
            )?;
        }
        let entry = self.valid_entry(&evaluation, clock);
        announcer.validation(&entry);
        self.tell_tensorboard(|events| events.validation(&entry))?;
        log.append(Entry::Valid(entry))?;
        self.draw_curve()?;
        Ok(true)
    }

    fn valid_entry(&self, evaluation: &Evaluation, clock: &Clock) -> ValidEntry {
        ValidEntry {
            step: self.state.step,
            seconds: clock.seconds(),
            images: evaluation.images as u64,
            bits_per_dim: evaluation.bits_per_dim,
            stderr_bits_per_dim: evaluation.stderr_bits_per_dim,
            distortion_bits_per_dim: bits(evaluation.distortion_nats_per_dim),
            rate_bits_per_dim: bits(evaluation.rate_nats_per_dim),
        }
    }

    /// The sample picture of this step, where one is due.
    pub(super) fn draw_samples(
        &mut self,
        picture: impl Fn(Box<dyn Model>, PathBuf) -> Result<()>,
    ) -> Result<()> {
        let TrainConfig {
            sample_every,
            steps,
            ..
        } = self.config.train;
        let step = self.state.step;
        if !is_due(step, sample_every, step == steps) {
            return Ok(());
        }
        let path = self.run.samples().join(format!("step-{step:07}.png"));
        picture(self.state.average(), path.clone()).with_context(|| unwritable(&path))?;
        self.tell_tensorboard(|events| events.picture(step, "samples", &std::fs::read(&path)?))
    }

    /// Tells TensorBoard, where it is to be told.
    pub(super) fn tell_tensorboard(
        &mut self,
        tell: impl FnOnce(&mut EventWriter) -> io::Result<()>,
    ) -> Result<()> {
        let Some(events) = &mut self.events else {
            return Ok(());
        };
        tell(events).with_context(|| unwritable(&self.run.events()))
    }

    fn draw_curve(&self) -> Result<()> {
        let entries = log::read(&self.run.log())?;
        let curve = loss_curve(&self.run.name(), entries);
        save_svg(&self.run.curve(), &curve).with_context(|| unwritable(&self.run.curve()))
    }
}
