//! What a person sees of a run: a progress bar on a terminal, a line per interval elsewhere. All on
//! standard error.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::config::TrainConfig;
use crate::console::tell;
use crate::evaluate::with_error;
use crate::likelihood::units::bits;
use crate::models::step::StepReport;
use crate::report::log::{TrainEntry, ValidEntry};

/// Tells how a run goes.
pub struct Announcer {
    bar: ProgressBar,
    on_terminal: bool,
}

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
        Self { bar, on_terminal }
    }

    /// After each step.
    pub fn step(&self, step: u64, report: &StepReport) {
        self.bar.set_position(step);
        self.bar
            .set_message(format!("{:.3} bits/dim", bits(report.elbo())));
    }

    /// After each interval of the log: its losses, and whatever a person must know.
    pub fn interval(&self, entry: &TrainEntry, config: &TrainConfig) {
        let loss = entry.elbo_filtered_bits_per_dim.or(entry.elbo_bits_per_dim);
        if !self.on_terminal {
            let left = entry.seconds_per_step * (config.steps.saturating_sub(entry.step)) as f64;
            self.line(&format!(
                "step {}/{}  {} bits/dim  {:.2} steps/s  {} left",
                entry.step,
                config.steps,
                loss.map_or("NaN".to_owned(), |loss| format!("{loss:.3}")),
                1.0 / entry.seconds_per_step,
                HumanDuration(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX)),
            ));
        }
        if let Some(warning) = warning(entry, config) {
            self.line(&format!("warning: {warning}"));
        }
    }

    /// After each evaluation.
    pub fn validation(&self, entry: &ValidEntry) {
        self.line(&format!(
            "step {}  validation {} bits/dim (distortion {:.3}, rate {:.3}; {} images)",
            entry.step,
            with_error(entry.bits_per_dim, entry.stderr_bits_per_dim, 3),
            entry.distortion_bits_per_dim,
            entry.rate_bits_per_dim,
            entry.images,
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

/// What a person must know about an interval and do about it.
fn warning(entry: &TrainEntry, config: &TrainConfig) -> Option<String> {
    let (step, skipped) = (entry.step, entry.skipped_updates);
    if entry.nan_distortions + entry.nan_rates > 0 {
        return Some(format!(
            "{} distortions and {} rates were NaN up to step {step}; those updates were skipped",
            entry.nan_distortions, entry.nan_rates,
        ));
    }
    if skipped == 0 || entry.elbo_filtered_bits_per_dim.is_some() {
        return None;
    }
    let Some(norm) = entry.max_gradient_norm else {
        return Some(format!(
            "all {skipped} updates up to step {step} were skipped: the gradient's norm was NaN or infinite. A lower train.lr helps"
        ));
    };
    Some(format!(
        "all {skipped} updates up to step {step} were skipped: the gradient's norm (up to {norm:.4}) was not below train.skip_threshold ({}). Raise it above that norm, or set it to -1 for no limit; a lower train.lr helps where the norm grew: vdvae train --resume --set train.skip_threshold={:.4} ...",
        config.skip_threshold,
        2.0 * norm,
    ))
}
