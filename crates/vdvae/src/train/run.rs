//! A training run: when what happens. What happens is elsewhere.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, anyhow};
use burn::tensor::Device;
use vdvae_data::{Batch, Batches, Dataset};

use super::announce::Announcer;
use super::keep::{Clock, Log};
use super::start::prepared;
use crate::checkpoint::{self, Progress};
use crate::config::{Config, TrainConfig};
use crate::log::{Entry, IntervalStats};
use crate::models::state::TrainState;
use crate::models::step::{StepReport, train_step};
use crate::models::{Model, Plan};
use crate::preprocess::Preprocess;
use crate::random::Purpose;
use crate::report::EventWriter;
use crate::run_dir::RunDir;

/// Steps in a row without a finite loss after which a run gives up.
const HOPELESS: u64 = 100;

/// Everything a run needs.
pub struct Training {
    /// The complete configuration.
    pub config: Config,
    /// Where the run is kept.
    pub run: RunDir,
    /// The state to start or continue from.
    pub state: TrainState,
    /// What is known of the model.
    pub plan: Arc<dyn Plan>,
    /// Where that stands.
    pub progress: Progress,
    /// Images to learn.
    pub train: Arc<dyn Dataset>,
    /// Images to validate on.
    pub valid: Arc<dyn Dataset>,
    /// How images become input.
    pub preprocess: Preprocess,
    /// With autodiff.
    pub device: Device,
    /// Threads that read ahead.
    pub threads: usize,
    /// Set from outside to stop after the step, or the batch of a validation, under way.
    pub stop: Arc<AtomicBool>,
    /// Where TensorBoard reads, if that is wanted.
    pub events: Option<EventWriter>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Steps made.
    pub step: u64,
    /// Whether all steps were made.
    pub finished: bool,
    /// The lowest validation loss.
    pub best_bits_per_dim: Option<f64>,
    /// Seconds of training in all.
    pub seconds: f64,
}

impl Training {
    /// Trains to the last step, or until `stop`. `picture` draws the sample picture of a model at a
    /// step into a file.
    ///
    /// # Errors
    /// If data cannot be read, a file cannot be written (what was saved before stays), or the loss
    /// stays NaN.
    pub fn run(
        mut self,
        picture: impl Fn(Box<dyn Model>, PathBuf) -> Result<()>,
    ) -> Result<Outcome> {
        let config = self.config.train.clone();
        let mut batches = self.batches()?;
        let mut log = Log::open(self.run.log())?;
        let mut announcer = Announcer::new(&config, self.state.step);
        let clock = Clock::new(self.progress.seconds);
        let mut interval = IntervalStats::new(clock.seconds());
        let mut without_loss = 0;
        let mut is_whole = true;
        if self.state.step == 0 {
            self.save(&clock)?;
        } else if self.progress.owes_validation {
            is_whole = self.validate(&mut log, &announcer, &clock)?;
            if is_whole {
                self.draw_samples(&picture)?;
            }
            self.save(&clock)?;
        }
        while is_whole && self.state.step < config.steps {
            if self.stop.load(Ordering::Relaxed) {
                self.check_loss(without_loss)?;
                self.save(&clock)?;
                is_whole = false;
                break;
            }
            let report;
            (self, report) = self.step(&mut batches)?;
            interval.add(&report, self.images_per_step());
            without_loss = if report.elbo().is_finite() {
                0
            } else {
                without_loss + 1
            };
            let step = self.state.step;
            let last = step == config.steps;
            announcer.step(step, &report);
            if step.is_multiple_of(config.log_every) || last {
                let steps = interval.steps();
                let entry = interval.finish(step, self.epoch(), clock.seconds());
                announcer.interval(&entry, steps, &config);
                self.tell_tensorboard(|events| events.interval(&entry))?;
                log.append(Entry::Train(entry))?;
            }
            if last || without_loss == HOPELESS {
                self.check_loss(without_loss)?;
            }
            if is_due(step, config.eval_every, last) {
                is_whole = self.validate(&mut log, &announcer, &clock)?;
            }
            if is_whole {
                self.draw_samples(&picture)?;
            } else {
                self.check_loss(without_loss)?;
            }
            let due = config.save_every > 0 && step.is_multiple_of(config.save_every);
            // The checkpoint before the loss was lost is worth more than one after it.
            if last || (due || !is_whole) && without_loss == 0 {
                self.save(&clock)?;
            }
        }
        announcer.close();
        Ok(self.outcome(is_whole, &clock))
    }

