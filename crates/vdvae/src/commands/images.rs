//! The images that a command is given: files, folders, or a data set.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use vdvae_data::{Batch, Dataset, ImageShape, load_images};

use super::data::{open_some, tell_losses};
use super::image_shape;
use super::inputs::{Bad, image_files, joined, look_at, usable};
use crate::cli::latents::{ImageArgs, LayerRange};
use crate::error::usage;
use crate::trained::TrainedModel;

/// All images of the files, and of those in the folders, in memory.
///
/// # Errors
/// If there is none, or one cannot be read and these are not to be skipped.
pub fn load_all(given: &[PathBuf], bad: Bad, model: &TrainedModel) -> Result<Batch> {
    let shape = image_shape(&*model.plan);
    let loaded = usable(image_files(given)?, bad, |path| {
        Ok(load_images(&[path], shape)?)
    })?;
    let (batches, losses): (_, Vec<_>) = loaded.into_iter().unzip();
    tell_losses(losses.into_iter().sum());
    Ok(joined(batches, shape))
}

/// Images that were looked through, and are read again a batch at a time when they are needed.
pub struct ImageStream {
    source: Origin,
    /// The numbers of those that are meant, among all that there are.
    items: Vec<usize>,
}

enum Origin {
    Files(Vec<PathBuf>, ImageShape),
    DataSet(Arc<dyn Dataset>),
}

impl ImageStream {
    /// # Errors
    /// If the images cannot be found, none is left, or one cannot be read and these are not to be skipped.
    pub fn open(arguments: &ImageArgs, model: &TrainedModel) -> Result<Self> {
        let skip = arguments.skip_bad_images;
        if arguments.images.is_empty() {
            let (data, split) = (arguments.data.as_ref(), arguments.split);
            let (_, _, dataset) = open_some(model, data, split, skip)?;
            let items: Vec<usize> = arguments.part.of(dataset.len())?.collect();
            look_at(&*dataset, &items)?;
            let source = Origin::DataSet(dataset);
            return Ok(Self { source, items });
        }
        let shape = image_shape(&*model.plan);
        let paths = image_files(&arguments.images)?;
        let items = arguments.part.of(paths.len())?.collect();
        let looked = usable(items, Bad::skipped_if(skip), |item: usize| {
            let (_, losses) = load_images(&paths[item..=item], shape)?;
            Ok((item, losses))
        })?;
        let (items, losses): (_, Vec<_>) = looked.into_iter().unzip();
        tell_losses(losses.into_iter().sum());
        let source = Origin::Files(paths, shape);
        Ok(Self { source, items })
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// What a person would call each.
    pub fn names(&self) -> Vec<String> {
        let name = |&item: &usize| match &self.source {
            Origin::Files(paths, _) => paths[item].display().to_string(),
            Origin::DataSet(dataset) => dataset.name(item),
        };
        self.items.iter().map(name).collect()
    }

    /// The images, so many at once, or fewer where some were left out: the numbers of a batch, its indices, follow
    /// each other.
    pub fn batches(&self, size: usize) -> impl Iterator<Item = Result<Batch>> {
        let runs = self.items.chunk_by(|one, next| one + 1 == *next);
        let batches = runs.flat_map(move |run| run.chunks(size));
        batches.map(|items| match &self.source {
            Origin::Files(paths, shape) => {
                let paths = &paths[items[0]..items[0] + items.len()];
                let (batch, _) = load_images(paths, *shape)?;
                let indices = items.iter().map(|&item| item as u64).collect();
                Ok(Batch { indices, ..batch })
            }
            Origin::DataSet(dataset) => Ok(Batch::read(&**dataset, items)?),
        })
    }
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
