//! Batches of images, read ahead of their use on threads of their own.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::dataset::{Dataset, ImageShape};
use crate::error::DataError;
use crate::image_file::ImageFile;
use crate::loss::LossCounts;
use crate::rng::{ItemRng, epoch_order};

/// Images that are processed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// [n, size, size, channels].
    pub images: Vec<u8>,
    /// Shape of each image.
    pub image: ImageShape,
    /// The n images' indices in their data set.
    pub indices: Vec<u64>,
    /// The numbers of their classes, see [`Dataset::class`]; empty where they have none.
    pub classes: Vec<usize>,
    /// Position of the first image: in training counted from its start, else in the split. The
    /// others follow.
    pub first_position: u64,
}

impl Batch {
    /// Number of images n.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are no images. [`Batches`] never delivers such a batch.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Reads the images at `indices` of a data set, in this order.
    ///
    /// # Errors
    /// If an index lies outside of the data set or an image cannot be read.
    pub fn read(dataset: &dyn Dataset, indices: &[usize]) -> Result<Self, DataError> {
        let image = dataset.image();
        let mut images = vec![0; indices.len() * image.len()];
        for (&index, out) in indices.iter().zip(images.chunks_exact_mut(image.len())) {
            if index >= dataset.len() {
                return Err(DataError::Argument {
                    field: "image index",
                    expected: "an index below the number of images",
                    found: format!("{index} of {}", dataset.len()),
                });
            }
            dataset.read(index, &mut ItemRng::for_item(0, index as u64), out)?;
        }
        Ok(Self {
            images,
            image,
            indices: indices.iter().map(|&index| index as u64).collect(),
            classes: indices
                .iter()
                .filter_map(|&index| dataset.class(index))
                .collect(),
            first_position: 0,
        })
    }
}

/// Reads image files, each as its largest centred square at the size of `image`, and counts what that lost.
///
/// # Errors
/// [`DataError::Image`] for the first file that cannot be read, [`DataError::Argument`] for an
/// impossible shape.
pub fn load_images(paths: &[PathBuf], image: ImageShape) -> Result<(Batch, LossCounts), DataError> {
    image.check()?;
    let mut losses = LossCounts::default();
    let mut images = Vec::with_capacity(paths.len() * image.len());
    for path in paths {
        let file = ImageFile::at(path.clone());
        let raster = file
            .decode_square(image)
            .map_err(|reason| DataError::Image {
                name: file.name,
                reason,
            })?;
        losses.add(raster.losses);
        images.extend_from_slice(&raster.pixels);
    }
    let batch = Batch {
        images,
        image,
        indices: (0..paths.len() as u64).collect(),
        classes: Vec::new(),
        first_position: 0,
    };
    Ok((batch, losses))
}

/// In which order items are read.
enum Order {
    /// Epoch after epoch without end, each in another random order, one running into the next.
    Shuffled(Shuffled),
    /// Each item once.
    Sequential,
}

/// The order of training: a function of the seed, the epoch and the number of items.
struct Shuffled {
    seed: u64,
    len: usize,
    /// The epochs that batches are being made of, seldom more than two.
    epochs: Mutex<HashMap<u64, Arc<[usize]>>>,
}

impl Shuffled {
    /// The item at `position`, counted from the start of training.
    fn item(&self, position: u64) -> usize {
        let (epoch, place) = (position / self.len as u64, position % self.len as u64);
        self.epoch(epoch)[place as usize]
    }

    fn epoch(&self, epoch: u64) -> Arc<[usize]> {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(order) = epochs.get(&epoch) {
            return order.clone();
        }
        epochs.retain(|&known, _| known.abs_diff(epoch) <= 1);
        let order: Arc<[usize]> = epoch_order(self.seed, epoch, self.len).into();
        epochs.insert(epoch, order.clone());
        order
    }
}

/// What every reading thread knows.
struct Plan {
    dataset: Arc<dyn Dataset>,
    order: Order,
    /// Seed of the items' generators.
    seed: u64,
    batch_size: u64,
    positions: Range<u64>,
}

impl Plan {
    /// Number of batches; the last one may be smaller than the others.
    fn batches(&self) -> u64 {
        (self.positions.end - self.positions.start).div_ceil(self.batch_size)
    }

    /// Makes batch `number`.
    fn batch(&self, number: u64) -> Result<Batch, DataError> {
        let first_position = self.positions.start + number * self.batch_size;
        let end = self
            .positions
            .end
            .min(first_position.saturating_add(self.batch_size));
        let image = self.dataset.image();
        let mut images = vec![0; (end - first_position) as usize * image.len()];
        let mut indices = Vec::with_capacity((end - first_position) as usize);
        let mut classes = Vec::new();
        for (position, out) in (first_position..end).zip(images.chunks_exact_mut(image.len())) {
            let index = match &self.order {
                Order::Shuffled(shuffled) => shuffled.item(position),
                Order::Sequential => position as usize,
            };
            self.dataset
                .read(index, &mut ItemRng::for_item(self.seed, position), out)?;
            indices.push(index as u64);
            classes.extend(self.dataset.class(index));
        }
        Ok(Batch {
            images,
            image,
            indices,
            classes,
            first_position,
        })
    }
}

