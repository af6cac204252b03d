//! Where a new run's weights are from: those of another run, or of a file.

use std::path::{Path, PathBuf};

use anyhow::Result;
use vdvae_data::{Collection, ImageList, OpenOptions, Source, Split};

use super::request::{asks_for, check_normalised, config_of, with_options};
use crate::checkpoint::published::{Files, config_in, import};
use crate::cli::TrainArgs;
use crate::config::Config;
use crate::console::tell;
use crate::error::usage;
use crate::models::Model;
use crate::parameters::Specs;
use crate::run_dir::RunDir;

/// Weights to start from.
pub struct Start {
    file: PathBuf,
    /// What the images of the run were for, where it is one.
    images: Option<ImageList>,
    /// What they were trained with, where that is told.
    config: Option<Config>,
}

impl Start {
    /// Of a run's folder, or a file.
    ///
    /// # Errors
    /// If there is none, or its configuration cannot be read.
    pub fn open(given: &Path) -> Result<Self> {
        if given.is_dir() {
            let run = RunDir::new(given);
            let config = Some(run.load_config()?);
            let file = run.default_checkpoint();
            let images = run.load_images()?;
            return Ok(Self {
                file,
                images,
                config,
            });
        }
        Ok(Self {
            file: given.to_owned(),
            images: None,
            config: config_in(given)?,
        })
    }

    /// The configuration of a run that starts here. Where it does not say how images become input, they become
    /// it as for these weights, and where it names no classes, these have the names that they had.
    ///
    /// # Errors
    /// If none is told, or it describes another model.
    pub fn requested(&self, arguments: &TrainArgs) -> Result<Config> {
        let configuration = &arguments.configuration;
        let is_named = configuration.preset.is_some() || configuration.config.is_some();
        let base = match &self.config {
            Some(config) if !is_named => config.clone(),
            None if !is_named => {
                return Err(usage(format!(
                    "--init {}: expected --preset NAME or --config FILE, the model that the weights are of, which the file does not tell",
                    self.file.display()
                )));
            }
            _ => config_of(configuration)?,
        };
        let mut config = with_options(arguments, base)?;
        let Some(trained) = &self.config else {
            check_normalised(&config)?;
            return Ok(config);
        };
        let mut model = trained.clone();
        model.model = config.model.clone();
        let difference = model.difference(trained);
        if !difference.is_empty() {
            return Err(usage(format!(
                "--init {}: weights of another model: {} (asked for, other: there). Leave out --preset and --config, or start without --init",
                self.file.display(),
                difference.join(", ")
            )));
        }
        if !asks_for(arguments, "data.shift") && !asks_for(arguments, "data.scale") {
            (config.data.shift, config.data.scale) = (trained.data.shift, trained.data.scale);
        }
        if config.data.classes.is_empty() {
            config.data.classes = trained.data.classes.clone();
        }
        Ok(config)
    }

    /// The images of a source: those that the weights were trained on stay training images, so that they are not
    /// tested on; where none is there, each is for what a new run takes it for.
    ///
    /// # Errors
    /// As [`Collection::split`].
    pub fn collection(&self, source: &Source, options: &OpenOptions) -> Result<Collection> {
        let split = Collection::split(source, options)?;
        let Some(list) = &self.images else {
            return Ok(split);
        };
        let trained = split.trained_on(list);
        if trained == 0 {
            return Ok(split);
        }
        let (mut collection, changes) = Collection::recorded(source, list, options)?;
        collection.train_on_new();
        if !collection.has(Split::Valid) {
            tell(format_args!(
                "warning: the weights were trained on {trained} of these images, which may now be validation or test images: no image that they were validated on is there"
            ));
            return Ok(split);
        }
        tell(format_args!(
            "the images are for what they were in the run that the weights are from; {} new ones are for training",
            changes.new.len()
        ));
        Ok(collection)
    }

    /// The weights, in a new model.
    ///
    /// # Errors
    /// If they cannot be read, or are another model's.
    pub fn weights_in(
        &self,
        model: Box<dyn Model>,
        config: &Config,
        specs: &Specs,
    ) -> Result<Box<dyn Model>> {
        let files = Files {
            weights: self.file.clone(),
            ..Files::default()
        };
        let imported = import(&files, config)?;
        tell(format_args!(
            "starting from the weights of step {} in {}",
            imported.progress().step,
            self.file.display()
        ));
        Ok(imported.average_in(model, specs))
    }
}
