//! Decoded images, kept in memory as far as there is room.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::prelude::*;

use crate::dataset::ImageShape;
use crate::error::DataError;
use crate::image_file::{ImageFile, Raster, Reason};

/// Decoded images are kept in memory until they take up this much: 1 GiB.
const ROOM: u64 = 1 << 30;

/// Up to this much of encoded images is decoded at once when a data set is opened, a matter of
/// seconds, so that a bad image shows before training starts: 256 MiB.
const CHECKED_AT_ONCE: u64 = 256 << 20;

/// So many of the images that found no room are remembered, for readers that go crop by crop.
const RECENT: usize = 8;

/// What is made of an image file.
#[derive(Clone, Copy)]
pub(crate) enum Prepare {
    /// The whole picture, with so many channels.
    Whole { channels: usize },
    /// The largest centred square, resized.
    Square(ImageShape),
}

/// Image files, decoded when they are first needed.
///
/// Images are kept in the order in which they are first read until the room is used up, and never
/// given up again: training reads each image about equally often, and then no image is worth more
/// than another.
pub(crate) struct ImageStore {
    prepare: Prepare,
    files: Vec<ImageFile>,
    /// One per file.
    kept: Vec<OnceLock<Arc<Raster>>>,
    room: AtomicU64,
    recent: Mutex<VecDeque<(usize, Arc<Raster>)>>,
    skipped: Vec<String>,
}

impl ImageStore {
    /// A store of `files`.
    ///
    /// All images are decoded here, in parallel, when `skip_bad_images` is set (those that fail are
    /// dropped for good, so that the data set's length is fixed), or when they are small enough
    /// together. Otherwise a bad image shows when it is first read.
    ///
    /// # Errors
    /// [`DataError::BadImage`] for the first image, in the order of `files`, that cannot be decoded;
    /// [`DataError::Empty`] if none can and bad images are to be skipped.
    pub fn open(
        files: Vec<ImageFile>,
        prepare: Prepare,
        skip_bad_images: bool,
        place: &str,
    ) -> Result<Self, DataError> {
        let mut store = Self {
            prepare,
            kept: files.iter().map(|_| OnceLock::new()).collect(),
            files,
            room: AtomicU64::new(ROOM),
            recent: Mutex::default(),
            skipped: Vec::new(),
        };
        if skip_bad_images || store.is_small() {
            let reasons = store.check_all();
            store.drop_bad(reasons, skip_bad_images, place)?;
        }
        Ok(store)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// File name of image `index`.
    pub fn name(&self, index: usize) -> &str {
        &self.files[index].name
    }

    /// The images that were dropped, with the reason.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Image `index`, decoded.
    pub fn get(&self, index: usize) -> Result<Arc<Raster>, DataError> {
        self.load(index)
            .map_err(|reason| self.bad_image(index, reason, 0))
    }

    /// Width and height of image `index`, without decoding it.
    pub fn dimensions(&self, index: usize) -> Result<(usize, usize), Reason> {
        match self.kept[index].get() {
            Some(raster) => Ok((raster.width, raster.height)),
            None => self.files[index].dimensions(),
        }
    }

    /// Drops the images for which `reasons` (one per image) holds a reason, or fails with the first.
    ///
    /// # Errors
    /// As [`ImageStore::open`].
    pub fn drop_bad(
        &mut self,
        reasons: Vec<Option<Reason>>,
        skip_bad_images: bool,
        place: &str,
    ) -> Result<(), DataError> {
        let bad = reasons.iter().flatten().count();
        if bad == 0 {
            return Ok(());
        }
        if !skip_bad_images {
            let mut reasons = reasons.iter().enumerate();
            if let Some((index, reason)) =
                reasons.find_map(|(index, reason)| Some((index, reason.clone()?)))
            {
                return Err(self.bad_image(index, reason, bad - 1));
            }
        }
        let files = std::mem::take(&mut self.files);
        let kept = std::mem::take(&mut self.kept);
        for ((file, kept), reason) in files.into_iter().zip(kept).zip(reasons) {
            match reason {
                Some(reason) => self.skipped.push(format!("{}: {reason}", file.name)),
                None => {
                    self.files.push(file);
                    self.kept.push(kept);
                }
            }
        }
        // The remembered images are known by indices that have changed.
        self.recent = Mutex::default();
        if self.files.is_empty() {
            return Err(DataError::Empty {
                place: place.to_owned(),
                expected: "images that can be used".to_owned(),
                remedy: format!("All were skipped, the first: {}", self.skipped[0]),
            });
        }
        Ok(())
    }

    fn bad_image(&self, index: usize, reason: Reason, more: usize) -> DataError {
        DataError::BadImage {
            name: self.files[index].name.clone(),
            reason,
            more,
        }
    }

    /// Whether decoding everything takes seconds. Looks at no more files than it has to.
    fn is_small(&self) -> bool {
        let mut encoded = 0;
        self.files.iter().all(|file| {
            encoded += file.encoded_len();
            encoded <= CHECKED_AT_ONCE
        })
    }

    /// What is wrong with each image.
    fn check_all(&self) -> Vec<Option<Reason>> {
        (0..self.len())
            .into_par_iter()
            .map(|index| self.load(index).err())
            .collect()
    }

    fn load(&self, index: usize) -> Result<Arc<Raster>, Reason> {
        if let Some(raster) = self.kept[index]
            .get()
            .cloned()
            .or_else(|| self.recall(index))
        {
            return Ok(raster);
        }
        let file = &self.files[index];
        let raster = Arc::new(match self.prepare {
            Prepare::Whole { channels } => file.decode(channels)?,
            Prepare::Square(shape) => file.decode_square(shape)?,
        });
        let needed = raster.pixels.len() as u64;
        let room = self
            .room
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| {
                room.checked_sub(needed)
            });
        if room.is_ok() {
            // Another thread may have been faster; its pixels are the same.
            self.kept[index].get_or_init(|| raster.clone());
        } else {
            self.remember(index, raster.clone());
        }
        Ok(raster)
    }

    fn recall(&self, index: usize) -> Option<Arc<Raster>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent
            .iter()
            .find(|(known, _)| *known == index)
            .map(|(_, raster)| raster.clone())
    }

    fn remember(&self, index: usize, raster: Arc<Raster>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.truncate(RECENT - 1);
        recent.push_front((index, raster));
    }
}
