//! .npz files: zip archives of .npy files, as `numpy.savez` and `numpy.savez_compressed` write them.

use std::io::Read;
use std::path::Path;

use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder, ZipSliceArchive};

use crate::array::{ArrayImages, Bytes, from_npy, map_file};
use crate::dataset::ImageShape;
use crate::error::DataError;

/// The array that is taken if there are several, in this order of preference.
const PREFERRED: [&str; 4] = ["x", "images", "data", "arr_0"];

/// A compressed array is unpacked into memory up to this size: 4 GiB.
const LARGEST: u64 = 4 << 30;

/// An array in the archive.
struct Entry {
    name: String,
    method: CompressionMethod,
    location: ZipArchiveEntryWayfinder,
}

/// Opens the array of images in a .npz file. One that is stored without compression stays in the file.
pub(crate) fn open(path: &Path, image: ImageShape) -> Result<ArrayImages, DataError> {
    let place = path.display().to_string();
    let damaged = |error: rawzip::Error| {
        let remedy = "The file is damaged or no .npz: write it again with numpy.savez";
        DataError::mismatch(&place, "archive", "a zip archive", error, remedy)
    };
    let map = map_file(path)?;
    let archive = ZipArchive::from_slice(map).map_err(damaged)?;
    let entry = choose(list(&archive).map_err(damaged)?, &place)?;
    let name = format!("{place}[{}]", entry.name);
    let located = archive.get_entry(entry.location).map_err(damaged)?;
    match entry.method {
        CompressionMethod::STORE => {
            let (start, end) = located.compressed_data_range();
            let npy = start as usize..end as usize; // within the map, so within the address space
            from_npy(Bytes::Mapped(archive.into_inner()), npy, image, name)
        }
        CompressionMethod::DEFLATE => {
            let inflated = located.verifying_reader(DeflateDecoder::new(located.data()));
            let npy = inflate(inflated, &name)?;
            let all = 0..npy.len();
            from_npy(Bytes::Owned(npy), all, image, name)
        }
        other => {
            let expected = "stored or deflated";
            let remedy = "Write the file with numpy.savez";
            Err(DataError::mismatch(
                &name,
                "compression",
                expected,
                format!("{other:?}"),
                remedy,
            ))
        }
    }
}

/// Unpacks at most [`LARGEST`] bytes, whatever the archive claims.
fn inflate(reader: impl Read, name: &str) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    let unpacked = reader.take(LARGEST + 1).read_to_end(&mut bytes);
    let remedy = "Unpack the .npz and give the .npy file in it, which stays on the disk";
    if bytes.len() as u64 > LARGEST {
        let expected = format!("at most {LARGEST} bytes when unpacked");
        return Err(DataError::mismatch(name, "size", expected, "more", remedy));
    }
    if let Err(error) = unpacked {
        let remedy = "The file is damaged: write it again with numpy.savez";
        return Err(DataError::mismatch(
            name,
            "data",
            "compressed data",
            error,
            remedy,
        ));
    }
    Ok(bytes)
}

fn list<T: AsRef<[u8]>>(archive: &ZipSliceArchive<T>) -> Result<Vec<Entry>, rawzip::Error> {
    let mut entries = Vec::new();
    let mut records = archive.entries();
    while let Some(record) = records.next_entry()? {
        let path = String::from_utf8_lossy(record.file_path().as_ref()).into_owned();
        if let Some(name) = path.strip_suffix(".npy") {
            entries.push(Entry {
                name: name.to_owned(),
                method: record.compression_method(),
                location: record.wayfinder(),
            });
        }
    }
    Ok(entries)
}

/// The only array, or the one with the preferred name.
fn choose(mut entries: Vec<Entry>, place: &str) -> Result<Entry, DataError> {
    let preferred = || {
        let mut names = PREFERRED.iter();
        names.find_map(|name| entries.iter().position(|entry| entry.name == *name))
    };
    let chosen = if entries.len() == 1 {
        Some(0)
    } else {
        preferred()
    };
    match chosen {
        Some(index) => Ok(entries.swap_remove(index)),
        None => {
            let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
            let found = if names.is_empty() {
                "no array".to_owned()
            } else {
                names.join(", ")
            };
            let expected = "one array, or one called x, images, data or arr_0";
            let remedy = "Save the images alone: numpy.savez(file, x=images)";
            Err(DataError::mismatch(
                place, "arrays", expected, found, remedy,
            ))
        }
    }
}
