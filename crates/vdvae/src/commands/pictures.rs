//! Images as they are made, into one picture or a folder of single ones.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::error::usage;
use crate::files::Together;
use crate::models::ImageShape;
use crate::pictures::{Grid, write_png_image};
use crate::trained::TrainedModel;

/// A hundred by a hundred; the images of a picture are all in memory.
pub const MOST_IN_A_PICTURE: usize = 10_000;

/// Checks that no images of these numbers are in a folder from before: of another seed, perhaps, or another model.
///
/// # Errors
/// If one is there.
pub fn check_none_there(out: &Path, name: &str, numbers: Range<u64>) -> Result<()> {
    // It need not be there yet.
    let Ok(entries) = std::fs::read_dir(out) else {
        return Ok(());
    };
    let is_meant = |file: &String| {
        let number = file
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".png")?.parse().ok());
        number.is_some_and(|number| numbers.contains(&number))
    };
    let names = entries
        .flatten()
        .flat_map(|entry| entry.file_name().into_string());
    let there: Vec<String> = names.filter(is_meant).collect();
    let Some(first) = there.iter().min() else {
        return Ok(());
    };
    Err(usage(format!(
        "--out {}: pictures of these numbers are there already, {} from {first} on. Delete them, or give another folder",
        out.display(),
        there.len()
    )))
}

/// Images that are written as they come. They are there when all are [finished](Self::finish).
pub struct Pictures {
    image: ImageShape,
    destination: Destination,
}

enum Destination {
    Picture {
        path: PathBuf,
        pixels: Vec<u8>,
    },
    Folder {
        path: PathBuf,
        files: Together,
        /// What the files' names begin with.
        name: &'static str,
    },
}

impl Pictures {
    /// For images of a model: `out` is one picture, or a folder of files with this name and the image's number.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn begin(
        model: &TrainedModel,
        out: &Path,
        is_picture: bool,
        name: &'static str,
    ) -> io::Result<Self> {
        let path = out.to_owned();
        let destination = if is_picture {
            let pixels = Vec::new();
            Destination::Picture { path, pixels }
        } else {
            std::fs::create_dir_all(out)?;
            let files = Together::default();
            Destination::Folder { path, files, name }
        };
        Ok(Self {
            image: model.plan.image(),
            destination,
        })
    }

    /// Adds images, [n, S, S, C], the first of this number.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn add(&mut self, first: u64, images: &[u8]) -> io::Result<()> {
        let ImageShape { size, channels } = self.image;
        match &mut self.destination {
            Destination::Picture { pixels, .. } => pixels.extend(images),
            Destination::Folder { path, files, name } => {
                let images = images.chunks_exact(size * size * channels);
                for (number, image) in (first..).zip(images) {
                    let path = path.join(format!("{name}-{number:06}.png"));
                    files.write(&path, |writer| {
                        write_png_image(writer, image, size, channels)
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Puts all in their places.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn finish(self) -> io::Result<()> {
        let ImageShape { size, channels } = self.image;
        match self.destination {
            Destination::Picture { path, pixels } => {
                Grid::near_square(size, channels, &pixels).save_png(&path)
            }
            Destination::Folder { mut files, .. } => files.finish(),
        }
    }
}
