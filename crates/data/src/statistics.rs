//! Mean and standard deviation of the pixels of a data set, for the normalisation of the input.

use rayon::prelude::*;

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::rng::ItemRng;

/// At most this many images are looked at.
const MOST_IMAGES: usize = 20_000;

/// Mean and standard deviation over all pixels and channels, in units of 0..255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelStatistics {
    /// Between 0 and 255.
    pub mean: f64,
    /// Of the whole population; more than 0.
    pub std: f64,
}

impl PixelStatistics {
    /// The shift of the input normalisation (value + shift) * scale: -mean.
    pub fn shift(&self) -> f64 {
        -self.mean
    }

    /// The scale of the input normalisation (value + shift) * scale: 1 / std.
    pub fn scale(&self) -> f64 {
        1.0 / self.std
    }
}

/// How often each value of a byte occurs.
type Histogram = [u64; 256];

/// Mean and standard deviation of the pixels of at most 20,000 images, evenly spaced.
///
/// The sums are exact, so that the result does not depend on the number of threads.
///
/// # Errors
/// If an image cannot be read, or if all pixels have the same value.
pub fn pixel_statistics(dataset: &dyn Dataset) -> Result<PixelStatistics, DataError> {
    let images = dataset.len().min(MOST_IMAGES);
    let histogram = (0..images)
        .into_par_iter()
        .map(|image| image * dataset.len() / images)
        .try_fold(
            || [0; 256],
            |histogram, index| count(dataset, index, histogram),
        )
        .try_reduce(
            || [0; 256],
            |one, other| Ok(std::array::from_fn(|value| one[value] + other[value])),
        )?;
    let values = || {
        (0u16..)
            .map(f64::from)
            .zip(histogram.iter().map(|&count| count as f64))
    };
    let total: f64 = values().map(|(_, count)| count).sum();
    let mean = values().map(|(value, count)| value * count).sum::<f64>() / total;
    let variance = values()
        .map(|(value, count)| (value - mean).powi(2) * count)
        .sum::<f64>()
        / total;
    if variance > 0.0 {
        return Ok(PixelStatistics {
            mean,
            std: variance.sqrt(),
        });
    }
    Err(DataError::mismatch(
        &dataset.name(0),
        "pixels",
        "different values",
        format!("{mean} everywhere, in this image and all others"),
        "There is nothing to learn from such images",
    ))
}

/// Adds the pixels of one image to `histogram`.
fn count(
    dataset: &dyn Dataset,
    index: usize,
    mut histogram: Histogram,
) -> Result<Histogram, DataError> {
    let mut image = vec![0; dataset.image().len()];
    dataset.read(index, &mut ItemRng::for_item(0, index as u64), &mut image)?;
    for value in image {
        histogram[usize::from(value)] += 1;
    }
    Ok(histogram)
}
