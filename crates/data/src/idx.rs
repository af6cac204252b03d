//! MNIST and Fashion-MNIST: images in IDX files, `idx:DIR`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vdvae_formats::idx::IdxFile;

use crate::dataset::{Dataset, ImageShape, Joined, Subset};
use crate::error::DataError;
use crate::options::OpenOptions;
use crate::padded::PaddedImages;
use crate::rng::hold_out_order;
use crate::split::Split;

/// Images of the training file that are held out for validation.
const VALID: usize = 5000;

/// Opens `idx:DIR`: test is the t10k file, validation a seeded 5000 images of the training file.
pub(crate) fn open(
    folder: &Path,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    let images = |part| -> Result<Arc<dyn Dataset>, DataError> {
        Ok(Arc::new(read_images(&find(folder, part)?, options.image)?))
    };
    if split == Split::Test {
        return images("t10k");
    }
    let inner = images("train")?;
    if split == Split::All {
        return Ok(Arc::new(Joined {
            first: inner,
            second: images("t10k")?,
        }));
    }
    if inner.len() <= VALID {
        return Err(DataError::TooFew {
            place: folder.display().to_string(),
            items: "images",
            needed: VALID + 1,
            found: inner.len(),
        });
    }
    let order = hold_out_order(options.seed, inner.len());
    let (valid, train) = order.split_at(VALID);
    let mut indices = if split == Split::Train { train } else { valid }.to_vec();
    indices.sort_unstable();
    Ok(Arc::new(Subset { inner, indices }))
}

/// The file of images of `part`, "train" or "t10k".
fn find(folder: &Path, part: &str) -> Result<PathBuf, DataError> {
    let name = format!("{part}-images-idx3-ubyte");
    let names = [
        name.clone(),
        format!("{name}.gz"),
        format!("{part}-images.idx3-ubyte"),
    ];
    let found = names
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file());
    found.ok_or_else(|| DataError::Empty {
        place: folder.display().to_string(),
        expected: format!("the file {name} or {name}.gz"),
        remedy: "Give the folder that holds the files of MNIST or Fashion-MNIST".to_owned(),
    })
}

fn read_images(path: &Path, image: ImageShape) -> Result<PaddedImages, DataError> {
    let place = path.display().to_string();
    let file = IdxFile::open(path)?;
    let [count, rows, columns] = file.shape;
    check_sizes(count, rows, columns, image, &place)?;
    Ok(PaddedImages {
        pixels: file.pixels()?,
        rows: rows as usize,
        columns: columns as usize,
        image,
        place,
    })
}

fn check_sizes(
    count: u64,
    rows: u64,
    columns: u64,
    image: ImageShape,
    place: &str,
) -> Result<(), DataError> {
    let fits = 1..=image.size as u64;
    if count == 0 || !fits.contains(&rows) || !fits.contains(&columns) {
        let expected = format!("images of at most {0} x {0} pixels", image.size);
        let found = format!("{count} of {rows} x {columns}");
        let remedy = "Set model.image_size to a size that holds the images, 32 for MNIST";
        return Err(DataError::mismatch(place, "sizes", expected, found, remedy));
    }
    Ok(())
}
