//! ImageNet-32 and ImageNet-64 in the batches of image-net.org: `imagenet32-batches:DIR`.
//!
//! This release was resized with a box filter, the older one of the published results (`imagenet32:`) was not:
//! bits per dimension of the two must not be compared.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vdvae_formats::npz::Npz;

use crate::array::{Bytes, map_file};
use crate::channels;
use crate::dataset::{Dataset, ImageShape, Joined};
use crate::error::DataError;
use crate::layout::check_elements;
use crate::options::OpenOptions;
use crate::pickled::with_rows;
use crate::published::hold_out_of_imagenet;
use crate::rng::ItemRng;
use crate::split::Split;

/// Files of training images.
const BATCHES: usize = 10;
const CHANNELS: usize = 3;
const REMEDY: &str = "This is no batch of the smaller ImageNets: download it again";

/// Whether these batches are what a folder has, and not the arrays of the older release.
pub(crate) fn are_in(folder: &Path, side: usize) -> bool {
    let has = |name: &str| find(folder, name).is_some();
    let older = folder.join(format!("imagenet{side}-train.npy"));
    (has("train_data_batch_1") || has("val_data")) && !older.is_file()
}

/// Opens `imagenet32-batches:DIR`.
pub(crate) fn open_32(
    folder: &Path,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    open(folder, 32, split, options)
}

/// Opens `imagenet64-batches:DIR`.
pub(crate) fn open_64(
    folder: &Path,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    open(folder, 64, split, options)
}

/// Test is `val_data`; 5000 images of the ten files `train_data_batch_1` to `_10`, pickled or .npz, are held out
/// for validation, as of the older release.
fn open(
    folder: &Path,
    side: usize,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    let place = folder.display().to_string();
    if options.image.size != side {
        let remedy = format!("Set model.image_size = {side}");
        let found = options.image.size;
        return Err(DataError::mismatch(
            &place,
            "image_size",
            side,
            found,
            remedy,
        ));
    }
    let image = options.image;
    let test = || Planes::open(folder, &["val_data".to_owned()], image);
    if split == Split::Test {
        return Ok(Arc::new(test()?));
    }
    let names: Vec<String> = (1..=BATCHES)
        .map(|number| format!("train_data_batch_{number}"))
        .collect();
    let train = Arc::new(Planes::open(folder, &names, image)?);
    match split {
        Split::All => Ok(Arc::new(Joined {
            first: train,
            second: Arc::new(test()?),
        })),
        split => hold_out_of_imagenet(train, split, &place),
    }
}

/// The file of a batch, pickled or .npz.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let names = [name.to_owned(), format!("{name}.npz")];
    let mut paths = names.into_iter().map(|name| folder.join(name));
    paths.find(|path| path.is_file())
}

/// Images that are stored channel by channel, in several files.
struct Planes {
    files: Vec<Rows>,
    /// For each file, the number of images in it and all before it.
    up_to: Vec<usize>,
    image: ImageShape,
}

/// The images of a file.
struct Rows {
    bytes: Bytes,
    range: Range<usize>,
    place: String,
}

impl Planes {
    fn open(folder: &Path, names: &[String], image: ImageShape) -> Result<Self, DataError> {
        let width = CHANNELS * image.size * image.size;
        let mut files = Vec::new();
        for name in names {
            let path = find(folder, name).ok_or_else(|| DataError::Empty {
                place: folder.display().to_string(),
                expected: format!("the file {name} or {name}.npz"),
                remedy: "Give the folder that holds train_data_batch_1 to _10 and val_data"
                    .to_owned(),
            })?;
            files.push(Rows::open(&path, width)?);
        }
        let mut images = 0;
        let up_to = files.iter().map(|file| {
            images += file.range.len() / width;
            images
        });
        Ok(Self {
            up_to: up_to.collect(),
            files,
            image,
        })
    }

    /// The file of image `index`, and the image's number in it.
    fn locate(&self, index: usize) -> (&Rows, usize) {
        let file = self.up_to.partition_point(|&images| images <= index);
        let before = file
            .checked_sub(1)
            .map_or(0, |previous| self.up_to[previous]);
        (&self.files[file], index - before)
    }
}

impl Rows {
    fn open(path: &Path, width: usize) -> Result<Self, DataError> {
        let place = path.display().to_string();
        let map = map_file(path)?;
        if path.extension().is_some_and(|ending| ending == "npz") {
            return Self::of_npz(Npz::open(map, &place)?, width, &place);
        }
        let whole = map.as_ptr_range();
        // Where the rows are in the file, or the rows where they are not there as they are.
        let found = with_rows(
            &map,
            [None, Some(width)],
            &place,
            REMEDY,
            |rows| match rows {
                Cow::Borrowed(rows) if whole.contains(&rows.as_ptr()) => {
                    let start = rows.as_ptr().addr() - whole.start.addr();
                    Ok(start..start + rows.len())
                }
                rows => Err(rows.into_owned()),
            },
        )?;
        let (bytes, range) = match found {
            Ok(range) => (Bytes::Mapped(map), range),
            Err(rows) => {
                let range = 0..rows.len();
                (Bytes::Owned(rows), range)
            }
        };
        Ok(Self {
            bytes,
            range,
            place,
        })
    }

    fn of_npz(archive: Npz<memmap2::Mmap>, width: usize, place: &str) -> Result<Self, DataError> {
        let names: Vec<&str> = archive.names().collect();
        let Some(index) = names.iter().position(|name| *name == "data") else {
            let found = names.join(", ");
            return Err(DataError::mismatch(place, "arrays", "data", found, REMEDY));
        };
        let place = archive.place(index);
        let (bytes, npy) = match archive.stored(index)? {
            Some(npy) => (Bytes::Mapped(archive.into_bytes()), npy),
            None => {
                let npy = archive.read(index)?;
                let range = 0..npy.len();
                (Bytes::Owned(npy), range)
            }
        };
        let header = vdvae_formats::npy::Header::parse(&bytes[npy.clone()], &place)?;
        check_elements(&header, &place)?;
        let start = npy.start + header.data_start;
        let rows = match header.shape[..] {
            [rows, columns] if columns == width as u64 && rows > 0 => usize::try_from(rows).ok(),
            _ => None,
        };
        let end = rows.and_then(|rows| start.checked_add(rows.checked_mul(width)?));
        match end.filter(|&end| end <= npy.end) {
            Some(end) => Ok(Self {
                range: start..end,
                bytes,
                place,
            }),
            None => {
                let expected = format!("(N, {width}), as many as there are bytes for");
                let found = header.shape_text();
                Err(DataError::mismatch(
                    &place, "shape", expected, found, REMEDY,
                ))
            }
        }
    }
}

impl Dataset for Planes {
    fn len(&self) -> usize {
        self.up_to.last().copied().unwrap_or(0)
    }

    fn image(&self) -> ImageShape {
        self.image
    }

    fn read(&self, index: usize, _: &mut ItemRng, out: &mut [u8]) -> Result<(), DataError> {
        let area = self.image.size * self.image.size;
        let (rows, row) = self.locate(index);
        let start = rows.range.start + row * CHANNELS * area;
        let planes = &rows.bytes[start..start + CHANNELS * area];
        let pixels: Vec<u8> = (0..area)
            .flat_map(|pixel| (0..CHANNELS).map(move |channel| planes[channel * area + pixel]))
            .collect();
        channels::convert(&pixels, CHANNELS, out, self.image.channels);
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        let (rows, row) = self.locate(index);
        format!("{} row {row}", rows.place)
    }
}