    /// From where the state stands on.
    fn batches(&self) -> Result<Batches> {
        let TrainConfig { n_batch, seed, .. } = self.config.train;
        let position = self.state.step * self.images_per_step();
        let train = self.train.clone();
        Ok(Batches::training(
            train,
            n_batch,
            seed,
            position,
            self.threads,
        )?)
    }

    fn step(mut self, batches: &mut Batches) -> Result<(Self, StepReport)> {
        let config = &self.config.train;
        let micro_batches = batches
            .take(config.accumulate)
            .collect::<Result<Vec<Batch>, _>>()?;
        let (step, seed) = (self.state.step, config.seed);
        let (preprocess, device) = (&self.preprocess, &self.device);
        let prepared = micro_batches
            .iter()
            .map(|batch| prepared(batch, seed, step, Purpose::Training, preprocess, device));
        let report;
        let recipe = config.recipe(step);
        (self.state, report) = train_step(self.state, &recipe, prepared);
        Ok((self, report))
    }

    fn images_per_step(&self) -> u64 {
        let TrainConfig {
            n_batch,
            accumulate,
            ..
        } = self.config.train;
        (n_batch * accumulate) as u64
    }

    fn epoch(&self) -> f64 {
        (self.state.step * self.images_per_step()) as f64 / self.train.len() as f64
    }

    /// A run neither goes on for ever nor ends well without a loss.
    fn check_loss(&self, without_loss: u64) -> Result<()> {
        if without_loss == 0 {
            return Ok(());
        }
        let TrainConfig {
            lr,
            warmup_iters,
            grad_clip,
            ..
        } = self.config.train;
        Err(anyhow!(
            "step {}: the loss was NaN or infinite for {without_loss} steps in a row; {} is from before. Continue there with --resume and a lower train.lr (now {lr:?}) or train.grad_clip (now {grad_clip:?}), or start again with these or a longer train.warmup_iters (now {warmup_iters}). If the first step has no loss already, look at data.shift and data.scale",
            self.state.step,
            self.run.latest().display(),
        ))
    }

    fn save(&mut self, clock: &Clock) -> Result<()> {
        self.progress = self.progress_at(clock);
        checkpoint::save_state(
            &self.run.latest(),
            &self.config,
            &self.progress,
            &self.state,
        )?;
        Ok(())
    }

    pub(super) fn progress_at(&self, clock: &Clock) -> Progress {
        Progress {
            step: self.state.step,
            updates: self.state.updates,
            seconds: clock.seconds(),
            best_bits_per_dim: self.progress.best_bits_per_dim,
            owes_validation: self.progress.owes_validation,
        }
    }

    fn outcome(&self, finished: bool, clock: &Clock) -> Outcome {
        Outcome {
            step: self.state.step,
            finished,
            best_bits_per_dim: self.progress.best_bits_per_dim,
            seconds: clock.seconds(),
        }
    }
}

/// Every `every` steps, at early powers of two, and at the end; `every` 0: only at the end.
pub fn is_due(step: u64, every: u64, last: bool) -> bool {
    last || every > 0 && (step.is_multiple_of(every) || step < every && step.is_power_of_two())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cadence_with_early_powers_of_two() {
        let due: Vec<u64> = (1..=60)
            .filter(|&step| is_due(step, 25, step == 60))
            .collect();
        assert_eq!(due, [1, 2, 4, 8, 16, 25, 50, 60]);
        let due: Vec<u64> = (1..=60)
            .filter(|&step| is_due(step, 0, step == 60))
            .collect();
        assert_eq!(due, [60]);
    }
}
