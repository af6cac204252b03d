//! The images to compress: files with their names, or a data set. All are looked at before any work.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use vdvae_coding::container::number;
use vdvae_data::{Batch, DataError, Dataset, LossCounts, PassedOver, PictureFile};

use super::names::{Given, NamedFile, archive_name, named_files};
use crate::cli::compress::CompressArgs;
use crate::commands::data::{open_some, some_of, tell_passed_over};
use crate::commands::inputs::{Bad, usable};
use crate::compress::{Codec, Images};
use crate::console::tell;
use crate::error::usage;
use crate::trained::TrainedModel;

/// See [`Inputs::open`].
pub enum Inputs {
    /// Each with its name in the archive.
    Files(Vec<(String, PictureFile)>),
    /// These of a data set.
    Data(Arc<dyn Dataset>, Vec<usize>),
}

impl Inputs {
    /// Opens all images that a command is given.
    ///
    /// # Errors
    /// If one cannot be read or compressed exactly and these are not to be skipped, or there is none.
    pub fn open(arguments: &CompressArgs, model: &TrainedModel, codec: &Codec<'_>) -> Result<Self> {
        if !arguments.images.is_empty() {
            return Self::files(arguments, codec);
        }
        if arguments.data.is_none() && arguments.split.is_none() {
            return Err(usage(
                "expected images to compress: files, folders, --data SOURCE or, for the run's own, \
                 --split SPLIT; found none",
            ));
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
        let bad = Bad::skipped_if(arguments.skip_bad_images);
        let usable = usable((0..count).collect(), bad, |index: usize| {
            let batch = Batch::read(&*dataset, &[index])?;
            codec.check_values(&batch.images, &dataset.name(index))?;
            Ok(index)
        })?;
        Ok(Self::Data(dataset, usable))
    }

    fn files(arguments: &CompressArgs, codec: &Codec<'_>) -> Result<Self> {
        let Given {
            files,
            passed_over,
            repeated,
        } = named_files(&arguments.images)?;
        if !repeated.is_empty() {
            tell(format_args!(
                "given more than once, and compressed once: {}",
                some_of(&repeated)
            ));
        }
        for passed_over in &passed_over {
            check_left(passed_over, arguments.leave_others)?;
        }
        let looked = usable(
            files,
            Bad::skipped_if(arguments.skip_bad_images),
            |NamedFile { path, name }| {
                let is_jpeg = is_jpeg(&path);
                let (name, picture) = look(path, &name, arguments.allow_lossy_conversion, codec)?;
                Ok((name, picture, is_jpeg))
            },
        )?;
        let photographs = looked.iter().filter(|(_, _, is_jpeg)| *is_jpeg).count();
        if photographs > 0 {
            let (files, their) = match photographs {
                1 => ("file", "its"),
                _ => ("files", "their"),
            };
            tell(format_args!(
                "{photographs} JPEG {files}: {their} pixels are kept, which usually take more room than the {files}"
            ));
        }
        let mut losses = LossCounts::default();
        for (_, picture, _) in &looked {
            losses.add(picture.losses());
        }
        for sentence in losses.sentences() {
            tell(format_args!(
                "{sentence}; what is lost of them does not come back"
            ));
        }
        let files = looked.into_iter();
        let files = files.map(|(name, picture, _)| (name, picture));
        Ok(Self::Files(files.collect()))
    }
}

/// Files of a folder that are not in the archive are left only on purpose: who deletes the folder loses them.
fn check_left(passed_over: &PassedOver, leave: bool) -> Result<()> {
    if leave || passed_over.is_empty() {
        tell_passed_over(Some(passed_over));
        return Ok(());
    }
    let paths = passed_over.paths().iter();
    let names: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    Err(usage(format!(
        "{passed_over}, of no format that is read, so that the archive would not have them: {}. Convert them, or leave \
         them where they are: --leave-others",
        some_of(&names)
    )))
}

/// Whether a file's name says that it is a JPEG.
fn is_jpeg(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    let endings = ["jpg", "jpeg", "jpe", "jfif"];
    endings
        .iter()
        .any(|ending| extension.eq_ignore_ascii_case(ending))
}

/// A file that can be compressed, all of its pixels read once, with its name in the archive.
fn look(
    path: PathBuf,
    name: &Path,
    may_convert: bool,
    codec: &Codec<'_>,
) -> Result<(String, PictureFile)> {
    let place = path.display().to_string();
    let name = archive_name(name).with_context(|| format!("{place}: cannot keep this name"))?;
    let picture = if may_convert {
        PictureFile::open_converted(path)?
    } else {
        PictureFile::open(path).map_err(|error| match error {
            DataError::Lossy { .. } => {
                anyhow!("{error}, or go on all the same: --allow-lossy-conversion")
            }
            error => error.into(),
        })?
    };
    if picture.shape()[2] > codec.id().colours.into() {
        return Err(usage(format!(
            "{place}: expected a gray picture, as the model has one colour, found RGB. Convert it, or use a \
             model of three colours"
        )));
    }
    codec.check_values(&picture.read()?, &place)?;
    Ok((name, picture))
}

impl Images for Inputs {
    fn len(&self) -> usize {
        match self {
            Self::Files(files) => files.len(),
            Self::Data(_, usable) => usable.len(),
        }
    }

    fn name(&self, index: usize) -> String {
        match self {
            Self::Files(files) => files[index].0.clone(),
            Self::Data(_, usable) => number(index, usable.len()),
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
            Self::Data(dataset, usable) => Ok(Batch::read(&**dataset, &[usable[index]])?.images),
        }
    }
}
