//! Does the model memorise? Samples beside the training images that are nearest to them.

use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;
use vdvae_data::{Dataset, ItemRng};

use crate::evenly::evenly;

/// Training images that are looked through at most.
pub const NEIGHBOURS_AMONG: usize = 50_000;

/// Images read before they are compared.
const BLOCK: usize = 256;

/// The nearest of some images to another one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Neighbour {
    /// Its number in the data set.
    pub index: usize,
    /// What the data set calls it.
    pub name: String,
    /// Root of the mean squared difference of their values, which go from 0 to 255.
    pub distance: f64,
}

/// Distances to the nearest training image: of samples, and of images that the model never saw. A model
/// that memorises draws samples that are far nearer than new images are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Distances {
    /// Training images that were looked through.
    pub training_images: usize,
    /// Of samples at temperature 1.
    pub samples: Vec<Neighbour>,
    /// Of held-out images, where there are any.
    pub held_out: Vec<Neighbour>,
}

/// For each of `images`, [n, S, S, C], the nearest by L2 distance of pixels among at most `limit`
/// images of `dataset`, evenly spaced. Calls `progress` with the number looked through.
///
/// # Errors
/// If an image cannot be read.
pub fn nearest(
    dataset: &dyn Dataset,
    images: &[u8],
    limit: usize,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Neighbour>> {
    let length = dataset.image().len();
    let mut best = vec![(u64::MAX, 0); images.len() / length];
    let mut done = 0;
    for indices in evenly(dataset.len(), limit).chunks(BLOCK) {
        let mut block = vec![0; indices.len() * length];
        for (&index, image) in indices.iter().zip(block.chunks_exact_mut(length)) {
            dataset.read(index, &mut ItemRng::for_item(0, index as u64), image)?;
        }
        best.par_iter_mut()
            .zip(images.par_chunks_exact(length))
            .for_each(|(best, image)| {
                let candidates = block.chunks_exact(length).zip(indices);
                let nearer = candidates.map(|(other, &index)| (squared(image, other), index));
                *best = nearer.fold(*best, |a, b| if b.0 < a.0 { b } else { a });
            });
        done += indices.len();
        progress(done);
    }
    let neighbours = best.into_iter().map(|(squared, index)| Neighbour {
        index,
        name: dataset.name(index),
        distance: (squared as f64 / length as f64).sqrt(),
    });
    Ok(neighbours.collect())
}

/// Sum of the squared differences.
fn squared(a: &[u8], b: &[u8]) -> u64 {
    // A row of 32-bit sums: 65,025 times 4096 still fits.
    let rows = a.chunks(4096).zip(b.chunks(4096));
    rows.map(|(a, b)| {
        let sum: u32 = a
            .iter()
            .zip(b)
            .map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2))
            .sum();
        u64::from(sum)
    })
    .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vdvae_data::{DataError, ImageShape};

    /// Image i has all values 10 i.
    struct Steps(usize);

    impl Dataset for Steps {
        fn len(&self) -> usize {
            self.0
        }

        fn image(&self) -> ImageShape {
            ImageShape {
                size: 2,
                channels: 1,
            }
        }

        fn read(&self, index: usize, _: &mut ItemRng, out: &mut [u8]) -> Result<(), DataError> {
            out.fill(10 * index as u8);
            Ok(())
        }

        fn name(&self, index: usize) -> String {
            format!("step {index}")
        }
    }

    #[test]
    fn the_nearest_with_its_distance() {
        let mut calls = Vec::new();
        let found = nearest(&Steps(20), &[52; 4], 100, |done| calls.push(done)).expect("read");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].index, &*found[0].name), (5, "step 5"));
        assert!((found[0].distance - 2.0).abs() < 1e-12);
        assert_eq!(calls, [20]);
    }

    #[test]
    fn a_limit_looks_at_evenly_spaced_images() {
        let found = nearest(&Steps(20), &[52; 4], 5, |_| ()).expect("read");
        assert_eq!(found[0].index, 4, "of 0, 4, 8, 12, 16");
        assert!((found[0].distance - 12.0).abs() < 1e-12);
    }

    #[test]
    fn the_largest_difference_does_not_overflow() {
        let (black, white) = (vec![0; 100_000], vec![255; 100_000]);
        assert_eq!(squared(&black, &white), 65_025 * 100_000);
    }
}
