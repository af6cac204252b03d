//! Images in, batches of bytes out; no tensors, no models.
//!
//! [`open`] makes a [`Dataset`] of a [`Source`] (what `--data` says) and a [`Split`]. [`Batches`] reads
//! it ahead of its use on threads of its own: shuffled without end for training, in order and whole
//! for evaluation. Every image is [size, size, channels] bytes.
//!
//! Two rules hold throughout. What is random is a function of a seed and a position, so that a run
//! can be continued exactly and does not depend on threads. And whatever a file claims, nothing is
//! allocated, run or indexed on its word alone: bad input is a [`DataError`] that names the place.
//!
//! ```
//! use vdvae_data::{Batches, ImageShape, OpenOptions, Source, Split, open};
//!
//! let shape = ImageShape { size: 32, channels: 3 };
//! let test = open(&Source::Photos, Split::Test, &OpenOptions::new(shape))?;
//! let batches = Batches::sequential(test, 64, 2)?.collect::<Result<Vec<_>, _>>()?;
//! assert_eq!(batches.iter().map(|batch| batch.len()).sum::<usize>(), 400);
//! # Ok::<(), vdvae_data::DataError>(())
//! ```

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod amat;
mod array;
mod array_file;
mod array_set;
mod batches;
mod celeba;
mod channels;
mod cifar;
mod classes;
mod collection;
mod counted;
mod crops;
mod dataset;
mod error;
mod file_set;
mod folder;
mod idx;
mod image_file;
mod image_format;
mod image_list;
mod image_store;
mod imagenet_batches;
mod jpeg;
mod layout;
mod listing;
mod lmdb;
mod loss;
mod named_splits;
mod npz;
mod options;
mod padded;
mod photos;
mod pickled;
mod picture;
mod published;
mod rng;
mod shards;
mod source;
mod split;
mod statistics;

pub use batches::{Batch, Batches, load_images};
pub use collection::Collection;
pub use counted::{counted, some_of};
pub use dataset::{Dataset, ImageShape};
pub use error::DataError;
pub use file_set::Changes;
pub use image_list::ImageList;
pub use listing::{FolderImages, PassedOver, look_through};
pub use loss::{Loss, LossCounts, Losses};
pub use options::{OpenOptions, Progress};
pub use picture::PictureFile;
pub use rng::ItemRng;
pub use source::{Source, open};
pub use split::{Split, legacy_permutation};
pub use statistics::{PixelStatistics, pixel_statistics};
