//! A state dictionary: tensors by the names of the published module.

use std::collections::BTreeMap;
use std::path::Path;

use vdvae_formats::torch::{TorchError, TorchFile, TorchTensor, entries, entry};

use super::ImportError;
use crate::config::preset::{self, Preset};
use crate::models::registry;
use crate::parameters::TensorSpec;

/// What `DistributedDataParallel` puts before every name.
const WRAPPER: &str = "module.";
/// Tensors that an error names one by one.
const NAMED: usize = 6;

/// A file of weights, or of their average, whose tensors are those of the model.
#[derive(Debug)]
pub(super) struct Weights {
    file: TorchFile,
    tensors: BTreeMap<String, TorchTensor>,
}

impl Weights {
    /// Opens a file that must hold exactly these parameters.
    pub fn open(path: &Path, shapes: &[TensorSpec]) -> Result<Self, ImportError> {
        let file = TorchFile::open(path)?;
        let tensors = state_dictionary(&file)?;
        let problems = problems(shapes, &tensors);
        if problems.is_empty() {
            return Ok(Self { file, tensors });
        }
        Err(ImportError::Mismatch {
            path: path.to_owned(),
            problems: summary(&problems),
            remedy: remedy(&tensors),
        })
    }

    /// The elements of a parameter.
    pub fn values(&self, name: &str) -> Vec<f32> {
        self.file.values(&self.tensors[name])
    }
}

fn state_dictionary(file: &TorchFile) -> Result<BTreeMap<String, TorchTensor>, TorchError> {
    let pickle = file.pickle()?;
    let root = pickle.root();
    let expected = "a dictionary of tensors by the names of parameters";
    let found =
        entries(root).ok_or_else(|| file.unexpected("contents", expected, root.describe()))?;
    if entry(&found, "param_groups").is_some() {
        let found = "the state of an optimizer; give it as --optimizer";
        return Err(file.unexpected("contents", expected, found));
    }
    let mut tensors = BTreeMap::new();
    for (key, value) in found {
        let Some(key) = key.as_str() else {
            return Err(file.unexpected("a key", "the name of a parameter", key.describe()));
        };
        let tensor = file.tensor(key, value)?;
        if !tensor.dtype.is_float() {
            return Err(file.unexpected(key, "floats", format!("{:?}", tensor.dtype)));
        }
        let name = key.strip_prefix(WRAPPER).unwrap_or(key).to_owned();
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(file.unexpected(name, "one tensor of this name", "two"));
        }
    }
    Ok(tensors)
}

/// Every tensor that is missing, of another shape, or too many, with what was expected and found.
fn problems(expected: &[TensorSpec], found: &BTreeMap<String, TorchTensor>) -> Vec<String> {
    let mut problems = Vec::new();
    for TensorSpec { name, shape, .. } in expected {
        match found.get(name) {
            None => problems.push(format!("{name}: expected {shape:?}, found none")),
            Some(tensor) if tensor.shape != *shape => problems.push(format!(
                "{name}: expected {shape:?}, found {:?}",
                tensor.shape
            )),
            Some(_) => {}
        }
    }
    let known: BTreeMap<_, _> = expected
        .iter()
        .map(|spec| (&spec.name, &spec.shape))
        .collect();
    for (name, tensor) in found {
        if !known.contains_key(name) {
            problems.push(format!("{name}: expected none, found {:?}", tensor.shape));
        }
    }
    problems
}

/// The first ones, and how many more there are.
pub(super) fn summary(problems: &[String]) -> String {
    let named = problems[..problems.len().min(NAMED)].join("; ");
    match problems.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

/// The preset whose parameters these are, if there is one.
fn remedy(found: &BTreeMap<String, TorchTensor>) -> String {
    let fits = |preset: &&Preset| {
        let plan = preset::config(preset).plan();
        plan.is_ok_and(|plan| problems(&plan.tensors(), found).is_empty())
    };
    match registry::presets().find(fits) {
        Some(preset) => format!("They are those of --preset {}", preset.path()),
        None => {
            "No preset has them; describe the model with --config FILE or --set model.KEY=VALUE"
                .to_owned()
        }
    }
}
