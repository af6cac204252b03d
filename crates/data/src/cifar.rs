//! CIFAR-10 and CIFAR-100 in every form in which they are downloaded, CIFAR-10 with the splits of published results.

mod classes;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vdvae_formats::gzip;

use crate::array::{ArrayImages, Bytes};
use crate::dataset::{Dataset, Labelled, Subset};
use crate::error::DataError;
use crate::options::OpenOptions;
use crate::pickled::with_rows;
use crate::split::{Split, legacy_permutation};

pub(crate) use classes::{CIFAR10 as CIFAR10_CLASSES, CIFAR100 as CIFAR100_CLASSES, names};

const SIDE: usize = 32;
const CHANNELS: usize = 3;
/// Values of one image, stored channel by channel.
const IMAGE: usize = SIDE * SIDE * CHANNELS;
const VALID: usize = 5000;
const SEED: u32 = 11_172_018;

/// No batch file is larger than this; the largest has 154 MB.
const LARGEST_FILE: u64 = 256 << 20;

/// One of the two data sets.
struct Release {
    /// As it is called.
    name: &'static str,
    /// Files of training images, 50000 together.
    train: &'static [&'static str],
    /// The file of test images.
    test: &'static str,
    /// Images of a training file; the test file has 10000.
    images_per_file: usize,
    /// Bytes before each image in binary files, the last of which is its label.
    labels: usize,
    /// The list of labels in pickled files.
    label_key: &'static str,
    /// The names of the classes, in the order of the labels.
    classes: &'static str,
    /// Folders inside of the archives.
    folders: [&'static str; 2],
    archives: [&'static str; 2],
}

const TEST_IMAGES: usize = 10_000;

const CIFAR10: Release = Release {
    name: "CIFAR-10",
    train: &[
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
    ],
    test: "test_batch",
    images_per_file: 10_000,
    labels: 1,
    label_key: "labels",
    classes: classes::CIFAR10,
    folders: ["cifar-10-batches-py", "cifar-10-batches-bin"],
    archives: ["cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"],
};

const CIFAR100: Release = Release {
    name: "CIFAR-100",
    train: &["train"],
    test: "test",
    images_per_file: 50_000,
    labels: 2,
    label_key: "fine_labels",
    classes: classes::CIFAR100,
    folders: ["cifar-100-python", "cifar-100-binary"],
    archives: ["cifar-100-python.tar.gz", "cifar-100-binary.tar.gz"],
};

/// How the batches are written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flavour {
    /// Pickled dictionaries with an array of n x 3072 bytes.
    Python,
    /// n times labels and 3072 bytes.
    Binary,
}

/// Contents of files by their names.
type Files = HashMap<String, Vec<u8>>;

/// Opens `cifar10:PATH`: p = permutation(50000), seed 11172018; validation is p[:5000], training
/// p[5000:], test the test batch.
pub(crate) fn open_cifar10(
    path: &Path,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    open(&CIFAR10, path, split, options)
}

/// Opens `cifar100:PATH`, with validation images chosen as for CIFAR-10.
pub(crate) fn open_cifar100(
    path: &Path,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    open(&CIFAR100, path, split, options)
}

fn open(
    release: &Release,
    path: &Path,
    split: Split,
    options: &OpenOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    let place = path.display().to_string();
    if options.image.size != SIDE {
        let remedy = "Set model.image_size = 32";
        return Err(DataError::mismatch(
            &place,
            "image_size",
            SIDE,
            options.image.size,
            remedy,
        ));
    }
    let batches = release.files(split);
    let (flavour, files) = release.read_files(path, &batches)?;
    let images = |batch: &str| {
        if batch == release.test {
            TEST_IMAGES
        } else {
            release.images_per_file
        }
    };
    let all: usize = batches.iter().map(|batch| images(batch)).sum();
    let mut pixels = Vec::with_capacity(all * IMAGE);
    let numbers = release.numbers(options, &place)?;
    let mut classes = Vec::new();
    for batch in &batches {
        let name = flavour.file_name(batch);
        let file_place = format!("{place}: {name}");
        let Some(bytes) = files.get(&name) else {
            let remedy = format!("Download {} again", release.name);
            return Err(DataError::mismatch(
                &place,
                "files",
                name,
                "no such file",
                remedy,
            ));
        };
        let images = images(batch);
        match flavour {
            Flavour::Python => release.read_python(bytes, images, &file_place, &mut pixels)?,
            Flavour::Binary => release.read_binary(bytes, images, &file_place, &mut pixels)?,
        }
        if let Some(numbers) = &numbers {
            let labels = release.read_labels(flavour, bytes, images, &file_place)?;
            classes.extend(labels.into_iter().map(|label| numbers[usize::from(label)]));
        }
    }
    let array = 0..pixels.len();
    let images = ArrayImages::new(Bytes::Owned(pixels), array, CHANNELS, options.image, place);
    let inner: Arc<dyn Dataset> = Arc::new(images);
    let inner = match numbers {
        Some(_) => Arc::new(Labelled { inner, classes }),
        None => inner,
    };
    if matches!(split, Split::Test | Split::All) {
        return Ok(inner);
    }
    let order = legacy_permutation(SEED, inner.len() as u32);
    let (valid, train) = order.split_at(VALID);
    let part = if split == Split::Train { train } else { valid };
    let indices = part.iter().map(|&index| index as usize).collect();
    Ok(Arc::new(Subset { inner, indices }))
}

impl Flavour {
    fn file_name(self, batch: &str) -> String {
        match self {
            Self::Python => batch.to_owned(),
            Self::Binary => format!("{batch}.bin"),
        }
    }
}

