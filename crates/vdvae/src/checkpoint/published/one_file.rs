//! One file with everything of a checkpoint, where the family's published code writes such.

use std::path::Path;
use std::sync::Arc;

use vdvae_formats::pickle::Value;
use vdvae_formats::torch::{TorchError, TorchFile, attributes, entries, entry};

use super::ImportError;
use super::optimizer::OptimizerState;
use crate::config::{Config, preset};
use crate::error::usage;
use crate::models::Family;
use crate::models::published::{Comparison, Entries, Parts, Published, count};
use crate::models::registry::FAMILIES;
use crate::parameters::TensorSpec;

/// What is read of a file beside its tensors.
#[derive(Debug)]
pub(super) struct OneFile {
    /// Steps made, where the file tells them or its epochs do.
    pub step: Option<u64>,
    /// What a person must know.
    pub notes: Vec<String>,
    /// Whether the run goes on with the optimizer that the file has the state of.
    same_optimizer: bool,
}

/// A file with everything.
pub(super) struct Whole<'p> {
    /// Whose it is.
    pub of: &'static dyn Family,
    pub form: &'static dyn Published,
    pub parts: Parts<'p>,
}

/// The parts of a file, if it is one with everything, of any family.
pub(super) fn find(root: Value<'_>) -> Option<Whole<'_>> {
    let root = entries(root)?;
    FAMILIES.into_iter().find_map(|of| {
        let form = of.published()?;
        let parts = form.parts(&root)?;
        Some(Whole { of, form, parts })
    })
}

impl OneFile {
    /// Compares what the file says with the configuration.
    pub fn read(
        file: &TorchFile,
        form: &dyn Published,
        parts: &Parts<'_>,
        config: &Config,
    ) -> anyhow::Result<Self> {
        let mut notes = Vec::new();
        let arguments = parts.arguments.map(|value| arguments(file, value));
        let arguments = arguments.transpose().map_err(ImportError::from)?;
        match &arguments {
            None => notes.push(
                "no args in it: whether the model is that of the configuration is told by its tensors alone"
                    .to_owned(),
            ),
            Some(arguments) => notes.push(check(file.path(), form, arguments, config)?),
        }
        let per_epoch = arguments
            .as_ref()
            .and_then(steps_per_epoch)
            .or((config.train.lr_every > 1).then_some(config.train.lr_every));
        let by_epochs = parts
            .epoch
            .and_then(|epochs| epochs.checked_mul(per_epoch?));
        if let Some(epoch) = parts.epoch
            && parts.step.is_none()
        {
            notes.push(match (by_epochs, per_epoch) {
                (Some(step), Some(steps)) => {
                    format!("epoch {epoch} there: step {step}, {steps} an epoch")
                }
                _ => format!("epoch {epoch} there; the steps of an epoch are not known"),
            });
        }
        if !parts.passed_over.is_empty() {
            notes.push(format!("not used: {}", parts.passed_over.join(", ")));
        }
        let (optimizer, _) = form.optimizer();
        let same_optimizer = config.train.optimizer == optimizer;
        if parts.optimizer.is_none() {
            notes.push(
                "no state of the optimizer in it: moments start at zero, as at the start of training"
                    .to_owned(),
            );
        } else if !same_optimizer {
            notes.push(format!(
                "the optimizer's state is not used: it is one of {optimizer:?}, and train.optimizer is {:?}; moments start at zero",
                config.train.optimizer
            ));
        }
        Ok(Self {
            step: parts.step.or(by_epochs),
            notes,
            same_optimizer,
        })
    }

    /// The state of the optimizer, where the run can go on with it.
    pub fn optimizer(
        &self,
        file: &Arc<TorchFile>,
        form: &dyn Published,
        parts: &Parts<'_>,
        learned: &[TensorSpec],
    ) -> Result<Option<OptimizerState>, ImportError> {
        let state = parts.optimizer.filter(|_| self.same_optimizer);
        let (_, names) = form.optimizer();
        let read = |state| OptimizerState::read(file, state, learned, names);
        state.map(read).transpose()
    }
}

/// The preset that the arguments in a file describe; none of a file without.
///
/// # Errors
/// If it cannot be read, or its arguments are those of no preset or of several.
pub fn preset_of(path: &Path) -> anyhow::Result<Option<Config>> {
    let file = TorchFile::open(path).map_err(ImportError::from)?;
    let pickle = file.pickle().map_err(ImportError::from)?;
    let Some(Whole { of, form, parts }) = find(pickle.root()) else {
        return Ok(None);
    };
    let Some(value) = parts.arguments else {
        return Ok(None);
    };
    let arguments = arguments(&file, value).map_err(ImportError::from)?;
    let mut fitting = Vec::new();
    for preset in of.presets() {
        let config = preset::config(preset);
        if compare(form, &arguments, &config)?.is_whole() {
            fitting.push((preset.path(), config));
        }
    }
    let names: Vec<String> = fitting.iter().map(|(name, _)| name.clone()).collect();
    match <[_; 1]>::try_from(fitting) {
        Ok([(_, config)]) => Ok(Some(config)),
        Err(_) if names.is_empty() => Err(usage(format!(
            "{}: its args are those of no preset; say with --preset NAME or --config FILE which model the weights are of",
            path.display()
        ))),
        Err(_) => Err(usage(format!(
            "{}: its args are those of {}; say with --preset which",
            path.display(),
            names.join(" and ")
        ))),
    }
}

/// Names with values: a dictionary, or what a program was started with.
fn arguments<'p>(file: &TorchFile, value: Value<'p>) -> Result<Entries<'p>, TorchError> {
    let found = entries(value).or_else(|| attributes(value));
    found.ok_or_else(|| file.unexpected("args", "names with values", value.describe()))
}

fn compare(
    form: &dyn Published,
    arguments: &Entries<'_>,
    config: &Config,
) -> anyhow::Result<Comparison> {
    let expected = form.arguments(config.model.values())?;
    Ok(Comparison::new(&expected, arguments))
}

/// What is said of arguments that agree.
fn check(
    path: &Path,
    form: &dyn Published,
    arguments: &Entries<'_>,
    config: &Config,
) -> anyhow::Result<String> {
    let Comparison {
        same,
        missing,
        different,
    } = compare(form, arguments, config)?;
    if !different.is_empty() {
        return Err(usage(format!(
            "{}: args.{}: the configuration is of another model. Give the preset or configuration that the file is of, or change it with --set model.KEY=VALUE",
            path.display(),
            different.join("; args.")
        )));
    }
    let mut note = format!("args, as the configuration has them: {}", same.join(", "));
    if !missing.is_empty() {
        note.push_str(&format!("; not there: {}", missing.join(", ")));
    }
    Ok(note)
}

/// Of the steps and epochs of the whole training.
fn steps_per_epoch(arguments: &Entries<'_>) -> Option<u64> {
    let number = |name| entry(arguments, name).and_then(count);
    let (steps, epochs) = (number("num_total_iter")?, number("epochs")?);
    let is_whole = epochs > 0 && steps.is_multiple_of(epochs);
    is_whole.then(|| steps / epochs)
}