/// Batches of a data set, in a fixed order whatever the number of threads.
///
/// Of T threads, thread t makes the batches t, t + T, t + 2T, ... and each is one finished batch
/// ahead, so that at most 2T batches are in memory. An error is delivered in place of its batch,
/// and ends the iterator. The threads end when the iterator is dropped.
pub struct Batches {
    /// One per thread.
    readers: Vec<Reader>,
    /// Number of the next batch.
    next: u64,
    /// Number of batches.
    end: u64,
}

struct Reader {
    finished: Receiver<Result<Batch, DataError>>,
    thread: JoinHandle<()>,
}

impl Batches {
    /// Batches for training, without end, from the item at `first_position` on.
    ///
    /// The item at position p, counted from the start of training, is item `permutation(seed,
    /// p / len)[p % len]` of the data set, and what is random about it depends on (seed, p) alone. So
    /// training can be continued at any position, with any number of threads, with any batch size.
    /// Batches run across the borders of epochs; nothing is dropped.
    ///
    /// # Errors
    /// [`DataError::Argument`] if the batch size or the number of threads is 0 or the data set is
    /// empty, [`DataError::Format`] if the system refuses a thread.
    pub fn training(
        dataset: Arc<dyn Dataset>,
        batch_size: usize,
        seed: u64,
        first_position: u64,
        threads: usize,
    ) -> Result<Self, DataError> {
        let shuffled = Shuffled {
            seed,
            len: dataset.len(),
            epochs: Mutex::default(),
        };
        let plan = Plan {
            dataset,
            order: Order::Shuffled(shuffled),
            seed,
            batch_size: batch_size as u64,
            positions: first_position..u64::MAX,
        };
        Self::start(plan, threads)
    }

    /// Every item of a data set once, in order, the last incomplete batch too.
    ///
    /// # Errors
    /// As [`Batches::training`].
    pub fn sequential(
        dataset: Arc<dyn Dataset>,
        batch_size: usize,
        threads: usize,
    ) -> Result<Self, DataError> {
        let positions = 0..dataset.len() as u64;
        let plan = Plan {
            dataset,
            order: Order::Sequential,
            seed: 0,
            batch_size: batch_size as u64,
            positions,
        };
        Self::start(plan, threads)
    }

    fn start(plan: Plan, threads: usize) -> Result<Self, DataError> {
        let positive = |field, number: u64| match number {
            0 => Err(DataError::Argument {
                field,
                expected: "at least 1",
                found: "0".to_owned(),
            }),
            number => Ok(number),
        };
        positive("batch size", plan.batch_size)?;
        positive("threads", threads as u64)?;
        positive("images in the data set", plan.dataset.len() as u64)?;
        let end = plan.batches();
        let plan = Arc::new(plan);
        let threads = end.min(threads as u64);
        let mut batches = Self {
            readers: Vec::new(),
            next: 0,
            end,
        };
        for first in 0..threads {
            batches.readers.push(Reader::start(
                plan.clone(),
                (first..end).step_by(threads as usize),
            )?);
        }
        Ok(batches)
    }

    /// The next finished batch, in order.
    ///
    /// # Panics
    /// If a data set panicked in a reading thread: with the same panic.
    fn receive(&mut self) -> Result<Batch, DataError> {
        let reader = (self.next % self.readers.len() as u64) as usize;
        match self.readers[reader].finished.recv() {
            Ok(result) => result,
            // A thread that has batches left to send ends early only by a panic.
            Err(_) => {
                self.next = self.end;
                match self.readers.swap_remove(reader).thread.join() {
                    Err(panic) => std::panic::resume_unwind(panic),
                    Ok(()) => unreachable!("a reading thread ended before its last batch"),
                }
            }
        }
    }
}

impl Reader {
    fn start(
        plan: Arc<Plan>,
        numbers: impl Iterator<Item = u64> + Send + 'static,
    ) -> Result<Self, DataError> {
        let (sender, finished) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("batches".to_owned())
            .spawn(move || make_batches(&plan, numbers, &sender))
            .map_err(DataError::io(
                "start a thread for",
                "reading images".as_ref(),
            ))?;
        Ok(Self { finished, thread })
    }
}

/// Makes batches until the last, an error, or until nobody wants them any more.
fn make_batches(
    plan: &Plan,
    numbers: impl Iterator<Item = u64>,
    sender: &SyncSender<Result<Batch, DataError>>,
) {
    for number in numbers {
        let batch = plan.batch(number);
        let failed = batch.is_err();
        if sender.send(batch).is_err() || failed {
            return;
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.end {
            return None;
        }
        let result = self.receive();
        self.next = if result.is_ok() {
            self.next + 1
        } else {
            self.end
        };
        Some(result)
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // Without receivers, the threads end after the batch that they are making.
        let threads: Vec<_> = self.readers.drain(..).map(|reader| reader.thread).collect();
        for thread in threads {
            // A panic there is about batches that nobody asked for.
            let _ = thread.join();
        }
    }
}
