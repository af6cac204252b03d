//! Folders of images, centre-cropped to a square and resized: `folder:DIR` and `ffhq1024:DIR`.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::dataset::{Dataset, ImageShape};
use crate::error::DataError;
use crate::file_set::FileSet;
use crate::image_file::ImageFile;
use crate::image_store::{Budget, ImageStore, Prepare};
use crate::loss::LossCounts;
use crate::options::OpenOptions;
use crate::rng::ItemRng;
use crate::split::Split;

/// Image files, one item each.
pub(crate) struct Folder {
    store: ImageStore,
    image: ImageShape,
}

impl Folder {
    /// Of `files`, each of which `prepare` brings to the size of the model.
    ///
    /// # Errors
    /// As [`ImageStore::open`].
    pub fn prepare(
        place: &str,
        files: Vec<ImageFile>,
        prepare: Prepare,
        options: &OpenOptions,
    ) -> Result<Self, DataError> {
        Ok(Self {
            store: ImageStore::open(files, prepare, options, place, Budget::of(options))?,
            image: options.image,
        })
    }
}

impl Dataset for Folder {
    fn len(&self) -> usize {
        self.store.len()
    }

    fn image(&self) -> ImageShape {
        self.image
    }

    fn read(&self, index: usize, _: &mut ItemRng, out: &mut [u8]) -> Result<(), DataError> {
        out.copy_from_slice(&self.store.get(index)?.pixels);
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        self.store.name(index).to_owned()
    }

    fn class(&self, index: usize) -> Option<usize> {
        self.store.class(index)
    }

    fn skipped(&self) -> &[String] {
        self.store.skipped()
    }

    fn losses(&self) -> LossCounts {
        self.store.losses()
    }
}

/// Opens files that are centre-cropped and resized.
pub(crate) fn open(
    place: &str,
    files: Vec<ImageFile>,
    _: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    let prepare = Prepare::Square(options.image);
    Ok(Arc::new(Folder::prepare(place, files, prepare, options)?))
}

/// The files of `ffhq1024:DIR`: the folders `train` and `valid` of 1024 x 1024 images. Validation is test.
pub(crate) fn ffhq1024(folder: &Path, options: &OpenOptions) -> Result<FileSet, DataError> {
    let place = folder.display().to_string();
    if options.image.size != 1024 {
        let remedy = "Set model.image_size = 1024, or resize the images with folder:DIR";
        return Err(DataError::mismatch(
            &place,
            "image_size",
            1024,
            options.image.size,
            remedy,
        ));
    }
    let has = |name: &str| folder.join(name).is_dir();
    if !has("train") || !(has("valid") || has("val")) {
        fs::metadata(folder).map_err(DataError::io("open", folder))?;
        return Err(DataError::Empty {
            place,
            expected: "the folders `train` and `valid`".to_owned(),
            remedy: "Give the folder that holds them".to_owned(),
        });
    }
    let mut files = FileSet::in_folder(folder, "images")?;
    files.test_is_validation = true;
    Ok(files)
}
