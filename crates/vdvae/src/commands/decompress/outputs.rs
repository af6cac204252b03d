//! The folder of decompressed images, which gets all of them or none.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::ExtendedColorType;

use crate::compress::ImageEntry;
use crate::error::usage;
use crate::files::Temporary;

/// Images that wait in a hidden folder until all are there.
#[derive(Debug)]
pub struct Outputs {
    folder: PathBuf,
    /// Whether the folder is new.
    made: bool,
    hidden: Temporary,
    /// Keeps it from being removed as a dead process's.
    _lock: File,
    names: Vec<String>,
}

impl Outputs {
    /// Checks that no image would take the place of something.
    ///
    /// # Errors
    /// If one would.
    pub fn check<'a>(folder: &Path, names: impl Iterator<Item = &'a str>) -> Result<()> {
        if folder.exists() && !folder.is_dir() {
            return Err(usage(format!(
                "{}: expected a folder for the images, found a file. Give another: --out DIR",
                folder.display()
            )));
        }
        for name in names {
            let path = folder.join(name);
            if path.symlink_metadata().is_ok() {
                return Err(usage(format!(
                    "{}: exists already. Give another folder: --out DIR",
                    path.display()
                )));
            }
        }
        Ok(())
    }

    /// Begins to write.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn begin(folder: &Path) -> Result<Self> {
        let made = !folder.exists();
        let place = || {
            format!(
                "{}: cannot make this folder; choose another with --out",
                folder.display()
            )
        };
        fs::create_dir_all(folder).with_context(place)?;
        let (hidden, lock) = Temporary::folder(folder).with_context(place)?;
        Ok(Self {
            folder: folder.to_owned(),
            made,
            hidden,
            _lock: lock,
            names: Vec::new(),
        })
    }

    /// Writes an image, [height, width, channels], out of sight.
    ///
    /// # Errors
    /// If that fails.
    pub fn add(&mut self, entry: &ImageEntry, pixels: &[u8]) -> Result<()> {
        let path = self.hidden.path().join(&entry.name);
        let color = match entry.channels {
            1 => ExtendedColorType::L8,
            _ => ExtendedColorType::Rgb8,
        };
        make_parent(&path)?;
        let format = image::ImageFormat::Png;
        image::save_buffer_with_format(&path, pixels, entry.width, entry.height, color, format)
            .with_context(|| format!("{}: cannot save this image", path.display()))?;
        self.names.push(entry.name.clone());
        Ok(())
    }

    /// Moves all images to their places; returns how many there are.
    ///
    /// # Errors
    /// If one cannot be moved.
    pub fn finish(self) -> Result<usize> {
        for name in &self.names {
            let path = self.folder.join(name);
            make_parent(&path)?;
            fs::rename(self.hidden.path().join(name), &path)
                .with_context(|| format!("{}: cannot save this image", path.display()))?;
        }
        Ok(self.names.len())
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        // What is left when something failed; the failure is what is reported.
        let _ = fs::remove_dir_all(self.hidden.path());
        if self.made {
            // Only if it is empty.
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent)
        .with_context(|| format!("{}: cannot make this folder", parent.display()))
}
