//! ImageNet-32, ImageNet-64 and FFHQ-256 as published results use them, with their splits.

use std::path::Path;
use std::sync::Arc;

use crate::array::{ArrayImages, open_npy};
use crate::dataset::{Dataset, ImageShape, Joined, Subset};
use crate::error::DataError;
use crate::options::OpenOptions;
use crate::split::{Split, legacy_permutation};

/// Images that are held out of ImageNet's training file for validation.
const IMAGENET_VALID: usize = 5000;
const IMAGENET_SEED: u32 = 42;

const FFHQ_IMAGES: u32 = 70_000;
/// Images of FFHQ that are held out, for validation and test.
const FFHQ_VALID: usize = 7000;
const FFHQ_SEED: u32 = 5;

/// Opens `imagenet32:DIR`, see [`open_imagenet`].
pub(crate) fn open_imagenet32(
    path: &Path,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    open_imagenet(path, 32, split, options)
}

/// Opens `imagenet64:DIR`, see [`open_imagenet`].
pub(crate) fn open_imagenet64(
    path: &Path,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    open_imagenet(path, 64, split, options)
}

/// Opens `imagenet32:DIR` or `imagenet64:DIR`: p = permutation(n), seed 42; training is p[:-5000],
/// validation p[-5000:], test the other file.
///
/// The older release of the data (1,281,149 + 49,999 images) is the one of the published results. The
/// newer, box-downsampled one gives lower numbers, which must not be compared.
fn open_imagenet(
    path: &Path,
    size: usize,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    // One of the files themselves stands for the folder that holds both.
    let folder = if path.is_file() {
        path.parent().unwrap_or(path)
    } else {
        path
    };
    let array = |part| -> Result<Arc<dyn Dataset>, DataError> {
        let file = folder.join(format!("imagenet{size}-{part}.npy"));
        Ok(Arc::new(open_rgb(&file, size, options.image)?))
    };
    if split == Split::Test {
        return array("valid");
    }
    let inner = array("train")?;
    if split == Split::All {
        return Ok(Arc::new(Joined {
            first: inner,
            second: array("valid")?,
        }));
    }
    let place = folder
        .join(format!("imagenet{size}-train.npy"))
        .display()
        .to_string();
    hold_out_of_imagenet(inner, split, &place)
}

/// The training images of ImageNet without those held out for validation, or these: p = permutation(n), seed 42,
/// training is p[:-5000], validation p[-5000:].
pub(crate) fn hold_out_of_imagenet(
    inner: Arc<dyn Dataset>,
    split: Split,
    place: &str,
) -> Result<Arc<dyn Dataset>, DataError> {
    let count = match u32::try_from(inner.len()) {
        Ok(count) if inner.len() > IMAGENET_VALID => count,
        _ => {
            let expected =
                format!("more than {IMAGENET_VALID} images, 1281149 in the release of the papers");
            let remedy = "Give other arrays as npy:FILE";
            return Err(DataError::mismatch(
                place,
                "images",
                expected,
                inner.len(),
                remedy,
            ));
        }
    };
    let order = legacy_permutation(IMAGENET_SEED, count);
    Ok(Arc::new(last_held_out(
        inner,
        &order,
        IMAGENET_VALID,
        split,
    )))
}

/// Opens `ffhq256:DIR`: p = permutation(70000), seed 5; training is p[:-7000], validation and test
/// are p[-7000:].
pub(crate) fn open_ffhq256(
    path: &Path,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    let file = if path.is_dir() {
        path.join("ffhq-256.npy")
    } else {
        path.to_owned()
    };
    let inner = Arc::new(open_rgb(&file, 256, options.image)?);
    if inner.len() != FFHQ_IMAGES as usize {
        let place = file.display().to_string();
        let remedy = "Give another array as npy:FILE";
        return Err(DataError::mismatch(
            &place,
            "images",
            FFHQ_IMAGES,
            inner.len(),
            remedy,
        ));
    }
    if split == Split::All {
        return Ok(inner);
    }
    let order = legacy_permutation(FFHQ_SEED, FFHQ_IMAGES);
    Ok(Arc::new(last_held_out(inner, &order, FFHQ_VALID, split)))
}

/// A .npy file of RGB images of a given size, which has to be the model's.
fn open_rgb(file: &Path, size: usize, image: ImageShape) -> Result<ArrayImages, DataError> {
    if image.size != size {
        let place = file.display().to_string();
        let remedy = format!("Set model.image_size = {size}");
        return Err(DataError::mismatch(
            &place,
            "image_size",
            size,
            image.size,
            remedy,
        ));
    }
    open_npy(file, image)
}

/// The last `held` images in `order`, or for training those before them.
fn last_held_out(inner: Arc<dyn Dataset>, order: &[u32], held: usize, split: Split) -> Subset {
    let (train, valid) = order.split_at(order.len() - held);
    let part = if split == Split::Train { train } else { valid };
    Subset {
        inner,
        indices: part.iter().map(|&index| index as usize).collect(),
    }
}
