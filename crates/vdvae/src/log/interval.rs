//! What the steps between two lines of the log have in common.

use std::collections::BTreeMap;

use super::TrainEntry;
use crate::likelihood::units::bits;
use crate::models::step::StepReport;

/// Steps gathered into one [`TrainEntry`] per interval.
#[derive(Clone, Debug)]
pub struct IntervalStats {
    /// Seconds of training when the interval began.
    began: f64,
    images: u64,
    elbo: Mean,
    elbo_filtered: Mean,
    distortion: Mean,
    rate: Mean,
    max_gradient_norm: Option<f64>,
    learning_rate: f64,
    skipped_updates: u64,
    nan_distortions: u64,
    nan_rates: u64,
    /// Of what else was minimised.
    terms: BTreeMap<&'static str, Mean>,
}

impl IntervalStats {
    /// An empty interval that begins when training has taken so many `seconds`.
    pub fn new(seconds: f64) -> Self {
        Self {
            began: seconds,
            images: 0,
            elbo: Mean::default(),
            elbo_filtered: Mean::default(),
            distortion: Mean::default(),
            rate: Mean::default(),
            max_gradient_norm: None,
            learning_rate: 0.0,
            skipped_updates: 0,
            nan_distortions: 0,
            nan_rates: 0,
            terms: BTreeMap::new(),
        }
    }

    /// Steps that were added since the interval began.
    pub fn steps(&self) -> u64 {
        self.elbo.count
    }

    /// Adds a step on so many `images`.
    pub fn add(&mut self, step: &StepReport, images: u64) {
        let elbo = step.elbo();
        self.images += images;
        self.elbo.add(elbo);
        if step.updated && elbo.is_finite() {
            self.elbo_filtered.add(elbo);
        }
        self.distortion.add(step.distortion);
        self.rate.add(step.rate);
        for &(name, term) in step.terms.iter().filter(|(_, term)| term.is_finite()) {
            let mean = self.terms.entry(name).or_default();
            mean.add(term);
        }
        if step.gradient_norm.is_finite() {
            let largest = self.max_gradient_norm.get_or_insert(step.gradient_norm);
            *largest = largest.max(step.gradient_norm);
        }
        self.learning_rate = step.learning_rate;
        self.skipped_updates += u64::from(!step.updated);
        self.nan_distortions += u64::from(step.distortion.is_nan());
        self.nan_rates += u64::from(step.rate.is_nan());
    }

    /// The interval as a line of the log; the next one begins. `step`, `epoch` and `seconds` are those
    /// of training so far.
    pub fn finish(&mut self, step: u64, epoch: f64, seconds: f64) -> TrainEntry {
        let ended = std::mem::replace(self, Self::new(seconds));
        let duration = seconds - ended.began;
        TrainEntry {
            step,
            epoch,
            seconds,
            elbo_bits_per_dim: ended.elbo.bits(),
            elbo_filtered_bits_per_dim: ended.elbo_filtered.bits(),
            distortion_bits_per_dim: ended.distortion.bits(),
            rate_bits_per_dim: ended.rate.bits(),
            max_gradient_norm: ended.max_gradient_norm,
            learning_rate: ended.learning_rate,
            skipped_updates: ended.skipped_updates,
            nan_distortions: ended.nan_distortions,
            nan_rates: ended.nan_rates,
            seconds_per_step: quotient(duration, ended.elbo.count as f64),
            images_per_second: quotient(ended.images as f64, duration),
            terms: ended
                .terms
                .into_iter()
                .map(|(name, mean)| (name.to_owned(), quotient(mean.sum, mean.count as f64)))
                .collect(),
        }
    }
}

/// 0 where there is nothing to divide by, so that the log holds numbers only.
fn quotient(of: f64, by: f64) -> f64 {
    if by > 0.0 { of / by } else { 0.0 }
}

