//! A training run: when what happens. What happens is elsewhere.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use burn::tensor::Device;
use vdvae_data::{Batch, Batches, Dataset};

use super::announce::Announcer;
use crate::checkpoint::{self, Progress};
use crate::config::{Config, TrainConfig};
use crate::evaluate::{EvaluateOptions, Evaluation, evaluate_until, go_on_unless};
use crate::likelihood::units::bits;
use crate::log::{self, Entry, IntervalStats, LogWriter, ValidEntry};
use crate::models::state::TrainState;
use crate::models::step::{StepReport, train_step};
use crate::models::{Model, Plan};
use crate::preprocess::Preprocess;
use crate::random::{Keys, Noise, Purpose};
use crate::report::{EventWriter, loss_curve, save_svg};
use crate::run_dir::RunDir;

/// Steps in a row without a finite loss after which a run gives up.
const HOPELESS: u64 = 100;
/// Batches of an evaluation at an early power of two, when it only has to show that learning began.
const EARLY_BATCHES: usize = 8;

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
        let clock = Clock {
            started: Instant::now(),
            before: self.progress.seconds,
        };
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
        let prepared = micro_batches.iter().map(|batch| {
            let positions = batch.first_position..batch.first_position + batch.len() as u64;
            let keys = |purpose| Keys {
                seed,
                purpose,
                step,
                items: positions.clone().collect(),
            };
            let prepared = preprocess.apply(&batch.images, &keys(Purpose::Binarization), device);
            (prepared, Noise::Keyed(keys(Purpose::Training)))
        });
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

    /// Evaluates the averaged weights; keeps them if they are the best so far. An evaluation at an early
    /// power of two is a short one that does not count. Stopped in its middle, it is owed: says whether it
    /// was not.
    fn validate(&mut self, log: &mut Log, announcer: &Announcer, clock: &Clock) -> Result<bool> {
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
    fn draw_samples(
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

    fn tell_tensorboard(
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

    fn progress_at(&self, clock: &Clock) -> Progress {
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

/// The run's log, with errors that say what to do.
struct Log {
    path: PathBuf,
    writer: LogWriter,
}

impl Log {
    fn open(path: PathBuf) -> Result<Self> {
        let writer = LogWriter::open(&path).with_context(|| unwritable(&path))?;
        Ok(Self { path, writer })
    }

    fn append(&mut self, entry: Entry) -> Result<()> {
        let appended = self.writer.append(&entry);
        appended.with_context(|| unwritable(&self.path))
    }
}

/// What to do about a file of the run that cannot be written.
fn unwritable(path: &Path) -> String {
    let path = path.display();
    format!("{path}: cannot be written. The last checkpoint is whole: make room, then --resume")
}

/// Wall time of training, across resumptions.
struct Clock {
    started: Instant,
    before: f64,
}

impl Clock {
    fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }
}

/// Every `every` steps, at early powers of two, and at the end; `every` 0: only at the end.
fn is_due(step: u64, every: u64, last: bool) -> bool {
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
