//! Images in Parquet files, as Hugging Face keeps data sets: `parquet:FILES`.
//!
//! An image is read from the page that it is in, when it is needed; labels and all other columns are passed over.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use parquet::basic::{Compression, ConvertedType, Type as Physical};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::SchemaDescriptor;
use vdvae_formats::regular;

use crate::error::DataError;
use crate::file_set::{FileSet, Listed};
use crate::image_file::{ImageFile, Reason, ends};
use crate::listing::PassedOver;
use crate::patterns;

/// The columns that are taken for images where there are several, the first that is there.
const NAMES: [&str; 2] = ["image", "img"];

/// So many readers stay where they stand in a file, for the threads that read it.
const STANDING: usize = 16;

/// The images in all Parquet files that `pattern` means, as [`patterns::files`] has it. Files whose names tell a
/// split are that split.
///
/// # Errors
/// [`DataError::Empty`] if there are no such files or no rows in them, [`DataError::Format`] if one is damaged or has
/// no column of images.
pub(crate) fn files(pattern: &Path) -> Result<FileSet, DataError> {
    let place = pattern.display().to_string();
    let mut listed = Vec::new();
    for path in patterns::files(pattern, "parquet")? {
        let top = path.file_name().unwrap_or_default().to_string_lossy();
        let table = Arc::new(Table::open(&path)?);
        for row in 0..table.rows() {
            let name = format!("{} row {row}", path.display());
            let file = ImageFile::row(name, table.clone(), row);
            listed.push(Listed::new(file, format!("{top}/{row}"), table.file.length));
        }
    }
    if listed.is_empty() {
        return Err(DataError::Empty {
            place,
            expected: "images in Parquet files".to_owned(),
            remedy: "Give files in which there are rows: parquet:FILES".to_owned(),
        });
    }
    let mut set = FileSet::new(place, "images", listed, PassedOver::of(Vec::new()));
    set.tops_are_hints = true;
    Ok(set)
}

/// The column of images of a Parquet file.
pub(crate) struct Table {
    file: Arc<Reopened>,
    metadata: ParquetMetaData,
    /// Of the column among the leaves of the schema.
    column: usize,
    /// The first row of each group, and the number of all rows.
    starts: Vec<usize>,
    standing: Mutex<Vec<Standing>>,
    ends: OnceLock<Option<String>>,
}

/// A reader in the middle of a group. Going on is cheap, while a new one unpacks a page first.
struct Standing {
    /// The row that comes next.
    next: usize,
    /// The first row after the group.
    end: usize,
    reader: ColumnReaderImpl<ByteArrayType>,
}

impl Table {
    fn open(path: &Path) -> Result<Self, DataError> {
        let place = path.display().to_string();
        let damaged = |found: String| {
            let remedy = "Copy or download it again";
            DataError::mismatch(&place, "table", "a whole Parquet file", found, remedy)
        };
        let opened = regular::open(path).map_err(DataError::io("open", path))?;
        let length = opened
            .metadata()
            .map_err(DataError::io("open", path))?
            .len();
        let file = Arc::new(Reopened {
            path: path.to_owned(),
            length,
        });
        let parsed = unpanicked(|| ParquetMetaDataReader::new().parse_and_finish(&*file));
        let metadata = parsed.map_err(|error| damaged(error.to_string()))?;
        let column = image_column(metadata.file_metadata().schema_descr(), &place)?;
        let mut starts = vec![0];
        for group in metadata.row_groups() {
            let column = group.column(column);
            check_codec(column.compression(), &place)?;
            let rows = group.num_rows();
            let all = u64::try_from(rows)
                .ok()
                .filter(|_| column.num_values() == rows)
                .and_then(|rows| rows.checked_add(starts[starts.len() - 1] as u64))
                // Encoded images take more than a byte each.
                .filter(|all| *all <= length)
                .ok_or_else(|| {
                    damaged(format!(
                        "a group of {rows} rows and {} images in {length} bytes",
                        column.num_values()
                    ))
                })?;
            starts.push(all as usize);
        }
        Ok(Self {
            file,
            metadata,
            column,
            starts,
            standing: Mutex::default(),
            ends: OnceLock::new(),
        })
    }

