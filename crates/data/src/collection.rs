//! A source that was looked through: which images it has, and what each is for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::array_set::ArraySet;
use crate::dataset::{Dataset, RandomlyFlipped};
use crate::error::DataError;
use crate::file_set::{Changes, FileSet};
use crate::image_file::ImageFile;
use crate::image_list::{ImageList, array_entry};
use crate::listing::PassedOver;
use crate::options::OpenOptions;
use crate::source::Source;
use crate::split::Split;
use crate::{
    amat, array_file, celeba, cifar, crops, folder, idx, imagenet_batches, published, shards,
};

/// Of data sets with a training and a test file.
const TEST_FILE: &str =
    "5000 training images are held out for validation, test images are a file of their own";

/// Of the batches of image-net.org.
const OTHER_RELEASE: &str = "5000 training images are held out for validation, test is val_data. This release was \
    resized otherwise than the one of the published numbers: do not compare";

/// A source whose images have been found, and not read yet.
///
/// ```
/// use vdvae_data::{Collection, ImageShape, OpenOptions, Source, Split};
///
/// let options = OpenOptions::new(ImageShape { size: 32, channels: 3 });
/// let photos = Collection::split(&Source::Photos, &options)?;
/// assert_eq!(photos.open(Split::Test, &options)?.len(), 400);
/// # Ok::<(), vdvae_data::DataError>(())
/// ```
pub struct Collection {
    source: Source,
    contents: Contents,
}

enum Contents {
    /// Files, each of them in a split, and how they are opened.
    Files(FileSet, OpenFiles),
    /// One array or several.
    Array(ArraySet),
    /// What comes with its splits: how a split of it is opened, and what is for what.
    Fixed(OpenFixed, PathBuf, &'static str),
}

type Opened = Result<Arc<dyn Dataset>, DataError>;
type OpenFiles = fn(&str, Vec<ImageFile>, Split, &OpenOptions) -> Opened;
type OpenFixed = fn(&Path, Split, &OpenOptions) -> Opened;

impl Collection {
    /// The images of a source, to be taken all together.
    ///
    /// # Errors
    /// If there is nothing there, or it is not what the source's files have to be.
    pub fn whole(source: &Source, options: &OpenOptions) -> Result<Self, DataError> {
        options.image.check()?;
        let fixed =
            |open: OpenFixed, path: &PathBuf, splits| Contents::Fixed(open, path.clone(), splits);
        let contents = match source {
            Source::Photos => fixed(
                crops::open_photos,
                &PathBuf::new(),
                "each photograph is in one split",
            ),
            Source::Crops(path) => {
                Contents::Files(FileSet::in_folder(path, "photographs")?, crops::open)
            }
            Source::Folder(path) => {
                Contents::Files(FileSet::in_folder(path, "images")?, folder::open)
            }
            Source::Tar(path) => Contents::Files(shards::files(path)?, folder::open),
            Source::Npy(path) => Contents::Array(array_file::open(path, options.image)?),
            Source::Npz(path) => Contents::Array(array_file::open_npz(path, options.image)?),
            Source::Cifar10(path) => fixed(cifar::open_cifar10, path, TEST_FILE),
            Source::Cifar100(path) => fixed(cifar::open_cifar100, path, TEST_FILE),
            Source::Imagenet32Batches(path) => {
                fixed(imagenet_batches::open_32, path, OTHER_RELEASE)
            }
            Source::Imagenet64Batches(path) => {
                fixed(imagenet_batches::open_64, path, OTHER_RELEASE)
            }
            // What the folder holds decides.
            Source::Imagenet32(path) if imagenet_batches::are_in(path, 32) => {
                fixed(imagenet_batches::open_32, path, OTHER_RELEASE)
            }
            Source::Imagenet64(path) if imagenet_batches::are_in(path, 64) => {
                fixed(imagenet_batches::open_64, path, OTHER_RELEASE)
            }
            Source::Imagenet32(path) => fixed(published::open_imagenet32, path, TEST_FILE),
            Source::Imagenet64(path) => fixed(published::open_imagenet64, path, TEST_FILE),
            Source::Ffhq256(path) => fixed(
                published::open_ffhq256,
                path,
                "7000 images are held out, for validation and test alike",
            ),
            Source::Ffhq1024(path) => {
                Contents::Files(folder::ffhq1024(path, options)?, folder::open)
            }
            Source::Celeba(path) => {
                fixed(celeba::open, path, "split as list_eval_partition.txt says")
            }
            Source::Idx(path) => fixed(idx::open, path, TEST_FILE),
            Source::Amat(path) => fixed(amat::open, path, "each split is a file"),
        };
        Ok(Self {
            source: source.clone(),
            contents,
        })
    }

    /// The images of a source, each with what it is for.
    ///
    /// # Errors
    /// As [`whole`](Self::whole), and [`DataError::Layout`] if folders do not tell.
    pub fn split(source: &Source, options: &OpenOptions) -> Result<Self, DataError> {
        let mut collection = Self::whole(source, options)?;
        if let Contents::Files(files, _) = &mut collection.contents {
            files.split(options.seed)?;
        }
        Ok(collection)
    }