impl Release {
    /// The names of the files of a split, without `.bin`.
    fn files(&self, split: Split) -> Vec<&'static str> {
        match split {
            Split::Train | Split::Valid => self.train.to_vec(),
            Split::Test => vec![self.test],
            Split::All => [self.train, &[self.test]].concat(),
        }
    }

    /// Reads the files of `batches` from a folder, the folder above it, or an archive.
    fn read_files(&self, path: &Path, batches: &[&str]) -> Result<(Flavour, Files), DataError> {
        fs::metadata(path).map_err(DataError::io("open", path))?;
        if path.is_file() {
            return self.read_archive(path, batches);
        }
        let [python, binary] = self.folders;
        for folder in [path.to_owned(), path.join(python), path.join(binary)] {
            for flavour in [Flavour::Python, Flavour::Binary] {
                if batches
                    .iter()
                    .any(|batch| folder.join(flavour.file_name(batch)).is_file())
                {
                    return Ok((flavour, self.read_folder(&folder, flavour, batches)?));
                }
            }
        }
        for archive in self.archives {
            if path.join(archive).is_file() {
                return self.read_archive(&path.join(archive), batches);
            }
        }
        Err(DataError::Empty {
            place: path.display().to_string(),
            expected: format!(
                "{} and {}, or the same with .bin",
                self.train.join(", "),
                self.test
            ),
            remedy: format!(
                "Give the folder that holds them, or {} as downloaded",
                self.archives[0]
            ),
        })
    }

    fn read_folder(
        &self,
        folder: &Path,
        flavour: Flavour,
        batches: &[&str],
    ) -> Result<Files, DataError> {
        let read = |batch: &&str| {
            let name = flavour.file_name(batch);
            let path: PathBuf = folder.join(&name);
            let file = File::open(&path).map_err(DataError::io("open", &path))?;
            Ok((name, self.read_limited(file, &path)?))
        };
        batches.iter().map(read).collect()
    }

    /// Reads the files of `batches` from a .tar.gz or .tar, wherever in it they are.
    fn read_archive(&self, path: &Path, batches: &[&str]) -> Result<(Flavour, Files), DataError> {
        let [python, binary] = self.archives;
        let damaged = |error: std::io::Error| {
            let place = path.display().to_string();
            let remedy = format!("Give {python} or {binary} as downloaded, or the unpacked folder");
            DataError::mismatch(&place, "archive", "a whole .tar.gz", error, remedy)
        };
        let mut archive = tar::Archive::new(gzip::open(path)?);
        let mut files = Files::new();
        for entry in archive.entries().map_err(damaged)? {
            let entry = entry.map_err(damaged)?;
            let name = entry.path().map_err(damaged)?;
            let name = name
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let batch = name.strip_suffix(".bin").unwrap_or(&name);
            if entry.header().entry_type().is_file() && batches.contains(&batch) {
                files.insert(name, self.read_limited(entry, path)?);
            }
            for flavour in [Flavour::Python, Flavour::Binary] {
                if batches
                    .iter()
                    .all(|batch| files.contains_key(&flavour.file_name(batch)))
                {
                    return Ok((flavour, files));
                }
            }
        }
        let mut found: Vec<String> = files.into_keys().collect();
        found.sort_unstable();
        let found = if found.is_empty() {
            "none".to_owned()
        } else {
            found.join(", ")
        };
        let remedy = "Download the archive again";
        Err(DataError::mismatch(
            &path.display().to_string(),
            "files",
            batches.join(", "),
            found,
            remedy,
        ))
    }

    /// Reads to the end, but no more than any batch file has.
    fn read_limited(&self, reader: impl Read, path: &Path) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        reader
            .take(LARGEST_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(DataError::io("read", path))?;
        if bytes.len() as u64 > LARGEST_FILE {
            let expected = format!("at most {LARGEST_FILE} bytes");
            let remedy = format!("This is no batch of {}", self.name);
            return Err(DataError::mismatch(
                &path.display().to_string(),
                "size",
                expected,
                "more",
                remedy,
            ));
        }
        Ok(bytes)
    }

    /// Adds the images of a pickled batch to `pixels`.
    fn read_python(
        &self,
        bytes: &[u8],
        images: usize,
        place: &str,
        pixels: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        let remedy = format!("This is no batch of {}: download it again", self.name);
        with_rows(bytes, [Some(images), Some(IMAGE)], place, &remedy, |rows| {
            rows.chunks_exact(IMAGE)
                .for_each(|image| push_interleaved(image, pixels));
        })
    }

    /// Adds the images of a binary batch to `pixels`.
    fn read_binary(
        &self,
        bytes: &[u8],
        images: usize,
        place: &str,
        pixels: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        let record = self.labels + IMAGE;
        if bytes.len() != images * record {
            let expected = format!("{} bytes", images * record);
            let remedy = format!(
                "The file is truncated or no batch of {}: download it again",
                self.name
            );
            return Err(DataError::mismatch(
                place,
                "size",
                expected,
                bytes.len(),
                remedy,
            ));
        }
        bytes
            .chunks_exact(record)
            .for_each(|record| push_interleaved(&record[self.labels..], pixels));
        Ok(())
    }
}

/// Adds an image that is stored channel by channel, pixel by pixel.
fn push_interleaved(image: &[u8], pixels: &mut Vec<u8>) {
    let area = SIDE * SIDE;
    pixels.extend(
        (0..area).flat_map(|pixel| (0..CHANNELS).map(move |channel| image[channel * area + pixel])),
    );
}
