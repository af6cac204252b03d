//! The images that a command is given: files, folders, or a data set.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use vdvae_data::{Batch, Dataset, ImageShape, image_paths, load_images};

use super::{image_shape, open_data};
use crate::cli::latents::{ImageArgs, LayerRange};
use crate::error::usage;
use crate::trained::TrainedModel;

/// All images, in memory.
pub struct Images {
    pub batch: Batch,
}

impl Images {
    /// The files, and those in the folders.
    pub fn files(given: &[PathBuf], model: &TrainedModel) -> Result<Self> {
        let paths = image_files(given)?;
        Ok(Self {
            batch: load_images(&paths, image_shape(&*model.plan))?,
        })
    }
}

/// Images that are read when they are needed, a batch at a time.
pub struct ImageStream {
    source: Origin,
    /// Which of them.
    items: Range<usize>,
}

enum Origin {
    Files(Vec<PathBuf>, ImageShape),
    DataSet(Arc<dyn Dataset>),
}

impl ImageStream {
    /// # Errors
    /// If the images cannot be found, or none is left.
    pub fn open(arguments: &ImageArgs, model: &TrainedModel) -> Result<Self> {
        let source = if arguments.images.is_empty() {
            let (_, _, dataset) = open_data(
                &model.config,
                &*model.plan,
                arguments.data.as_ref(),
                arguments.split,
                arguments.skip_bad_images,
            )?;
            Origin::DataSet(dataset)
        } else {
            let paths = image_files(&arguments.images)?;
            Origin::Files(paths, image_shape(&*model.plan))
        };
        let items = arguments.part.of(source.len())?;
        Ok(Self { source, items })
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// What a person would call each.
    pub fn names(&self) -> Vec<String> {
        let name = |item: usize| match &self.source {
            Origin::Files(paths, _) => paths[item].display().to_string(),
            Origin::DataSet(dataset) => dataset.name(item),
        };
        self.items.clone().map(name).collect()
    }

    /// The images, so many at once; their indices are their numbers among all, of which these may be a part.
    pub fn batches(&self, size: usize) -> impl Iterator<Item = Result<Batch>> {
        let starts = self.items.clone().step_by(size);
        starts.map(move |start| {
            let items: Vec<usize> = (start..self.items.end.min(start + size)).collect();
            match &self.source {
                Origin::Files(paths, shape) => {
                    let batch = load_images(&paths[start..start + items.len()], *shape)?;
                    let indices = items.into_iter().map(|item| item as u64).collect();
                    Ok(Batch { indices, ..batch })
                }
                Origin::DataSet(dataset) => Ok(Batch::read(&**dataset, &items)?),
            }
        })
    }
}

impl Origin {
    fn len(&self) -> usize {
        match self {
            Self::Files(paths, _) => paths.len(),
            Self::DataSet(dataset) => dataset.len(),
        }
    }
}

/// The files, and those in the folders.
fn image_files(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for path in given {
        if path.is_dir() {
            paths.extend(image_paths(path)?);
        } else {
            paths.push(path.clone());
        }
    }
    Ok(paths)
}

/// The layers of a model of `depth` that are meant: all, unless some are given.
pub fn layer_range(given: Option<&LayerRange>, depth: usize) -> Result<std::ops::Range<usize>> {
    let Some(LayerRange(range)) = given else {
        return Ok(0..depth);
    };
    let end = if range.end == usize::MAX {
        depth
    } else {
        range.end
    };
    if range.start >= depth || end > depth {
        return Err(usage(format!(
            "--layers: expected layers of 0..{depth}, all that the model has, found {}..{end}",
            range.start
        )));
    }
    Ok(range.start..end)
}
