//! The images that a command is given: files, folders, or a data set.

use std::path::PathBuf;

use anyhow::Result;
use vdvae_data::{Batch, load_images};

use super::data::{open_some, tell_losses};
use super::image_shape;
use super::inputs::{image_files, joined, read_all, usable};
use crate::cli::latents::{ImageArgs, LayerRange};
use crate::error::usage;
use crate::memory::available_memory;
use crate::trained::TrainedModel;

/// All images, and what a person would call each.
pub struct Images {
    pub batch: Batch,
    pub names: Vec<String>,
}

impl Images {
    /// # Errors
    /// If an image cannot be read, or there is none.
    pub fn open(arguments: &ImageArgs, model: &TrainedModel) -> Result<Self> {
        if !arguments.images.is_empty() {
            return Self::files(&arguments.images, arguments.skip_bad_images, model);
        }
        let (_, _, dataset) = open_some(
            model,
            arguments.data.as_ref(),
            arguments.split,
            arguments.skip_bad_images,
        )?;
        let most = arguments.n.unwrap_or(u64::MAX);
        let count = dataset
            .len()
            .min(usize::try_from(most).unwrap_or(usize::MAX));
        let indices: Vec<usize> = (0..count).collect();
        Ok(Self {
            batch: read_all(&*dataset, &indices)?,
            names: indices.iter().map(|&index| dataset.name(index)).collect(),
        })
    }

    /// The files, and those in the folders.
    ///
    /// # Errors
    /// If there is none, or one cannot be read and these are not to be skipped.
    pub fn files(given: &[PathBuf], skip_bad_images: bool, model: &TrainedModel) -> Result<Self> {
        let shape = image_shape(&*model.plan);
        let looked = usable(image_files(given)?, skip_bad_images, |path| {
            let name = path.display().to_string();
            Ok((name, load_images(&[path], shape)?))
        })?;
        let (names, loaded): (_, Vec<_>) = looked.into_iter().unzip();
        let (batches, losses): (_, Vec<_>) = loaded.into_iter().unzip();
        tell_losses(losses.into_iter().sum());
        let batch = joined(batches, shape);
        Ok(Self { batch, names })
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

/// An error if `values` numbers for each of `images` images, and a file of them, do not fit into memory.
pub fn check_memory(values: usize, images: usize, remedy: &str) -> Result<()> {
    let bytes = 2 * 4 * values as u64 * images as u64;
    match available_memory() {
        Some(available) if bytes > available => Err(usage(format!(
            "{images} images: expected to need at most {} MiB of memory, which are free, found {} MiB. {remedy}",
            available >> 20,
            bytes >> 20
        ))),
        _ => Ok(()),
    }
}