    /// The images of a source, for what `list` says, which was kept when a run began.
    ///
    /// # Errors
    /// As [`whole`](Self::whole), and [`DataError::OtherImages`] if they are not those of the list.
    pub fn recorded(
        source: &Source,
        list: &ImageList,
        options: &OpenOptions,
    ) -> Result<(Self, Changes), DataError> {
        let mut collection = Self::whole(source, options)?;
        if list.kind != source.kind() {
            return Err(DataError::OtherImages {
                place: source.to_string(),
                found: format!("a source {}:, where it had {}:", source.kind(), list.kind),
            });
        }
        match &mut collection.contents {
            Contents::Files(files, _) => {
                let changes = files.adopt(list)?;
                Ok((collection, changes))
            }
            Contents::Array(_) => {
                collection.check(list, options)?;
                Ok((collection, Changes::default()))
            }
            // A split of these does not depend on what else is there.
            Contents::Fixed(..) => Ok((collection, Changes::default())),
        }
    }

    /// Checks that arrays hold what they held when `list` was made. Files are known by their names.
    ///
    /// # Errors
    /// [`DataError::OtherImages`] if not, and if an image cannot be read.
    pub fn check(&self, list: &ImageList, options: &OpenOptions) -> Result<(), DataError> {
        if matches!(self.contents, Contents::Files(..)) {
            return Ok(());
        }
        let now = self.list(options)?;
        let mut pairs = list.entries.iter().zip(&now.entries);
        let Some((known, found)) = pairs.find(|(known, found)| known != found) else {
            return Ok(());
        };
        Err(DataError::OtherImages {
            place: self.source.to_string(),
            found: if known.size == found.size {
                "as many images, with other pixels".to_owned()
            } else {
                format!("{} images, where it had {}", found.size, known.size)
            },
        })
    }

    /// Images that are new since a run began are for training from now on.
    pub fn train_on_new(&mut self) {
        if let Contents::Files(files, _) = &mut self.contents {
            files.train_on_new();
        }
    }

    /// Whether there are images of a split, as far as that is known without reading any.
    pub fn has(&self, split: Split) -> bool {
        match &self.contents {
            Contents::Files(files, _) => files.has(split),
            Contents::Array(array) => array.has(split),
            Contents::Fixed(..) => true,
        }
    }

    /// The names of the classes of the images: folders, sorted, or in the order of the data set's labels.
    ///
    /// # Errors
    /// [`DataError::NoClasses`] if they are not told.
    pub fn classes(&self) -> Result<Vec<String>, DataError> {
        match (&self.source, &self.contents) {
            (Source::Folder(_) | Source::Tar(_), Contents::Files(files, _)) => files.classes(),
            (Source::Cifar10(_), _) => Ok(cifar::names(cifar::CIFAR10_CLASSES)),
            (Source::Cifar100(_), _) => Ok(cifar::names(cifar::CIFAR100_CLASSES)),
            _ => Err(self.no_classes()),
        }
    }

    fn no_classes(&self) -> DataError {
        DataError::NoClasses {
            place: self.source.to_string(),
            found: "a source that tells none".to_owned(),
        }
    }

    /// Whether the images are files of their own, which may come and go.
    pub fn has_files(&self) -> bool {
        matches!(self.contents, Contents::Files(..))
    }

    /// How many images are for training by `list`, and there unchanged.
    pub fn trained_on(&self, list: &ImageList) -> usize {
        match &self.contents {
            Contents::Files(files, _) => files.trained_on(list),
            _ => 0,
        }
    }

    /// What is kept with a run.
    ///
    /// # Errors
    /// If images cannot be read.
    pub fn list(&self, options: &OpenOptions) -> Result<ImageList, DataError> {
        let kind = self.source.kind();
        let entries = match &self.contents {
            Contents::Files(files, _) => return Ok(files.list(kind)),
            Contents::Array(array) => vec![array_entry(Split::All, array.all())?],
            Contents::Fixed(..) if self.source.is_decoded() => Vec::new(),
            // Of most of them the images for validation are from the training file: one look tells it.
            Contents::Fixed(..) => {
                let valid = self.open(Split::Valid, options)?;
                vec![array_entry(Split::Valid, &*valid)?]
            }
        };
        Ok(ImageList {
            kind: kind.to_owned(),
            entries,
        })
    }

    /// The files of the folder that are no images.
    pub fn passed_over(&self) -> Option<&PassedOver> {
        match &self.contents {
            Contents::Files(files, _) => Some(&files.passed_over).filter(|files| !files.is_empty()),
            _ => None,
        }
    }

    /// What the images were taken for, in one line; for [`Split::All`] how many there are.
    pub fn describe(&self, split: Split) -> String {
        let what = match &self.contents {
            Contents::Files(files, _) => files.describe(split),
            Contents::Array(array) => array.describe(split),
            Contents::Fixed(_, _, splits) => (*splits).to_owned(),
        };
        format!("{}: {what}", self.source)
    }

    /// Opens a split. What it returns has at least one item.
    ///
    /// # Errors
    /// If there is nothing in it, a file is not what it has to be, or classes are wanted that the source does not
    /// tell; see [`DataError`].
    pub fn open(&self, split: Split, options: &OpenOptions) -> Result<Arc<dyn Dataset>, DataError> {
        let tells_classes = matches!(
            self.source,
            Source::Folder(_) | Source::Tar(_) | Source::Cifar10(_) | Source::Cifar100(_)
        );
        if !options.classes.is_empty() && !tells_classes {
            return Err(self.no_classes());
        }
        let dataset = match &self.contents {
            Contents::Files(files, open) => {
                let of_split = files.files(split, options.classes)?;
                open(&files.place, of_split, split, options)
            }
            Contents::Array(array) => array.part(split, options.seed, &self.source.place()),
            Contents::Fixed(open, path, _) => open(path, split, options),
        }?;
        if options.augment && options.flip && split == Split::Train {
            return Ok(Arc::new(RandomlyFlipped(dataset)));
        }
        Ok(dataset)
    }
}
