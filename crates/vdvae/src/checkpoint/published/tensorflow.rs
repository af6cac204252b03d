//! Checkpoints of published TensorFlow code: every variable, and beside it its average.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use vdvae_formats::floats::FloatArray;
use vdvae_formats::tensorflow::Checkpoint;

use super::ImportError;
use super::weights::{Weights, summary};
use crate::config::Config;
use crate::config::preset;
use crate::error::usage;
use crate::models::registry;
use crate::parameters::TensorSpec;

/// What names of averages end with.
const AVERAGE: &str = "/ExponentialMovingAverage";

/// The weights, and their average where the checkpoint has it. Other variables, such as an optimizer's, are left.
pub(super) fn open(path: &Path, config: &Config) -> anyhow::Result<(Weights, Option<Weights>)> {
    let plan = config.plan()?;
    let Some(variables) = plan.variables() else {
        return Err(usage(format!(
            "{}: a checkpoint of TensorFlow, and published TensorFlow code has no model like the configuration's of family {}; name the --preset that it is of, or change with --set what differs",
            path.display(),
            config.model.family().name()
        )));
    };
    let checkpoint = Checkpoint::open(path).map_err(ImportError::from)?;
    let read = |ending| read(&checkpoint, &variables, &plan.tensors(), ending);
    let has_average = checkpoint
        .tensors()
        .any(|(name, _)| name.ends_with(AVERAGE));
    let average = has_average.then(|| read(AVERAGE)).transpose()?;
    Ok((read("")?, average))
}

/// The preset of whose model a checkpoint holds all variables.
pub(super) fn preset_of(path: &Path) -> anyhow::Result<Option<Config>> {
    let checkpoint = Checkpoint::open(path)?;
    let fitting = fitting(&checkpoint, "");
    Ok(fitting.map(preset::config))
}

fn fitting(checkpoint: &Checkpoint, ending: &str) -> Option<&'static preset::Preset> {
    registry::presets().find(|preset| {
        let plan = preset::config(preset).model.plan();
        let variables = plan.ok().and_then(|plan| plan.variables());
        variables.is_some_and(|variables| problems(checkpoint, &variables, ending).is_empty())
    })
}

/// The variables whose names end so, as tensors of these names.
fn read(
    checkpoint: &Checkpoint,
    variables: &[TensorSpec],
    tensors: &[TensorSpec],
    ending: &str,
) -> Result<Weights, ImportError> {
    let problems = problems(checkpoint, variables, ending);
    if !problems.is_empty() {
        return Err(ImportError::Mismatch {
            path: checkpoint.path().to_owned(),
            problems: summary(&problems),
            remedy: match fitting(checkpoint, ending) {
                Some(preset) => format!("They are those of --preset {}", preset.path()),
                None => "No preset has them; describe the model with --config FILE or --set model.KEY=VALUE".to_owned(),
            },
        });
    }
    let mut arrays = BTreeMap::new();
    for (variable, tensor) in variables.iter().zip(tensors) {
        let FloatArray { values, .. } = checkpoint.read(&format!("{}{ending}", variable.name))?;
        let count = values.len();
        let values = Tensor::from_data(TensorData::new(values, [count]), &Device::flex());
        let array = FloatArray {
            shape: variable.shape.clone(),
            values: variable.to_file(values),
        };
        arrays.insert(tensor.name.clone(), array);
    }
    Ok(Weights::of_arrays(arrays))
}

/// Every variable that is missing or of another shape.
fn problems(checkpoint: &Checkpoint, variables: &[TensorSpec], ending: &str) -> Vec<String> {
    let found: BTreeMap<&str, &[usize]> = checkpoint
        .tensors()
        .map(|(name, tensor)| (name, &tensor.shape[..]))
        .collect();
    let problem = |variable: &TensorSpec| {
        let name = format!("{}{ending}", variable.name);
        let expected = variable.memory_shape();
        match found.get(&*name) {
            Some(&found) if found == expected => None,
            Some(found) => Some(format!("{name}: expected {expected:?}, found {found:?}")),
            None => Some(format!("{name}: expected {expected:?}, found none")),
        }
    };
    variables.iter().filter_map(problem).collect()
}
