//! What a person sees of a run: a progress bar on a terminal, a line per interval elsewhere. All on
//! standard error.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use vdvae_data::counted;

use crate::config::TrainConfig;
use crate::console::tell;
use crate::evaluate::with_error;
use crate::likelihood::units::bits;
use crate::log::{TrainEntry, ValidEntry};
use crate::models::step::StepReport;

/// Tells how a run goes.
pub struct Announcer {
    bar: ProgressBar,
    on_terminal: bool,
    /// Updates since the program started.
    skipped: u64,
}

/// From one in so many on, skipped updates are warned about.
const WARNED_SHARE: u64 = 100;

impl Announcer {
    /// For a run that continues from `step`.
    pub fn new(config: &TrainConfig, step: u64) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let target = if on_terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(config.steps), target);
        let template = "{bar:30} {pos}/{len} steps  {msg}  {per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_position(step);
        bar.reset_eta();
        Self {
            bar,
            on_terminal,
            skipped: 0,
        }
    }

    /// After each step.
    pub fn step(&mut self, step: u64, report: &StepReport) {
        self.skipped += u64::from(!report.updated);
        let skipped = match self.skipped {
            0 => String::new(),
            skipped => format!("  {skipped} updates skipped"),
        };
        self.bar.set_position(step);
        self.bar
            .set_message(format!("{:.3} bits/dim{skipped}", bits(report.elbo())));
    }

    /// After each interval of the log, of so many `steps`: its losses, and whatever a person must know.
    pub fn interval(&self, entry: &TrainEntry, steps: u64, config: &TrainConfig) {
        let loss = entry.elbo_filtered_bits_per_dim.or(entry.elbo_bits_per_dim);
        if !self.on_terminal {
            let left = entry.seconds_per_step * (config.steps.saturating_sub(entry.step)) as f64;
            let skipped = match entry.skipped_updates {
                0 => String::new(),
                skipped => format!("  {skipped} of {steps} updates skipped"),
            };
            self.line(&format!(
                "step {}/{}  {} bits/dim{skipped}  {:.2} steps/s  {} left",
                entry.step,
                config.steps,
                loss.map_or("NaN".to_owned(), |loss| format!("{loss:.3}")),
                1.0 / entry.seconds_per_step,
                HumanDuration(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX)),
            ));
        }
        if let Some(warning) = warning(entry, steps, config) {
            self.line(&format!("warning: {warning}"));
        }
    }

    /// After each evaluation.
    pub fn validation(&self, entry: &ValidEntry) {
        self.line(&format!(
            "step {}  validation {} bits/dim (distortion {:.3}, rate {:.3}; {})",
            entry.step,
            with_error(entry.bits_per_dim, entry.stderr_bits_per_dim, 3),
            entry.distortion_bits_per_dim,
            entry.rate_bits_per_dim,
            counted(entry.images, "images"),
        ));
    }

    /// At the end.
    pub fn close(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, text: &str) {
        if self.on_terminal {
            self.bar.println(text)
        } else {
            tell(text)
        }
    }
}

/// What a person must know about an interval and do about it: where losses were lost, or so many updates were
/// skipped that it is no accident.
fn warning(entry: &TrainEntry, steps: u64, config: &TrainConfig) -> Option<String> {
    let (step, skipped) = (entry.step, entry.skipped_updates);
    if entry.nan_distortions + entry.nan_rates > 0 {
        return Some(format!(
            "{} distortions and {} rates were NaN up to step {step}; those updates were skipped",
            entry.nan_distortions, entry.nan_rates,
        ));
    }
    if skipped == 0 || skipped * WARNED_SHARE < steps {
        return None;
    }
    let which = if skipped == steps {
        format!("all {skipped}")
    } else {
        format!("{skipped} of {steps}")
    };
    let threshold = config.skip_threshold;
    let is_above = |norm: &f64| threshold > 0.0 && *norm >= threshold;
    let Some(norm) = entry.max_gradient_norm.filter(is_above) else {
        return Some(format!(
            "{which} updates up to step {step} were skipped: the gradient's norm was NaN or infinite. A lower train.lr helps"
        ));
    };
    Some(format!(
        "{which} updates up to step {step} were skipped: the gradient's norm (up to {norm:.4}) was not below train.skip_threshold ({threshold}). Raise it above that norm, or set it to -1 for no limit; a lower train.lr helps where the norm grew: vdvae train --resume --set train.skip_threshold={:.4} ...",
        2.0 * norm,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::IntervalStats;

    /// The warning after steps of which the first `skipped` had this norm.
    fn after(steps: u64, skipped: u64, norm: f64) -> Option<String> {
        let config = TrainConfig::default();
        let mut interval = IntervalStats::new(0.0);
        for step in 0..steps {
            let is_skipped = step < skipped;
            let report = StepReport {
                distortion: 1.0,
                rate: 1.0,
                terms: Vec::new(),
                gradient_norm: if is_skipped { norm } else { 2.0 },
                learning_rate: 1e-3,
                updated: !is_skipped,
            };
            interval.add(&report, 1);
        }
        warning(&interval.finish(steps, 1.0, 1.0), steps, &config)
    }

    #[test]
    fn skipped_updates_are_told_from_one_in_a_hundred_on() {
        assert_eq!(after(1000, 9, 1e3), None);
        let some = after(1000, 10, 1e3).expect("a warning");
        assert!(
            some.starts_with("10 of 1000 updates up to step 1000 were skipped: the gradient's norm (up to 1000.0000) was not below train.skip_threshold (400)"),
            "{some}"
        );
        let all = after(20, 20, 1e3).expect("a warning");
        assert!(all.starts_with("all 20 updates"), "{all}");
        let infinite = after(20, 17, f64::INFINITY).expect("a warning");
        assert!(
            infinite.starts_with("17 of 20 updates up to step 20 were skipped: the gradient's norm was NaN or infinite"),
            "{infinite}"
        );
    }
}