    fn rows(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// Bytes of an encoded image, on average.
    pub fn mean_len(&self) -> u64 {
        let groups = self.metadata.row_groups().iter();
        let bytes = groups.map(|group| group.column(self.column).uncompressed_size());
        let bytes: u64 = bytes.filter_map(|bytes| u64::try_from(bytes).ok()).sum();
        bytes / self.rows().max(1) as u64
    }

    /// Of the whole file, as [`ImageFile::ends`] has it: its last bytes are about all columns.
    pub fn ends(&self) -> Option<String> {
        let ends = self
            .ends
            .get_or_init(|| ends(&self.file.path, 0, None).ok());
        ends.clone()
    }

    /// The encoded image of a row below [`rows`](Self::rows).
    pub fn read(&self, row: usize) -> Result<Vec<u8>, Reason> {
        let damaged = |error: ParquetError| {
            format!("cannot be read: {error}. Copy or download the file again")
        };
        let (standing, image) = unpanicked(|| {
            let mut standing = match self.before(row) {
                Some(standing) => standing,
                None => self.begin(row)?,
            };
            let image = standing.read(row)?;
            Ok((standing, image))
        })
        .map_err(damaged)?;
        let mut all = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        all.truncate(STANDING - 1);
        all.insert(0, standing);
        drop(all);
        image.ok_or_else(|| "is null, where an encoded image was expected".to_owned())
    }

    /// The reader that stands nearest before a row in its group, for this caller alone.
    fn before(&self, row: usize) -> Option<Standing> {
        let mut all = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all
            .iter()
            .enumerate()
            .filter(|(_, standing)| standing.next <= row && row < standing.end);
        let (index, _) = before.max_by_key(|(_, standing)| standing.next)?;
        Some(all.remove(index))
    }

    /// A reader at the beginning of a row's group.
    fn begin(&self, row: usize) -> ParquetResult<Standing> {
        let group = self.starts.partition_point(|&start| start <= row) - 1;
        let column = self.metadata.row_group(group).column(self.column);
        let (next, end) = (self.starts[group], self.starts[group + 1]);
        let pages = SerializedPageReader::new(self.file.clone(), column, end - next, None)?;
        Ok(Standing {
            next,
            end,
            reader: ColumnReaderImpl::new(column.column_descr_ptr(), Box::new(pages)),
        })
    }
}

impl Standing {
    /// The bytes of a row at or after the next; nothing if it is null.
    fn read(&mut self, row: usize) -> ParquetResult<Option<Vec<u8>>> {
        let (mut levels, mut values): (Vec<i16>, Vec<ByteArray>) = Default::default();
        let skipped = self.reader.skip_records(row - self.next)?;
        let (read, _, _) = self
            .reader
            .read_records(1, Some(&mut levels), None, &mut values)?;
        if skipped + read != row - self.next + 1 {
            return Err(ParquetError::EOF(
                "the group ends before this row".to_owned(),
            ));
        }
        self.next = row + 1;
        Ok(values.first().map(|bytes| bytes.data().to_vec()))
    }
}

/// What `read` gives. The library panics where a damaged file has offsets and lengths that cannot be.
fn unpanicked<T>(read: impl FnOnce() -> ParquetResult<T>) -> ParquetResult<T> {
    // What was half read goes with it; nothing that stays is touched on the way.
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(ParquetError::General("the file is damaged".to_owned())))
}

/// The column that holds encoded images: bytes, or a struct with `bytes` as Hugging Face has it.
fn image_column(schema: &SchemaDescriptor, place: &str) -> Result<usize, DataError> {
    let leaves = schema.columns().iter().enumerate();
    let mut found: Vec<(usize, &str)> = Vec::new();
    for (index, leaf) in leaves {
        let is_bytes = leaf.physical_type() == Physical::BYTE_ARRAY
            && leaf.converted_type() != ConvertedType::UTF8
            && leaf.max_rep_level() == 0;
        match leaf.path().parts() {
            [name] if is_bytes => found.push((index, name)),
            [name, field] if is_bytes && field == "bytes" => found.push((index, name)),
            _ => {}
        }
    }
    let named = NAMES.iter().find_map(|wanted| {
        let mut found = found.iter();
        found.find(|(_, name)| name == wanted)
    });
    match (named, &found[..]) {
        (Some((index, _)), _) | (None, [(index, _)]) => Ok(*index),
        _ => {
            let columns = schema.root_schema().get_fields().iter();
            let columns: Vec<&str> = columns.map(|column| column.name()).collect();
            Err(DataError::mismatch(
                place,
                "columns",
                "one of encoded images, called `image` or `img`",
                columns.join(", "),
                "Give the column of images one of these names",
            ))
        }
    }
}

fn check_codec(found: Compression, place: &str) -> Result<(), DataError> {
    match found {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) => Ok(()),
        _ => Err(DataError::mismatch(
            place,
            "compression",
            "none, Snappy or Zstandard",
            found,
            "Write the file again: pyarrow.parquet.write_table(table, FILE, compression=\"zstd\")",
        )),
    }
}

/// A file that is opened for each part that is read of it: there may be more files than can be open at once.
struct Reopened {
    path: PathBuf,
    length: u64,
}

impl Length for Reopened {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Reopened {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(BufReader::new(file))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<bytes::Bytes> {
        let mut read = Vec::new();
        self.get_read(start)?
            .take(length as u64)
            .read_to_end(&mut read)?;
        if read.len() != length {
            return Err(ParquetError::EOF(format!(
                "expected {length} bytes from {start} on, found {}",
                read.len()
            )));
        }
        Ok(read.into())
    }
}
