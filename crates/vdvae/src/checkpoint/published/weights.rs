//! A state dictionary: tensors by the names of the published module.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use vdvae_formats::pickle::Value;
use vdvae_formats::torch::{TorchError, TorchFile, TorchTensor, entries, entry};

use super::ImportError;
use crate::config::preset::{self, Preset};
use crate::models::Family;
use crate::models::published::Published;
use crate::models::registry;
use crate::parameters::TensorSpec;

/// What `DistributedDataParallel` puts before every name.
const WRAPPER: &str = "module.";
/// Tensors that an error names one by one.
const NAMED: usize = 6;

/// The weights in a file, or their average, whose tensors are those of the model.
#[derive(Debug)]
pub(super) struct Weights {
    file: Arc<TorchFile>,
    tensors: BTreeMap<String, TorchTensor>,
    form: Option<&'static dyn Published>,
}

impl Weights {
    /// Opens a file of nothing but weights, which must be exactly these.
    pub fn open(path: &Path, model: &Model<'_>) -> Result<Self, ImportError> {
        let file = Arc::new(TorchFile::open(path)?);
        let pickle = file.pickle()?;
        Self::read(&file, &[pickle.root()], model, None)
    }

    /// Reads dictionaries of a file, which must hold exactly the model's tensors; `of`: whose form the file has,
    /// where that is told by more than the tensors.
    pub fn read(
        file: &Arc<TorchFile>,
        dictionaries: &[Value<'_>],
        model: &Model<'_>,
        of: Option<&dyn Family>,
    ) -> Result<Self, ImportError> {
        let mut tensors = BTreeMap::new();
        for dictionary in dictionaries {
            state_dictionary(file, *dictionary, &mut tensors)?;
        }
        let problems = problems(model.shapes, model.form, &tensors);
        if problems.is_empty() {
            return Ok(Self {
                file: Arc::clone(file),
                tensors,
                form: model.form,
            });
        }
        Err(ImportError::Mismatch {
            path: file.path().to_owned(),
            problems: summary(&problems),
            remedy: remedy(&tensors, of),
        })
    }

    /// The elements of a tensor.
    pub fn values(&self, spec: &TensorSpec) -> Vec<f32> {
        match (self.tensors.get(&spec.name), self.form) {
            (Some(tensor), _) => self.file.values(tensor),
            // Of what is not in the file all that may be missing has a start.
            (None, form) => form.and_then(|form| form.start(spec)).unwrap_or_default(),
        }
    }
}

/// What a file must hold.
pub(super) struct Model<'a> {
    pub shapes: &'a [TensorSpec],
    /// What else the family's files hold, and what not.
    pub form: Option<&'static dyn Published>,
}

/// Adds the tensors of a dictionary to others.
fn state_dictionary(
    file: &TorchFile,
    dictionary: Value<'_>,
    tensors: &mut BTreeMap<String, TorchTensor>,
) -> Result<(), TorchError> {
    let expected = "a dictionary of tensors by the names of parameters";
    let found = entries(dictionary)
        .ok_or_else(|| file.unexpected("contents", expected, dictionary.describe()))?;
    if entry(&found, "param_groups").is_some() {
        let found = "the state of an optimizer; give it as --optimizer";
        return Err(file.unexpected("contents", expected, found));
    }
    for (key, value) in found {
        let Some(key) = key.as_str() else {
            return Err(file.unexpected("a key", "the name of a parameter", key.describe()));
        };
        let tensor = file.tensor(key, value)?;
        let name = key.strip_prefix(WRAPPER).unwrap_or(key).to_owned();
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(file.unexpected(name, "one tensor of this name", "two"));
        }
    }
    Ok(())
}

/// Every tensor that is missing, of another shape or type, or too many, with what was expected and found.
fn problems(
    expected: &[TensorSpec],
    form: Option<&dyn Published>,
    found: &BTreeMap<String, TorchTensor>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for spec in expected {
        let TensorSpec { name, shape, .. } = spec;
        match found.get(name) {
            None if form.is_some_and(|form| form.start(spec).is_some()) => {}
            None => problems.push(format!("{name}: expected {shape:?}, found none")),
            Some(tensor) if tensor.shape != *shape => problems.push(format!(
                "{name}: expected {shape:?}, found {:?}",
                tensor.shape
            )),
            Some(tensor) if !tensor.dtype.is_float() => {
                problems.push(format!("{name}: expected floats, found {:?}", tensor.dtype))
            }
            Some(_) => {}
        }
    }
    let known: BTreeSet<&str> = expected.iter().map(|spec| spec.name.as_str()).collect();
    let has = |name: &str| known.contains(name);
    for (name, tensor) in found {
        let is_beside = form.is_some_and(|form| form.is_beside(name, &has));
        if !has(name) && !is_beside {
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
fn remedy(found: &BTreeMap<String, TorchTensor>, of: Option<&dyn Family>) -> String {
    let fits = |preset: &&Preset| {
        let model = preset::config(preset).model;
        let plan = model.plan();
        let form = model.family().published();
        plan.is_ok_and(|plan| problems(&plan.tensors(), form, found).is_empty())
    };
    match (registry::presets().find(fits), of) {
        (Some(preset), _) => format!("They are those of --preset {}", preset.path()),
        (None, Some(family)) => format!(
            "The file is one of family {}, and no preset of it has them; describe the model with --config FILE or --set model.KEY=VALUE",
            family.name()
        ),
        (None, None) => {
            "No preset has them; describe the model with --config FILE or --set model.KEY=VALUE"
                .to_owned()
        }
    }
}
