//! How a data source is opened.

use crate::dataset::ImageShape;

/// How to open a data source.
#[derive(Clone, Copy)]
pub struct OpenOptions<'a> {
    /// Shape of the images that the model wants.
    pub image: ImageShape,
    /// Whether the training split is augmented: `photos` and `crops` are cropped at random. To
    /// evaluate on the training split, say false; the other splits are never augmented.
    pub augment: bool,
    /// Whether an augmented training split is mirrored at random, too.
    pub flip: bool,
    /// Decides what is held out where a source has no splits of its own.
    pub seed: u64,
    /// Whether images that cannot be used are left out, instead of being an error. All images are
    /// then decoded once when the data set is opened, so that its length is known.
    pub skip_bad_images: bool,
    /// Whether images are decoded when the data set is opened where that takes a matter of seconds, so that
    /// bad ones show before any work. For those who want few of them, and look at these themselves, it is false.
    pub look_through: bool,
    /// The names of the classes that a model tells apart, in the order of its numbers: each image comes with the
    /// number of its own. Empty: images have none.
    pub classes: &'a [String],
    /// Told, while many files are decoded in opening a data set, how many are done and of how many.
    pub progress: Option<&'a Progress<'a>>,
}

/// See [`OpenOptions::progress`].
pub type Progress<'a> = dyn Fn(usize, usize) + Sync + 'a;

impl OpenOptions<'_> {
    /// Images of the given shape as they are: not augmented, seed 0, bad images are errors, when they are
    /// opened if there are few.
    pub fn new(image: ImageShape) -> Self {
        Self {
            image,
            augment: false,
            flip: false,
            seed: 0,
            skip_bad_images: false,
            look_through: true,
            classes: &[],
            progress: None,
        }
    }
}
