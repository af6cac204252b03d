//! Images are looked through before any work: all bad ones are named, or left out.

use std::path::PathBuf;

use anyhow::{Error, Result, anyhow};
use rayon::prelude::*;
use vdvae_data::{Batch, DataError, Dataset, ImageShape, look_through};

use super::data::{tell_later_losses, tell_passed_over};
use super::progress_bar;
use crate::console::tell;
use crate::error::{exit_code, message, usage};

/// The files that are given, and those in the folders.
///
/// # Errors
/// If a folder cannot be read or holds no images.
pub fn image_files(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for path in given {
        if path.is_dir() {
            let found = look_through(path)?;
            tell_passed_over(Some(&found.passed_over));
            paths.extend(found.images);
        } else {
            paths.push(path.clone());
        }
    }
    Ok(paths)
}

/// What becomes of bad images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// An error; no option skips them.
    Refused,
    /// An error, which says how to skip them.
    Named,
    /// Left out, and said.
    Skipped,
}

impl Bad {
    /// As `--skip-bad-images` has it.
    pub fn skipped_if(skip_bad_images: bool) -> Self {
        if skip_bad_images {
            Self::Skipped
        } else {
            Self::Named
        }
    }
}

/// What `look` makes of each item, in their order, without those that are bad if these may be skipped.
///
/// # Errors
/// One that names all bad items, if they may not be skipped; or if there is no other item.
pub fn usable<I: Send, T: Send>(
    items: Vec<I>,
    what_of_bad: Bad,
    look: impl Fn(I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let count = items.len();
    let bar = progress_bar(count as u64, "images looked at");
    let looked: Vec<Result<T>> = items
        .into_par_iter()
        .map(|item| {
            let looked = look(item);
            bar.inc(1);
            looked
        })
        .collect();
    bar.finish_and_clear();
    let mut good = Vec::with_capacity(count);
    let mut bad = Vec::new();
    for looked in looked {
        match looked {
            Ok(item) => good.push(item),
            Err(error) => bad.push(error),
        }
    }
    if bad.is_empty() {
        return Ok(good);
    }
    if what_of_bad != Bad::Skipped || good.is_empty() {
        return Err(all_bad(&bad, count, what_of_bad));
    }
    for error in &bad {
        tell(format_args!("skipped {}", reason(error)));
    }
    Ok(good)
}

/// What is wrong with an image, without what to do about it.
fn reason(error: &Error) -> String {
    match error.downcast_ref::<DataError>() {
        Some(DataError::BadImage { name, reason, .. }) => format!("{name}: {reason}"),
        _ => message(error),
    }
}

/// The error of what was typed wrongly only if every one is.
fn all_bad(bad: &[Error], count: usize, what_of_bad: Bad) -> Error {
    let mut text = match bad {
        [error] => reason(error),
        _ => {
            let lines = bad.iter().map(|error| format!("\n  {}", reason(error)));
            let lines: String = lines.collect();
            format!("{} of {count} images cannot be used:{lines}\n", bad.len())
        }
    };
    if bad.len() < count && what_of_bad == Bad::Named {
        text += if bad.len() == 1 { ". " } else { "" };
        text += "Repair or remove what is bad, or go on without it: --skip-bad-images";
    }
    let text = text.trim_end();
    if bad.iter().all(|error| exit_code(error) == 2) {
        usage(text)
    } else {
        anyhow!("{text}")
    }
}

/// The images at `indices` of a data set, all of which can be read.
///
/// # Errors
/// One that names all that cannot.
pub fn read_all(dataset: &dyn Dataset, indices: &[usize]) -> Result<Batch> {
    let losses = dataset.losses();
    let images = usable(indices.to_vec(), Bad::Named, |index| {
        Ok(Batch::read(dataset, &[index])?)
    })?;
    tell_later_losses(losses, dataset.losses());
    Ok(joined(images, dataset.image()))
}

/// Reads the images at `indices` of a data set, a few at a time, and keeps none.
///
/// # Errors
/// One that names all that cannot be read.
pub fn look_at(dataset: &dyn Dataset, indices: &[usize]) -> Result<()> {
    let losses = dataset.losses();
    usable(indices.to_vec(), Bad::Named, |index| {
        Ok(Batch::read(dataset, &[index]).map(drop)?)
    })?;
    tell_later_losses(losses, dataset.losses());
    Ok(())
}

/// Batches one after the other.
pub fn joined(batches: Vec<Batch>, image: ImageShape) -> Batch {
    let indices = batches.iter().flat_map(|batch| &batch.indices);
    Batch {
        indices: indices.copied().collect(),
        classes: batches
            .iter()
            .flat_map(|batch| &batch.classes)
            .copied()
            .collect(),
        images: batches.into_iter().flat_map(|batch| batch.images).collect(),
        image,
        first_position: 0,
    }
}
