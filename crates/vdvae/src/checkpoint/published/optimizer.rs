//! The state of the optimizer: of one of PyTorch's, or of the fused AdamW that a published script used.

use std::path::Path;
use std::sync::Arc;

use super::ImportError;
use super::weights::summary;
use vdvae_formats::pickle::Value;
use vdvae_formats::torch::{TorchError, TorchFile, TorchTensor, entries, entry};

use crate::models::published::Entries;
use crate::parameters::TensorSpec;

/// The moments' names in a file of their own, first and second.
pub(super) const MOMENTS: [&str; 2] = ["exp_avg", "exp_avg_sq"];

/// Moments that fit the model's parameters.
#[derive(Debug)]
pub(super) struct OptimizerState {
    file: Arc<TorchFile>,
    /// First and second moment of each parameter, in the module's order; none of one that never had a
    /// gradient.
    moments: Vec<Option<[TorchTensor; 2]>>,
    /// Updates made.
    pub updates: u64,
    /// The fewest updates of a parameter that has moments.
    fewest: u64,
}

impl OptimizerState {
    /// Opens a file that must hold the state of exactly these parameters.
    pub fn open(path: &Path, shapes: &[TensorSpec]) -> Result<Self, ImportError> {
        let file = Arc::new(TorchFile::open(path)?);
        let pickle = file.pickle()?;
        Self::read(&file, pickle.root(), shapes, MOMENTS)
    }

    /// Reads the state of exactly these parameters, whose moments have these names.
    pub fn read(
        file: &Arc<TorchFile>,
        state: Value<'_>,
        shapes: &[TensorSpec],
        names: [&str; 2],
    ) -> Result<Self, ImportError> {
        let (moments, steps) = read(file, state, shapes, names)?;
        let problems = problems(shapes, &moments, names);
        if !problems.is_empty() {
            return Err(ImportError::Mismatch {
                path: file.path().to_owned(),
                problems: summary(&problems),
                remedy: "Give the optimizer's state of the same checkpoint".to_owned(),
            });
        }
        Ok(Self {
            updates: steps.iter().copied().max().unwrap_or(0),
            fewest: steps.iter().copied().min().unwrap_or(0),
            moments,
            file: Arc::clone(file),
        })
    }

    /// The first (0) or second (1) moment of a parameter; none of one that has none yet.
    pub fn moment(&self, parameter: usize, which: usize) -> Option<Vec<f32>> {
        let moments = self.moments[parameter].as_ref()?;
        Some(self.file.values(&moments[which]))
    }

    /// What in it cannot be kept exactly.
    pub fn note(&self) -> Option<String> {
        let without = self.moments.iter().filter(|state| state.is_none()).count();
        if without > 0 {
            return Some(format!(
                "{}: {without} parameters have no moments there; theirs start at zero",
                self.file.path().display()
            ));
        }
        (self.fewest < self.updates).then(|| {
            format!(
                "{}: some parameters were updated {} times, others {}; all count as {}",
                self.file.path().display(),
                self.fewest,
                self.updates,
                self.updates
            )
        })
    }
}

type Moments = Vec<Option<[TorchTensor; 2]>>;

/// The moments of every parameter, and the numbers of updates that are noted.
fn read(
    file: &TorchFile,
    state: Value<'_>,
    shapes: &[TensorSpec],
    names: [&str; 2],
) -> Result<(Moments, Vec<u64>), TorchError> {
    let root = entries(state).unwrap_or_default();
    let state = entry(&root, "state").and_then(entries);
    let groups = entry(&root, "param_groups").and_then(groups);
    let (Some(state), Some(groups)) = (state, groups) else {
        return Err(file.unexpected(
            "contents",
            "the state of an optimizer: a dictionary with `state` and `param_groups`",
            "something else; weights are given without --optimizer or as --ema",
        ));
    };
    let order = order(&groups);
    let order = order
        .filter(|order| order.len() == shapes.len())
        .ok_or_else(|| {
            let found = groups.iter().filter_map(|group| entry(group, "params"));
            let found: usize = found.filter_map(|list| Some(list.elements()?.len())).sum();
            let expected = format!("{} parameters, as the configuration has", shapes.len());
            file.unexpected("param_groups", expected, found.to_string())
        })?;
    // The fused optimizer counts for all parameters at once.
    let shared = groups.iter().filter_map(|group| entry(group, "step"));
    let mut steps: Vec<u64> = shared.filter_map(|step| count(file, step)).collect();
    let mut moments = Vec::new();
    for (key, TensorSpec { name, .. }) in order.iter().zip(shapes) {
        let known = state.iter().rev().find(|(id, _)| id.as_int() == Some(*key));
        let known = known.and_then(|(_, value)| entries(*value));
        let Some(known) = known.filter(|known| !known.is_empty()) else {
            moments.push(None);
            continue;
        };
        if let Some(step) = entry(&known, "step") {
            let count = count(file, step);
            let expected = "a number of updates";
            steps.push(count.ok_or_else(|| {
                file.unexpected(format!("{name}, step"), expected, step.describe())
            })?);
        }
        moments.push(Some(pair(file, name, &known, names)?));
    }
    Ok((moments, steps))
}

fn groups(value: Value<'_>) -> Option<Vec<Entries<'_>>> {
    value.elements()?.into_iter().map(entries).collect()
}

/// The keys of the parameters in `state`, in the order of the module's parameters.
fn order(groups: &[Entries<'_>]) -> Option<Vec<i128>> {
    let mut order = Vec::new();
    for group in groups {
        for key in entry(group, "params")?.elements()? {
            order.push(key.as_int()?);
        }
    }
    Some(order)
}

fn pair(
    file: &TorchFile,
    name: &str,
    state: &Entries<'_>,
    names: [&str; 2],
) -> Result<[TorchTensor; 2], TorchError> {
    let moment = |kind: &str| {
        let place = format!("{name}, {kind}");
        let value =
            entry(state, kind).ok_or_else(|| file.unexpected(&place, "a tensor", "none"))?;
        let tensor = file.tensor(&place, value)?;
        if tensor.dtype.is_float() {
            Ok(tensor)
        } else {
            Err(file.unexpected(place, "floats", format!("{:?}", tensor.dtype)))
        }
    };
    Ok([moment(names[0])?, moment(names[1])?])
}

/// A number of updates that were made: a whole number that is not negative.
fn count(file: &TorchFile, value: Value<'_>) -> Option<u64> {
    let number = file.number(value)?;
    let is_count = number >= 0.0 && number.fract() == 0.0 && number < u32::MAX.into();
    is_count.then_some(number as u64)
}

/// Every moment that has not its parameter's shape.
fn problems(shapes: &[TensorSpec], moments: &Moments, names: [&str; 2]) -> Vec<String> {
    let mut problems = Vec::new();
    for (TensorSpec { name, shape, .. }, state) in shapes.iter().zip(moments) {
        for (tensor, kind) in state.iter().flatten().zip(names) {
            if tensor.shape != *shape {
                problems.push(format!(
                    "{name}, {kind}: expected {shape:?}, found {:?}",
                    tensor.shape
                ));
            }
        }
    }
    problems
}
