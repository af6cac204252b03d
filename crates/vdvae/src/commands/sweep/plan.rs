//! Which runs a sweep is made of, checked before the first of them begins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cli::{Configuration, SweepArgs, TrainArgs};
use crate::commands::request::{config_in, difference, requested};
use crate::config::Config;
use crate::error::usage;
use crate::run_dir::RunDir;

/// A run that is to be made, or was.
pub struct Planned {
    /// The configuration's file name without its ending.
    pub name: String,
    /// Of all random choices.
    pub seed: u64,
    /// Where it is kept.
    pub folder: RunDir,
    /// The complete configuration, the normalisation perhaps aside.
    pub config: Config,
    /// The same as the arguments of `vdvae train`, which begin the run or go on with it.
    pub arguments: TrainArgs,
}

impl Planned {
    /// A run with this seed, whose images are held out by that of the set.
    fn new(arguments: &SweepArgs, file: &Path, seed: u64, split_seed: u64) -> Result<Self> {
        let name = stem(file);
        let folder = RunDir::new(arguments.out.join(format!("{name}-seed{seed}")));
        // Where it is the run's own, the run is what it would be alone.
        let shared = (split_seed != seed).then(|| format!("data.split_seed={split_seed}"));
        let arguments = TrainArgs {
            configuration: Configuration {
                preset: None,
                config: Some(file.to_owned()),
                set: shared.into_iter().collect(),
            },
            data: arguments.data.clone(),
            out: Some(folder.path().to_owned()),
            steps: arguments.steps,
            batch: None,
            seed: Some(seed),
            checkpoint_activations: false,
            init: None,
            resume: folder.config().exists(),
            skip_bad_images: arguments.skip_bad_images,
            new_images: None,
            tensorboard: false,
            json: false,
            machine: arguments.machine.clone(),
        };
        let config = requested(&arguments)?;
        Ok(Self {
            name,
            seed,
            folder,
            config,
            arguments,
        })
    }

    /// Where the row of a finished run is kept.
    pub fn result_file(&self) -> PathBuf {
        self.folder.path().join("result.json")
    }

    /// A folder with another experiment would give the table a row that is not of this set.
    fn check_folder(&self) -> Result<()> {
        if !self.arguments.resume {
            return Ok(());
        }
        let difference = difference(&self.config, &self.folder.load_config()?);
        if difference.is_empty() {
            return Ok(());
        }
        Err(usage(format!(
            "{}: another run is kept there, with {} (asked for, other: there). Choose another --out, or delete the folder",
            self.folder.path().display(),
            difference.join(", ")
        )))
    }
}

/// Every configuration with the first seed, then with the next: a table that is not full yet has them
/// all.
///
/// # Errors
/// If a configuration is not valid, two have the same name, or a run's folder holds another experiment.
pub fn plan(arguments: &SweepArgs) -> Result<Vec<Planned>> {
    let files = files(&arguments.configurations)?;
    let mut seeds = arguments.seeds.clone();
    seeds.sort_unstable();
    seeds.dedup();
    let split_seed = split_seed(arguments, &files)?;
    let mut planned = Vec::new();
    for seed in seeds {
        for file in &files {
            let run = Planned::new(arguments, file, seed, split_seed)?;
            run.check_folder()?;
            planned.push(run);
        }
    }
    Ok(planned)
}

/// What decides about the images that all runs hold out: the configurations' own seed, before a run's takes its place.
///
/// # Errors
/// If configurations differ in it.
fn split_seed(arguments: &SweepArgs, files: &[PathBuf]) -> Result<u64> {
    let data = arguments.data.as_ref();
    let seed_of = |file: &Path| config_in(file, data).map(|config| config.split_seed());
    let shared = seed_of(&files[0])?;
    for file in files {
        let seed = seed_of(file)?;
        if seed != shared {
            return Err(usage(format!(
                "{}: expected to hold out the images that {} does, by the seed {shared}, found {seed}; give both the same data.split_seed",
                file.display(),
                files[0].display()
            )));
        }
    }
    Ok(shared)
}

/// The configuration files by name.
fn files(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut by_name: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in given {
        let found = if path.is_dir() {
            files_in(path)?
        } else {
            vec![path.clone()]
        };
        for file in found {
            if let Some(other) = by_name.insert(stem(&file), file.clone())
                && other != file
            {
                return Err(usage(format!(
                    "{}: expected configurations with different names, which the runs are called by; {} has the same",
                    file.display(),
                    other.display()
                )));
            }
        }
    }
    Ok(by_name.into_values().collect())
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("{}: cannot list this folder", folder.display());
    let entries = std::fs::read_dir(folder).with_context(unreadable)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut files: Vec<PathBuf> = paths.collect::<Result<_, _>>().with_context(unreadable)?;
    files.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    if files.is_empty() {
        return Err(usage(format!(
            "{}: expected a folder of configurations; no file there ends in .toml",
            folder.display()
        )));
    }
    Ok(files)
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}
