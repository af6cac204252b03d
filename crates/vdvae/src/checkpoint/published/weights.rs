//! A state dictionary: tensors by the names of the published module.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use vdvae_formats::FormatError;
use vdvae_formats::floats::{FloatArray, FloatType};
use vdvae_formats::pickle::Value;
use vdvae_formats::safetensors::SafetensorsFile;
use vdvae_formats::torch::{TorchError, TorchFile, TorchTensor, entries, entry};

use super::ImportError;
use crate::checkpoint::file;
use crate::checkpoint::native::AVERAGE;
use crate::config::preset::{self, Preset};
use crate::models::Family;
use crate::models::published::Published;
use crate::models::registry;
use crate::parameters::TensorSpec;

/// What wrappers put before names, of the whole or of a part: data parallelism, compilation, sharding,
/// checkpointed activations.
const WRAPPERS: [&str; 4] = [
    "_orig_mod.",
    "_forward_module.",
    "_fsdp_wrapped_module.",
    "_checkpoint_wrapped_module.",
];
/// The same before all names; within a name it may be the model's own.
const OUTERMOST: &str = "module.";
/// How often `AveragedModel` was updated: no tensor of a model.
const AVERAGED: &str = "n_averaged";
/// Tensors that an error names one by one.
const NAMED: usize = 6;

/// The weights in a file, or their average, whose tensors are those of the model.
#[derive(Debug)]
pub(super) struct Weights {
    tensors: Tensors,
    form: Option<&'static dyn Published>,
    /// Steps made, where the file tells them.
    pub step: Option<u64>,
}

#[derive(Debug)]
enum Tensors {
    Torch {
        file: Arc<TorchFile>,
        tensors: BTreeMap<String, TorchTensor>,
    },
    Arrays(BTreeMap<String, FloatArray>),
}

/// A tensor of a file.
struct Found {
    shape: Vec<usize>,
    /// Its type, of another kind than floats.
    not_floats: Option<String>,
}

impl Weights {
    /// Of tensors by their names, which are those of the model.
    pub fn of_arrays(arrays: BTreeMap<String, FloatArray>) -> Self {
        Self {
            tensors: Tensors::Arrays(arrays),
            form: None,
            step: None,
        }
    }

    /// Opens a file of nothing but weights, which must be exactly these.
    pub fn open(path: &Path, model: &Model<'_>) -> Result<Self, ImportError> {
        if SafetensorsFile::is_one(path) {
            return Self::open_safetensors(path, model);
        }
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
        let found = tensors.iter().map(|(name, tensor)| {
            let found = Found {
                shape: tensor.shape.clone(),
                not_floats: (!tensor.dtype.is_float()).then(|| format!("{:?}", tensor.dtype)),
            };
            (name.clone(), found)
        });
        model.check(file.path(), &found.collect(), of)?;
        Ok(Self {
            tensors: Tensors::Torch {
                file: Arc::clone(file),
                tensors,
            },
            form: model.form,
            step: None,
        })
    }

    /// Of a file of safetensors; of a run's checkpoint the average.
    fn open_safetensors(path: &Path, model: &Model<'_>) -> Result<Self, ImportError> {
        let file = SafetensorsFile::open(path)?;
        let is_checkpoint = file::is_checkpoint(&file);
        if is_checkpoint {
            // Its checksum is compared.
            file::CheckpointFile::open(path)?;
        }
        let prefix = if is_checkpoint { AVERAGE } else { "" };
        let (mut found, mut names) = (BTreeMap::new(), BTreeMap::new());
        for (name, dtype, shape) in file.tensors() {
            let Some(bare) = name.strip_prefix(prefix).map(bare) else {
                continue;
            };
            if bare == AVERAGED {
                continue;
            }
            let is_float = FloatType::of_safetensors(dtype).is_some();
            let tensor = Found {
                shape: shape.to_vec(),
                not_floats: (!is_float).then(|| format!("{dtype:?}")),
            };
            if found.insert(bare.clone(), tensor).is_some() {
                let remedy = "Leave one of them out";
                let place = path.display().to_string();
                let found = format!("two called {bare}");
                let error =
                    FormatError::mismatch(&place, "tensors", "one of each name", found, remedy);
                return Err(error.into());
            }
            names.insert(bare, name);
        }
        model.check(path, &found, None)?;
        let mut arrays = BTreeMap::new();
        for spec in model.shapes {
            let Some(name) = names.get(&spec.name) else {
                continue;
            };
            let rows = file.floats(name)?;
            let all = 0..rows.shape().first().copied().unwrap_or(1);
            let array = rows.read(all).map_err(FormatError::io("read", path))?;
            arrays.insert(spec.name.clone(), array);
        }
        Ok(Self {
            tensors: Tensors::Arrays(arrays),
            form: model.form,
            step: file.metadata("step").and_then(|step| step.parse().ok()),
        })
    }

