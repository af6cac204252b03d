//! Decoded images, kept in memory as far as there is room.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::prelude::*;

use crate::dataset::ImageShape;
use crate::error::DataError;
use crate::image_file::{ImageFile, Raster, Reason, Window};
use crate::loss::{LossCounts, Losses};
use crate::options::{OpenOptions, Progress};

/// How much may be decoded and kept.
#[derive(Clone, Copy)]
pub(crate) struct Budget {
    /// Decoded images are kept in memory until they take up this many bytes.
    room: u64,
    /// Up to this many bytes of encoded images are decoded at once when a data set is opened, so
    /// that a bad image shows before training starts.
    checked_at_once: u64,
}

impl Budget {
    /// 1 GiB of memory; 256 MiB of files, a matter of seconds.
    pub const USUAL: Self = Self {
        room: 1 << 30,
        checked_at_once: 256 << 20,
    };

    /// The usual one, unless nobody wants to know of bad images before they are read.
    pub fn of(options: &OpenOptions) -> Self {
        Self {
            checked_at_once: if options.look_through {
                Self::USUAL.checked_at_once
            } else {
                0
            },
            ..Self::USUAL
        }
    }
}

/// So many of the images that found no room are remembered, for readers that go crop by crop.
const RECENT: usize = 8;

/// What is made of an image file.
#[derive(Clone, Copy)]
pub(crate) enum Prepare {
    /// The whole picture, with so many channels.
    Whole { channels: usize },
    /// The largest centred square, resized.
    Square(ImageShape),
    /// A certain part, resized.
    Window(Window, ImageShape),
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
    /// Of each file that was decoded what it lost, as [`Losses::bits`].
    losses: Vec<AtomicU8>,
    skipped: Vec<String>,
}