/// A mean of values in nats per dimension.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, nats: f64) {
        self.sum += nats;
        self.count += 1;
    }

    /// In bits per dimension; `None` where it is not finite, as for no values at all.
    fn bits(self) -> Option<f64> {
        Some(bits(self.sum / self.count as f64)).filter(|mean| mean.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;

    use super::*;

    /// A taken step with these losses in bits per dimension.
    fn step(distortion: f64, rate: f64, gradient_norm: f64) -> StepReport {
        StepReport {
            distortion: distortion * LN_2,
            rate: rate * LN_2,
            terms: Vec::new(),
            gradient_norm,
            learning_rate: 0.001,
            updated: true,
        }
    }

    fn close(found: Option<f64>, expected: f64) {
        let found = found.expect("a number");
        assert!(
            (found - expected).abs() < 1e-12,
            "{found}, expected {expected}"
        );
    }

    #[test]
    fn means_in_bits_and_the_largest_norm() {
        let mut stats = IntervalStats::new(10.0);
        assert_eq!(stats.steps(), 0);
        stats.add(&step(4.0, 1.0, 30.0), 16);
        stats.add(&step(3.0, 2.0, 50.0), 16);
        let last = StepReport {
            learning_rate: 0.002,
            ..step(2.0, 1.5, 40.0)
        };
        stats.add(&last, 8);
        assert_eq!(stats.steps(), 3);
        let entry = stats.finish(300, 1.5, 14.0);
        assert_eq!((entry.step, entry.epoch, entry.seconds), (300, 1.5, 14.0));
        close(entry.distortion_bits_per_dim, 3.0);
        close(entry.rate_bits_per_dim, 1.5);
        close(entry.elbo_bits_per_dim, 4.5);
        close(entry.elbo_filtered_bits_per_dim, 4.5);
        assert_eq!(entry.max_gradient_norm, Some(50.0));
        assert_eq!(entry.learning_rate, 0.002);
        close(Some(entry.seconds_per_step), 4.0 / 3.0);
        close(Some(entry.images_per_second), 10.0);
        let troubles = (
            entry.skipped_updates,
            entry.nan_distortions,
            entry.nan_rates,
        );
        assert_eq!(troubles, (0, 0, 0));
    }

    #[test]
    fn troubled_steps_are_counted_and_kept_out_of_the_filtered_mean() {
        let mut stats = IntervalStats::new(0.0);
        stats.add(&step(4.0, 1.0, 30.0), 1);
        stats.add(
            &StepReport {
                updated: false,
                ..step(8.0, 1.0, 900.0)
            },
            1,
        );
        stats.add(
            &StepReport {
                updated: false,
                ..step(f64::NAN, 1.0, f64::NAN)
            },
            1,
        );
        stats.add(
            &StepReport {
                updated: false,
                ..step(f64::NAN, f64::NAN, f64::INFINITY)
            },
            1,
        );
        let entry = stats.finish(4, 0.1, 1.0);
        close(entry.elbo_filtered_bits_per_dim, 5.0);
        assert_eq!(entry.elbo_bits_per_dim, None);
        assert_eq!(
            (entry.distortion_bits_per_dim, entry.rate_bits_per_dim),
            (None, None)
        );
        assert_eq!(entry.max_gradient_norm, Some(900.0), "skipped, but finite");
        let troubles = (
            entry.skipped_updates,
            entry.nan_distortions,
            entry.nan_rates,
        );
        assert_eq!(troubles, (3, 2, 1));
    }

    #[test]
    fn the_next_interval_starts_afresh() {
        let mut stats = IntervalStats::new(0.0);
        stats.add(&step(8.0, 1.0, 900.0), 4);
        stats.finish(1, 0.1, 2.0);
        assert_eq!(stats.steps(), 0);
        stats.add(&step(4.0, 0.5, 9.0), 4);
        let entry = stats.finish(2, 0.2, 2.5);
        close(entry.elbo_bits_per_dim, 4.5);
        assert_eq!(entry.max_gradient_norm, Some(9.0));
        assert_eq!(
            (entry.seconds_per_step, entry.images_per_second),
            (0.5, 8.0)
        );
    }

    #[test]
    fn an_interval_without_steps_or_time_has_no_strange_numbers() {
        let entry = IntervalStats::new(3.0).finish(0, 0.0, 3.0);
        assert_eq!(
            (entry.elbo_bits_per_dim, entry.max_gradient_norm),
            (None, None)
        );
        assert_eq!(
            (entry.seconds_per_step, entry.images_per_second),
            (0.0, 0.0)
        );
    }
}
