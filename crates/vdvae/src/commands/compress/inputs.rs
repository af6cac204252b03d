//! The images to compress: files with their names, or a data set.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use vdvae_coding::container::{check_name, number};
use vdvae_data::{Batch, Dataset, PictureFile, image_paths};

use crate::cli::compress::CompressArgs;
use crate::commands::open_data;
use crate::compress::Images;
use crate::console::tell;
use crate::error::usage;
use crate::trained::TrainedModel;

/// See [`Inputs::open`].
pub enum Inputs {
    /// Each with its name in the archive.
    Files(Vec<(String, PictureFile)>),
    /// The first so many of a data set.
    Data(Arc<dyn Dataset>, usize),
}

impl Inputs {
    /// Opens all images that a command is given.
    ///
    /// # Errors
    /// If one cannot be read or compressed exactly, or there is none.
    pub fn open(arguments: &CompressArgs, model: &TrainedModel) -> Result<Self> {
        if !arguments.images.is_empty() {
            return Self::files(&arguments.images, model);
        }
        if arguments.data.is_none() && arguments.split.is_none() {
            return Err(usage(
                "expected images to compress: files, folders, --data SOURCE or, for the run's own, \
                 --split SPLIT; found none",
            ));
        }
        let skip = arguments.skip_bad_images;
        let (_, _, dataset) = open_data(
            &model.config,
            &*model.plan,
            arguments.data.as_ref(),
            arguments.split,
            skip,
        )?;
        let most = arguments.n.unwrap_or(u64::MAX);
        let count = dataset
            .len()
            .min(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(Self::Data(dataset, count))
    }

    fn files(given: &[PathBuf], model: &TrainedModel) -> Result<Self> {
        let mut files = Vec::new();
        let mut photographs = 0;
        for (path, name) in named_paths(given)? {
            let name = path_name(&name)
                .with_context(|| format!("{}: cannot keep this name", path.display()))?;
            let is_jpeg = path
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("jpg") || e.eq_ignore_ascii_case("jpeg"));
            photographs += usize::from(is_jpeg);
            let place = path.display().to_string();
            let picture = PictureFile::open(path)?;
            if picture.shape()[2] > model.plan.image().channels {
                return Err(usage(format!(
                    "{place}: expected a gray picture, as the model has one colour, found RGB. Convert \
                     it, or use a model of three colours"
                )));
            }
            files.push((name, picture));
        }
        if photographs > 0 {
            tell(format_args!(
                "{photographs} JPEG files: their pixels are kept, which usually take more room than the files"
            ));
        }
        Ok(Self::Files(files))
    }
}

impl Images for Inputs {
    fn len(&self) -> usize {
        match self {
            Self::Files(files) => files.len(),
            Self::Data(_, count) => *count,
        }
    }

    fn name(&self, index: usize) -> String {
        match self {
            Self::Files(files) => files[index].0.clone(),
            Self::Data(_, count) => number(index, *count),
        }
    }

    fn shape(&self, index: usize) -> [usize; 3] {
        match self {
            Self::Files(files) => files[index].1.shape(),
            Self::Data(dataset, _) => {
                let image = dataset.image();
                [image.size, image.size, image.channels]
            }
        }
    }

    fn read(&self, index: usize) -> Result<Vec<u8>> {
        match self {
            Self::Files(files) => Ok(files[index].1.read()?),
            Self::Data(dataset, _) => Ok(Batch::read(&**dataset, &[index])?.images),
        }
    }
}

/// Every file with the path by which it is known in the archive: its name, or below a folder that was
/// given the folder's name and what follows.
fn named_paths(given: &[PathBuf]) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            let name = path.file_name().map_or_else(PathBuf::new, PathBuf::from);
            files.push((path.clone(), name));
            continue;
        }
        // `.` and `..` have names, too.
        let real = path
            .canonicalize()
            .with_context(|| path.display().to_string())?;
        let folder = real.file_name().map_or_else(PathBuf::new, PathBuf::from);
        for file in image_paths(path)? {
            let below = file.strip_prefix(path).unwrap_or(&file);
            let name = folder.join(below);
            files.push((file, name));
        }
    }
    Ok(files)
}

/// The name of an image in the archive: with `/`, and ending as the PNG that decompression writes.
fn path_name(path: &Path) -> Result<String> {
    let path = path.with_extension("png");
    let parts: Option<Vec<&str>> = path
        .components()
        .map(|part| match part {
            Component::Normal(part) => part.to_str(),
            _ => None,
        })
        .collect();
    let name = parts
        .context("expected UTF-8 characters; rename the file")?
        .join("/");
    check_name(&name)?;
    Ok(name)
}