impl ImageStore {
    /// A store of `files`.
    ///
    /// All images are decoded here, in parallel, when `options` say that bad ones are skipped (those that fail are
    /// dropped for good, so that the data set's length is fixed), or when they are small enough
    /// together. Otherwise a bad image shows when it is first read.
    ///
    /// # Errors
    /// [`DataError::BadImage`] for the images, in the order of `files`, that cannot be decoded;
    /// [`DataError::Empty`] if none can and bad images are to be skipped.
    pub fn open(
        files: Vec<ImageFile>,
        prepare: Prepare,
        options: &OpenOptions,
        place: &str,
        budget: Budget,
    ) -> Result<Self, DataError> {
        let mut store = Self {
            losses: files.iter().map(|_| AtomicU8::new(0)).collect(),
            prepare,
            kept: files.iter().map(|_| OnceLock::new()).collect(),
            files,
            room: AtomicU64::new(budget.room),
            recent: Mutex::default(),
            skipped: Vec::new(),
        };
        if options.skip_bad_images || store.is_at_most(budget.checked_at_once) {
            let reasons = store.check_all(options.progress);
            store.drop_bad(reasons, options.skip_bad_images, place)?;
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

    /// The class of image `index`.
    pub fn class(&self, index: usize) -> Option<usize> {
        self.files[index].class
    }

    /// The images that were dropped, with the reason.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// How many of the images that were decoded so far lost what.
    pub fn losses(&self) -> LossCounts {
        let mut counts = LossCounts::default();
        for losses in &self.losses {
            counts.add(Losses::from_bits(losses.load(Ordering::Relaxed)));
        }
        counts
    }

    /// Image `index`, decoded.
    pub fn get(&self, index: usize) -> Result<Arc<Raster>, DataError> {
        self.load(index)
            .map_err(|reason| self.bad_image(index, reason, Vec::new()))
    }

    /// Width and height of image `index`, without decoding it.
    pub fn dimensions(&self, index: usize) -> Result<(usize, usize), Reason> {
        match self.kept[index].get() {
            Some(raster) => Ok((raster.width, raster.height)),
            None => self.files[index].dimensions(),
        }
    }

    /// Drops the images for which `reasons` (one per image) holds a reason, or fails with all of them.
    ///
    /// # Errors
    /// As [`ImageStore::open`].
    pub fn drop_bad(
        &mut self,
        reasons: Vec<Option<Reason>>,
        skip_bad_images: bool,
        place: &str,
    ) -> Result<(), DataError> {
        let indexed = reasons.iter().enumerate();
        let mut bad = indexed.filter_map(|(index, reason)| Some((index, reason.clone()?)));
        let Some((first, reason)) = bad.next() else {
            return Ok(());
        };
        if !skip_bad_images {
            let more = bad.map(|(index, reason)| format!("{}: {reason}", self.name(index)));
            let more = more.collect();
            return Err(self.bad_image(first, reason, more));
        }
        let files = std::mem::take(&mut self.files);
        let kept = std::mem::take(&mut self.kept);
        let losses = std::mem::take(&mut self.losses);
        let known = files.into_iter().zip(kept).zip(losses);
        for (((file, kept), losses), reason) in known.zip(reasons) {
            match reason {
                Some(reason) => self.skipped.push(format!("{}: {reason}", file.name)),
                None => {
                    self.files.push(file);
                    self.kept.push(kept);
                    self.losses.push(losses);
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

    fn bad_image(&self, index: usize, reason: Reason, more: Vec<String>) -> DataError {
        DataError::BadImage {
            name: self.files[index].name.clone(),
            reason,
            more,
        }
    }

    /// Whether the files have at most `limit` bytes together. Looks at no more of them than it has to.
    fn is_at_most(&self, limit: u64) -> bool {
        let mut encoded = 0;
        self.files.iter().all(|file| {
            encoded += file.encoded_len();
            encoded <= limit
        })
    }

    /// What is wrong with each image.
    fn check_all(&self, progress: Option<&Progress>) -> Vec<Option<Reason>> {
        let done = AtomicUsize::new(0);
        let check = |index| {
            let reason = self.load(index).err();
            if let Some(progress) = progress {
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, self.len());
            }
            reason
        };
        (0..self.len()).into_par_iter().map(check).collect()
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
            Prepare::Window(window, shape) => file.decode_window(&window, shape)?,
        });
        self.losses[index].store(raster.losses.bits(), Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    /// Four pictures of 10 x 10 pixels; the third file is broken.
    fn files(folder: &std::path::Path) -> Vec<ImageFile> {
        let file = |tag: u8| {
            let path = folder.join(format!("{tag}.png"));
            RgbImage::from_pixel(10, 10, Rgb([tag; 3]))
                .save(&path)
                .unwrap();
            if tag == 2 {
                std::fs::write(&path, b"broken").unwrap();
            }
            ImageFile::at(path)
        };
        (0..4).map(file).collect()
    }

    fn options(skip_bad_images: bool) -> OpenOptions<'static> {
        let shape = ImageShape {
            size: 10,
            channels: 3,
        };
        OpenOptions {
            skip_bad_images,
            ..OpenOptions::new(shape)
        }
    }

    const WHOLE: Prepare = Prepare::Whole { channels: 3 };

    #[test]
    fn without_a_check_a_bad_image_shows_when_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let budget = Budget {
            room: 0,
            checked_at_once: 0,
        };
        let store =
            ImageStore::open(files(folder.path()), WHOLE, &options(false), "here", budget).unwrap();
        assert_eq!(store.get(1).unwrap().pixels, [1; 300]);
        let error = store.get(2).err().unwrap().to_string();
        assert!(
            error.contains("2.png: ") && error.contains("--skip-bad-images"),
            "{error}"
        );
    }

    #[test]
    fn images_are_kept_as_far_as_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let budget = Budget {
            room: 700,
            checked_at_once: 0,
        };
        let store =
            ImageStore::open(files(folder.path()), WHOLE, &options(true), "here", budget).unwrap();
        assert_eq!((store.len(), store.skipped().len()), (3, 1));
        for _ in 0..2 {
            for (index, tag) in [0, 1, 3].into_iter().enumerate() {
                assert_eq!(store.get(index).unwrap().pixels, [tag; 300]);
            }
        }
        assert_eq!(
            store
                .kept
                .iter()
                .filter(|image| image.get().is_some())
                .count(),
            2
        );
        assert_eq!(store.recent.lock().unwrap().len(), 1);
    }

    #[test]
    fn kept_images_need_their_files_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path());
        files.remove(2);
        let store = ImageStore::open(files, WHOLE, &options(false), "here", Budget::USUAL).unwrap();
        drop(folder);
        assert_eq!(store.get(2).unwrap().pixels, [3; 300]);
    }
}
