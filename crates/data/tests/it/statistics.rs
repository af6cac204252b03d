//! Mean and standard deviation of pixels.

use tempfile::tempdir;
use vdvae_data::{Source, Split, pixel_statistics};

use crate::files::*;

#[test]
fn mean_and_standard_deviation_over_all_values() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let mut npy = npy_header(&[4, 2, 2, 1]);
    npy.extend([0, 0, 0, 0, 10, 10, 10, 10, 20, 20, 20, 20, 30, 30, 30, 30]);
    write(&path, &npy);
    let dataset = opened(Source::Npy(path), Split::All, gray(2)).unwrap();
    let statistics = pixel_statistics(&*dataset).unwrap();
    assert_eq!(statistics.mean, 15.0);
    assert_eq!(statistics.std, 125f64.sqrt());
    assert_eq!(
        (statistics.shift(), statistics.scale()),
        (-15.0, 1.0 / 125f64.sqrt())
    );
}

#[test]
fn large_data_sets_are_sampled_from_end_to_end() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.npy");
    // Only the last of 40,000 images is not black; every second one is looked at.
    let mut npy = npy_header(&[40_000, 1, 1, 1]);
    npy.resize(npy.len() + 40_000, 0);
    let last_looked_at = npy.len() - 2;
    npy[last_looked_at] = 100;
    write(&path, &npy);
    let dataset = opened(Source::Npy(path), Split::All, gray(1)).unwrap();
    assert_eq!(pixel_statistics(&*dataset).unwrap().mean, 100.0 / 20_000.0);
}

#[test]
fn images_without_contrast_are_an_error() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let mut npy = npy_header(&[4, 2, 2, 1]);
    npy.extend([7; 16]);
    write(&path, &npy);
    let dataset = opened(Source::Npy(path), Split::All, gray(2)).unwrap();
    let error = pixel_statistics(&*dataset).unwrap_err().to_string();
    assert_says(&error, &["a.npy row 0", "found 7 everywhere"]);
}

/// The expected mean and standard deviation were computed with Pillow and NumPy.
#[test]
fn the_photographs_have_known_statistics() {
    let train = opened(Source::Photos, Split::Train, rgb(32)).unwrap();
    let statistics = pixel_statistics(&*train).unwrap();
    assert!(
        (statistics.mean - 108.08740534771742).abs() < 1e-9,
        "{statistics:?}"
    );
    assert!(
        (statistics.std - 66.26830048571496).abs() < 1e-9,
        "{statistics:?}"
    );
}