    /// The elements of a tensor.
    pub fn values(&self, spec: &TensorSpec) -> Vec<f32> {
        let values = match &self.tensors {
            Tensors::Torch { file, tensors } => {
                tensors.get(&spec.name).map(|tensor| file.values(tensor))
            }
            Tensors::Arrays(arrays) => arrays.get(&spec.name).map(|array| array.values.clone()),
        };
        // Of what is not in the file all that may be missing has a start.
        let start = || self.form.and_then(|form| form.start(spec));
        values.or_else(start).unwrap_or_default()
    }

    /// What a person must know about the file.
    pub fn note(&self) -> Option<String> {
        let Tensors::Torch { file, .. } = &self.tensors else {
            return None;
        };
        file.is_unguarded().then(|| {
            format!(
                "{}: saved without checksums; nothing guards its bytes, compare the file's own checksum with that of where it came from",
                file.path().display()
            )
        })
    }
}

/// What a file must hold.
pub(super) struct Model<'a> {
    pub shapes: &'a [TensorSpec],
    /// What else the family's files hold, and what not.
    pub form: Option<&'static dyn Published>,
}

impl Model<'_> {
    /// Whether a file's tensors are the model's.
    fn check(
        &self,
        path: &Path,
        found: &BTreeMap<String, Found>,
        of: Option<&dyn Family>,
    ) -> Result<(), ImportError> {
        let problems = problems(self.shapes, self.form, found);
        if problems.is_empty() {
            return Ok(());
        }
        Err(ImportError::Mismatch {
            path: path.to_owned(),
            problems: summary(&problems),
            remedy: remedy(found, of),
        })
    }
}

/// A name without what wrappers put before it.
fn bare(name: &str) -> String {
    let mut bare = name.to_owned();
    for wrapper in WRAPPERS {
        bare = bare.replace(wrapper, "");
    }
    let mut inner = bare.as_str();
    while let Some(rest) = inner.strip_prefix(OUTERMOST) {
        inner = rest;
    }
    inner.to_owned()
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
        if key == AVERAGED {
            continue;
        }
        let tensor = file.tensor(key, value)?;
        let name = bare(key);
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
    found: &BTreeMap<String, Found>,
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
            Some(tensor) => {
                let kind = tensor.not_floats.iter();
                problems.extend(kind.map(|kind| format!("{name}: expected floats, found {kind}")));
            }
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
fn remedy(found: &BTreeMap<String, Found>, of: Option<&dyn Family>) -> String {
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

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn what_wrappers_put_before_names_is_left_out() {
        for name in [
            "encoder.in_conv.weight",
            "module.encoder.in_conv.weight",
            "_orig_mod.encoder.in_conv.weight",
            "module._orig_mod.encoder.in_conv.weight",
            "_orig_mod.module.module.encoder.in_conv.weight",
            "_fsdp_wrapped_module.encoder._checkpoint_wrapped_module.in_conv.weight",
            "_forward_module.encoder._orig_mod.in_conv.weight",
        ] {
            assert_eq!(bare(name), "encoder.in_conv.weight", "{name}");
        }
        assert_eq!(bare("encoder.module.weight"), "encoder.module.weight");
    }
}
