//! CIFAR-10 in every form in which it is downloaded, with the splits of published results.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vdvae_formats::pickle::{Pickle, numpy};
use vdvae_formats::{FormatError, gzip};

use crate::array::{ArrayImages, Bytes};
use crate::dataset::{Dataset, Subset};
use crate::error::DataError;
use crate::options::OpenOptions;
use crate::split::{Split, legacy_permutation};

const SIDE: usize = 32;
const CHANNELS: usize = 3;
/// Values of one image, stored channel by channel.
const IMAGE: usize = SIDE * SIDE * CHANNELS;
const IMAGES_PER_BATCH: usize = 10_000;
const VALID: usize = 5000;
const SEED: u32 = 11_172_018;

/// No batch file is larger than this; the real ones have 31 MB.
const LARGEST_FILE: u64 = 64 << 20;

/// How the batches are written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flavour {
    /// Pickled dictionaries with an array of 10000 x 3072 bytes.
    Python,
    /// 10000 times a label and 3072 bytes.
    Binary,
}

/// Contents of files by their names.
type Files = HashMap<String, Vec<u8>>;

/// Opens `cifar10:PATH`: p = permutation(50000), seed 11172018; validation is p[:5000], training
/// p[5000:], test the test batch.
pub(crate) fn open(
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
    let batches = batch_names(split);
    let (flavour, files) = read_files(path, &batches)?;
    let mut pixels = Vec::with_capacity(batches.len() * IMAGES_PER_BATCH * IMAGE);
    for batch in &batches {
        let name = flavour.file_name(batch);
        let file_place = format!("{place}: {name}");
        let Some(bytes) = files.get(&name) else {
            let remedy = "Download CIFAR-10 again";
            return Err(DataError::mismatch(
                &place,
                "files",
                name,
                "no such file",
                remedy,
            ));
        };
        match flavour {
            Flavour::Python => read_python(bytes, &file_place, &mut pixels)?,
            Flavour::Binary => read_binary(bytes, &file_place, &mut pixels)?,
        }
    }
    let array = 0..pixels.len();
    let inner = Arc::new(ArrayImages::new(
        Bytes::Owned(pixels),
        array,
        CHANNELS,
        options.image,
        place,
    ));
    if matches!(split, Split::Test | Split::All) {
        return Ok(inner);
    }
    let order = legacy_permutation(SEED, inner.len() as u32);
    let (valid, train) = order.split_at(VALID);
    let part = if split == Split::Train { train } else { valid };
    let indices = part.iter().map(|&index| index as usize).collect();
    Ok(Arc::new(Subset { inner, indices }))
}

fn batch_names(split: Split) -> Vec<&'static str> {
    const ALL: [&str; 6] = [
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
        "test_batch",
    ];
    match split {
        Split::Train | Split::Valid => ALL[..5].to_vec(),
        Split::Test => ALL[5..].to_vec(),
        Split::All => ALL.to_vec(),
    }
}

impl Flavour {
    fn file_name(self, batch: &str) -> String {
        match self {
            Self::Python => batch.to_owned(),
            Self::Binary => format!("{batch}.bin"),
        }
    }
}

/// Reads the files of `batches` from a folder, the folder above it, or an archive.
fn read_files(path: &Path, batches: &[&str]) -> Result<(Flavour, Files), DataError> {
    fs::metadata(path).map_err(DataError::io("open", path))?;
    if path.is_file() {
        return read_archive(path, batches);
    }
    for folder in [
        path.to_owned(),
        path.join("cifar-10-batches-py"),
        path.join("cifar-10-batches-bin"),
    ] {
        for flavour in [Flavour::Python, Flavour::Binary] {
            if batches
                .iter()
                .any(|batch| folder.join(flavour.file_name(batch)).is_file())
            {
                return Ok((flavour, read_folder(&folder, flavour, batches)?));
            }
        }
    }
    for archive in ["cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"] {
        if path.join(archive).is_file() {
            return read_archive(&path.join(archive), batches);
        }
    }
    Err(DataError::Empty {
        place: path.display().to_string(),
        expected: "data_batch_1 to data_batch_5 and test_batch, or the same with .bin".to_owned(),
        remedy: "Give the folder that holds them, or cifar-10-python.tar.gz as downloaded"
            .to_owned(),
    })
}

fn read_folder(folder: &Path, flavour: Flavour, batches: &[&str]) -> Result<Files, DataError> {
    let read = |batch: &&str| {
        let name = flavour.file_name(batch);
        let path: PathBuf = folder.join(&name);
        let file = File::open(&path).map_err(DataError::io("open", &path))?;
        Ok((name, read_limited(file, &path)?))
    };
    batches.iter().map(read).collect()
}

/// Reads the files of `batches` from a .tar.gz or .tar, wherever in it they are.
fn read_archive(path: &Path, batches: &[&str]) -> Result<(Flavour, Files), DataError> {
    let damaged = |error: std::io::Error| {
        let place = path.display().to_string();
        let remedy = "Give cifar-10-python.tar.gz or cifar-10-binary.tar.gz as downloaded, or the unpacked folder";
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
            files.insert(name, read_limited(entry, path)?);
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
fn read_limited(reader: impl Read, path: &Path) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    reader
        .take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(DataError::io("read", path))?;
    if bytes.len() as u64 > LARGEST_FILE {
        let expected = format!("at most {LARGEST_FILE} bytes");
        let remedy = "This is no batch of CIFAR-10";
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
fn read_python(bytes: &[u8], place: &str, pixels: &mut Vec<u8>) -> Result<(), DataError> {
    let in_pickle = |source| FormatError::Pickle {
        place: place.to_owned(),
        source,
    };
    let pickle = Pickle::parse(bytes, numpy::GLOBALS).map_err(in_pickle)?;
    let remedy = "This is no batch of CIFAR-10: download it again";
    let Some(data) = pickle.root().get("data") else {
        let expected = "a dictionary with an entry 'data'";
        return Err(DataError::mismatch(
            place,
            "contents",
            expected,
            "something else",
            remedy,
        ));
    };
    let array = numpy::array(data).map_err(in_pickle)?;
    if array.dtype != "u1" || array.fortran_order || array.shape != [IMAGES_PER_BATCH, IMAGE] {
        let expected = format!("uint8 of shape [{IMAGES_PER_BATCH}, {IMAGE}]");
        let found = format!("{} of shape {:?}", array.dtype, array.shape);
        return Err(DataError::mismatch(place, "data", expected, found, remedy));
    }
    array
        .data
        .chunks_exact(IMAGE)
        .for_each(|image| push_interleaved(image, pixels));
    Ok(())
}

/// Adds the images of a binary batch to `pixels`.
fn read_binary(bytes: &[u8], place: &str, pixels: &mut Vec<u8>) -> Result<(), DataError> {
    let record = 1 + IMAGE;
    if bytes.len() != IMAGES_PER_BATCH * record {
        let expected = format!("{} bytes", IMAGES_PER_BATCH * record);
        let remedy = "The file is truncated or no batch of CIFAR-10: download it again";
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
        .for_each(|record| push_interleaved(&record[1..], pixels));
    Ok(())
}

/// Adds an image that is stored channel by channel, pixel by pixel.
fn push_interleaved(image: &[u8], pixels: &mut Vec<u8>) {
    let area = SIDE * SIDE;
    pixels.extend(
        (0..area).flat_map(|pixel| (0..CHANNELS).map(move |channel| image[channel * area + pixel])),
    );
}
