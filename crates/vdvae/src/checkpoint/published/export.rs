//! Writes the published files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use vdvae_formats::safetensors::{self, LazyTensor};
use vdvae_formats::torch::{self, Object};

use super::log::published_lines;
use super::optimizer::MOMENTS;
use crate::checkpoint::CheckpointError;
use crate::checkpoint::Progress;
use crate::checkpoint::file::{CheckpointFile, floats};
use crate::checkpoint::native::{AVERAGE, FIRST, SECOND, WEIGHTS};
use crate::config::{Config, learning_rate};
use crate::files::write_atomically;
use crate::log::{self, Entry};
use crate::models::published::{Published, Saved, integer};
use crate::ops::Optimizer;
use crate::parameters::{Role, TensorSpec};
use crate::run_dir::RunDir;

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot write the file: {source}. Choose another place with --out", path.display())]
pub struct ExportError {
    path: PathBuf,
    source: io::Error,
}

/// Writes a checkpoint of `run` as the family's published code does: one file with everything, or several
/// whose names begin with `prefix`.
///
/// Returns the files that were written.
///
/// # Errors
/// If the checkpoint cannot be read, or a file not be written; each file is whole or absent.
pub fn export_published(
    run: &RunDir,
    config: &Config,
    checkpoint: &Path,
    prefix: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    let source = Source::open(config, checkpoint)?;
    match config.model.family().published() {
        Some(form) => Ok(vec![one_file(form, config, &source, prefix)?]),
        None => separate_files(run, config, &source, prefix),
    }
}

/// `prefix` and the ending of the family's files. Of a checkpoint that holds the averaged weights alone, these
/// and no state of the optimizer.
fn one_file(
    form: &dyn Published,
    config: &Config,
    source: &Source<'_>,
    prefix: &Path,
) -> anyhow::Result<PathBuf> {
    let mut path = OsString::from(prefix);
    path.push(form.ending());
    let path = PathBuf::from(path);
    let holds_state = source.file.holds_state();
    let mut tensors = source.tensors(if holds_state { WEIGHTS } else { AVERAGE })?;
    let (optimizer, _) = form.optimizer();
    let moments = if holds_state && config.train.optimizer == optimizer {
        let moments = source.moments()?;
        let first = tensors.len();
        let places = (0..moments.len()).map(|index| [first + 2 * index, first + 2 * index + 1]);
        let places = places.collect();
        tensors.extend(moments.into_iter().flatten());
        Some(places)
    } else {
        None
    };
    let progress = source.file.progress()?;
    let arguments = form.arguments(config.model.values())?;
    let saved = Saved {
        tensors: &source.shapes,
        moments,
        recipe: &config.train.recipe(progress.step),
        arguments: &arguments,
        step: progress.step,
        updates: progress.updates,
        steps_per_epoch: (config.train.lr_every > 1).then_some(config.train.lr_every),
    };
    let dictionary = form.dictionary(&saved);
    save_file(&path, &|writer| torch::write(writer, &dictionary, &tensors))?;
    Ok(path)
}

/// `PREFIX-model.th` (weights), `PREFIX-model-ema.th` (averaged weights), `PREFIX-opt.th` (the state of AdamW)
/// and `PREFIX-log.jsonl` (the step). Of a checkpoint that holds the averaged weights alone, only
/// `PREFIX-model-ema.th`.
fn separate_files(
    run: &RunDir,
    config: &Config,
    source: &Source<'_>,
    prefix: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    let mut save = |ending: &str, write: &dyn Fn(&mut dyn Write) -> io::Result<()>| {
        let mut path = OsString::from(prefix);
        path.push(ending);
        written.push(PathBuf::from(path));
        save_file(&written[written.len() - 1], write)
    };
    let average = source.tensors(AVERAGE)?;
    let names: Vec<&str> = average.iter().map(|tensor| tensor.name.as_str()).collect();
    let dictionary = state_dictionary(&names);
    save("-model-ema.th", &|writer| {
        torch::write(writer, &dictionary, &average)
    })?;
    if !source.file.holds_state() {
        return Ok(written);
    }
    let progress = source.file.progress()?;
    let weights = source.tensors(WEIGHTS)?;
    save("-model.th", &|writer| {
        torch::write(writer, &dictionary, &weights)
    })?;
    // Moments of another optimizer would be taken for AdamW's.
    if config.train.optimizer == Optimizer::AdamW {
        let (state, tensors) = source.optimizer(&progress)?;
        save("-opt.th", &|writer| torch::write(writer, &state, &tensors))?;
    }
    let entries = match log::read(&run.log()) {
        Err(log::LogError::Read { reason, .. }) if reason.kind() == io::ErrorKind::NotFound => {
            Vec::<Entry>::new()
        }
        entries => entries?,
    };
    let lines = published_lines(&entries, &run.name(), progress.step, config);
    save("-log.jsonl", &|writer| {
        lines.iter().try_for_each(|line| writeln!(writer, "{line}"))
    })?;
    Ok(written)
}

/// Writes the averaged weights of a checkpoint as safetensors, under the published names, with the configuration but
/// for the place of the images: the bytes do not depend on where somebody keeps them.
///
/// # Errors
/// As [`export_published`].
pub fn export_safetensors(config: &Config, checkpoint: &Path, path: &Path) -> anyhow::Result<()> {
    let source = Source::open(config, checkpoint)?;
    let tensors = source.tensors(AVERAGE)?;
    let metadata = BTreeMap::from([
        // What other programs ask for before they load.
        ("format".to_owned(), "pt".to_owned()),
        ("weights".to_owned(), "averaged".to_owned()),
        ("step".to_owned(), source.file.progress()?.step.to_string()),
        ("config".to_owned(), config.without_place().to_toml()),
    ]);
    Ok(save_file(path, &|mut writer| {
        safetensors::write(&mut writer, &metadata, &tensors)
    })?)
}

fn save_file(
    path: &Path,
    write: &dyn Fn(&mut dyn Write) -> io::Result<()>,
) -> Result<(), ExportError> {
    write_atomically(path, |writer| write(writer)).map_err(|source| ExportError {
        path: path.to_owned(),
        source,
    })
}

/// A checkpoint that belongs to the configuration.
struct Source<'a> {
    config: &'a Config,
    file: CheckpointFile,
    shapes: Vec<TensorSpec>,
}

impl<'a> Source<'a> {
    fn open(config: &'a Config, checkpoint: &Path) -> anyhow::Result<Self> {
        let file = CheckpointFile::open(checkpoint)?;
        file.check_model(config)?;
        let shapes = config.plan()?.tensors();
        Ok(Self {
            config,
            file,
            shapes,
        })
    }

    /// The model's tensors under their published names, one of the checkpoint's kinds.
    fn tensors(&self, prefix: &'static str) -> Result<Vec<LazyTensor<'_>>, CheckpointError> {
        let shapes = self.shapes.iter();
        shapes.map(|spec| self.tensor(prefix, spec)).collect()
    }

    fn tensor(
        &self,
        prefix: &'static str,
        spec: &TensorSpec,
    ) -> Result<LazyTensor<'_>, CheckpointError> {
        let bytes = self.file.bytes(prefix, spec)?;
        Ok(LazyTensor {
            name: spec.name.clone(),
            shape: spec.shape.clone(),
            values: Box::new(move || floats(bytes)),
        })
    }

    /// First and second moment of every learned tensor.
    fn moments(&self) -> Result<Vec<[LazyTensor<'_>; 2]>, CheckpointError> {
        let learned = self.shapes.iter().filter(|spec| spec.role == Role::Weight);
        learned
            .map(|spec| Ok([self.tensor(FIRST, spec)?, self.tensor(SECOND, spec)?]))
            .collect()
    }

    /// The state of AdamW, for PyTorch's and for the fused one of the published script.
    fn optimizer(
        &self,
        progress: &Progress,
    ) -> Result<(Object, Vec<LazyTensor<'_>>), CheckpointError> {
        let updates = progress.updates as f32;
        let (mut state, mut tensors) = (Vec::new(), Vec::new());
        for (index, [first, second]) in self.moments()?.into_iter().enumerate() {
            let step = LazyTensor {
                name: "step".to_owned(),
                shape: Vec::new(),
                values: Box::new(move || vec![updates]),
            };
            let at = tensors.len();
            tensors.extend([step, first, second]);
            let of_parameter = vec![
                ("step".into(), Object::Tensor(at)),
                (MOMENTS[0].into(), Object::Tensor(at + 1)),
                (MOMENTS[1].into(), Object::Tensor(at + 2)),
            ];
            state.push((integer(index as u64), Object::Dict(of_parameter)));
        }
        let group = self.parameter_group(progress);
        let dictionary = Object::Dict(vec![
            ("state".into(), Object::Dict(state)),
            ("param_groups".into(), Object::List(vec![group])),
        ]);
        Ok((dictionary, tensors))
    }

    fn parameter_group(&self, progress: &Progress) -> Object {
        let train = &self.config.train;
        let betas = (
            Object::Float(train.adam_beta1),
            Object::Float(train.adam_beta2),
        );
        let rate = learning_rate(train, progress.step);
        let parameters = (0..self.shapes.len() as u64).map(integer).collect();
        Object::Dict(vec![
            ("lr".into(), Object::Float(rate)),
            ("betas".into(), Object::Pair(Box::new(betas))),
            ("eps".into(), Object::Float(train.adam_eps)),
            ("weight_decay".into(), Object::Float(train.wd)),
            ("amsgrad".into(), Object::Bool(false)),
            ("maximize".into(), Object::Bool(false)),
            ("foreach".into(), Object::None),
            ("capturable".into(), Object::Bool(false)),
            ("differentiable".into(), Object::Bool(false)),
            ("fused".into(), Object::None),
            ("decoupled_weight_decay".into(), Object::Bool(true)),
            // For the fused optimizer, which counts here.
            ("bias_correction".into(), Object::Bool(true)),
            ("step".into(), integer(progress.updates)),
            ("initial_lr".into(), Object::Float(train.lr)),
            ("params".into(), Object::List(parameters)),
        ])
    }
}

/// Names to tensors, in this order.
fn state_dictionary(names: &[&str]) -> Object {
    let entry = |(index, &name): (usize, &&str)| (name.into(), Object::Tensor(index));
    Object::Dict(names.iter().enumerate().map(entry).collect())
}
