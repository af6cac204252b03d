//! Files of latents and features: safetensors or .npz, the same arrays under the same names in both.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use vdvae_formats::floats::{FloatArray, FloatRows};
use vdvae_formats::npz::{self, FloatArrays};
use vdvae_formats::safetensors::{self, SafetensorsFile};

use super::decode::Z;
use crate::error::usage;
use crate::files::{Temporary, write_atomically};
use crate::trained::TrainedModel;

/// The key of [`About`] in the metadata of a safetensors file; in a .npz it is the array of bytes
/// `metadata`.
const KEY: &str = "vdvae";

/// Where arrays are from: JSON in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// `vdvae-latents-1` or `vdvae-features-1`.
    pub format: String,
    /// [`TrainedModel::fingerprint`].
    pub model_sha256: String,
    /// The step that the weights are of.
    pub step: u64,
    /// The run's configuration, TOML.
    pub config: String,
    /// The images' names, in order.
    pub images: Vec<String>,
    /// How the latents were taken from the posterior: `sample` or `mean`.
    pub latents: String,
    /// Of the latents' noise.
    pub seed: u64,
}

impl About {
    /// Of a model; `format` is `latents` or `features`.
    pub fn new(model: &TrainedModel, format: &str, images: Vec<String>) -> Self {
        Self {
            format: format!("vdvae-{format}-1"),
            model_sha256: model.fingerprint(),
            step: model.step,
            config: model.config.to_toml(),
            images,
            latents: "mean".to_owned(),
            seed: 0,
        }
    }
}

/// The two kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayFile {
    /// NAME.safetensors
    Safetensors,
    /// NAME.npz
    Npz,
}

impl ArrayFile {
    /// The kind that a file's name says.
    ///
    /// # Errors
    /// If it ends otherwise.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("npz") => Ok(Self::Npz),
            _ => Err(usage(format!(
                "{}: expected the name of a .safetensors or .npz file",
                path.display()
            ))),
        }
    }
}

/// A .safetensors or .npz file that arrays are written to as they come, a few rows of each at a time.
///
/// The file is there, whole, when it is [finished](Self::finish).
#[derive(Debug)]
pub struct ArrayWriter {
    kind: ArrayFile,
    path: PathBuf,
    about: String,
    arrays: Vec<Writing>,
    /// What is to be the .safetensors file, or only the numbers, for a .npz.
    file: File,
    temporary: Temporary,
}

/// An array of the file.
#[derive(Debug)]
struct Writing {
    name: String,
    shape: Vec<usize>,
    /// Where its next number comes.
    next: u64,
    /// Where its numbers end.
    end: u64,
}

impl ArrayWriter {
    /// Begins a file of arrays with these names and shapes.
    ///
    /// # Errors
    /// If the name of the file ends otherwise, or it cannot be written.
    pub fn create(path: &Path, about: &About, arrays: Vec<(String, Vec<usize>)>) -> Result<Self> {
        let kind = ArrayFile::of(path)?;
        let about = serde_json::to_string(about)?;
        let (temporary, mut file) = Temporary::beside(path).with_context(|| unsaved(path))?;
        let mut next = 0;
        if kind == ArrayFile::Safetensors {
            let metadata = BTreeMap::from([(KEY.to_owned(), about.clone())]);
            let shapes = arrays.iter().map(|(name, shape)| (&**name, &**shape));
            let header = safetensors::header(&metadata, shapes)?;
            file.write_all(&header).with_context(|| unsaved(path))?;
            next = header.len() as u64;
        }
        let arrays = arrays.into_iter().map(|(name, shape)| {
            let start = next;
            next += 4 * shape.iter().product::<usize>() as u64;
            Writing {
                name,
                shape,
                next: start,
                end: next,
            }
        });
        Ok(Self {
            kind,
            path: path.to_owned(),
            about,
            arrays: arrays.collect(),
            file,
            temporary,
        })
    }

    /// Adds the next rows of an array of the file.
    ///
    /// # Errors
    /// If the file cannot be written, or has no such array, or that has no room for them.
    pub fn append(&mut self, name: &str, rows: &FloatArray) -> Result<()> {
        let place = || format!("{}: {name}", unsaved(&self.path));
        let bytes: Vec<u8> = rows.values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let array = self.arrays.iter_mut().find(|array| array.name == name);
        let array = array.filter(|array| array.next + bytes.len() as u64 <= array.end);
        let array = array.with_context(place)?;
        self.file
            .seek(SeekFrom::Start(array.next))
            .and_then(|_| self.file.write_all(&bytes))
            .with_context(place)?;
        array.next += bytes.len() as u64;
        Ok(())
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// If it cannot be written, or an array is not whole.
    pub fn finish(self) -> Result<()> {
        let path = self.path.clone();
        if let Some(array) = self.arrays.iter().find(|array| array.next < array.end) {
            return Err(anyhow::anyhow!(
                "{}: {} is not whole",
                unsaved(&path),
                array.name
            ));
        }
        self.save().with_context(|| unsaved(&path))
    }

    fn save(self) -> io::Result<()> {
        let Self {
            kind,
            path,
            about,
            arrays,
            mut file,
            temporary,
        } = self;
        if kind == ArrayFile::Safetensors {
            return temporary.keep(file, &path);
        }
        write_atomically(&path, |out| {
            // The numbers lie in the order of the arrays.
            file.rewind()?;
            let arrays = arrays.iter().map(|Writing { name, shape, .. }| {
                let count = 4 * shape.iter().product::<usize>() as u64;
                (name.clone(), shape.clone(), (&file).take(count))
            });
            npz::write_floats(out, &about, arrays)
        })
    }
}

fn unsaved(path: &Path) -> String {
    format!("{}: cannot save this file", path.display())
}

/// Writes arrays to a .safetensors or .npz file, atomically.
///
/// # Errors
/// If the name ends otherwise, or the file cannot be written.
pub fn save<'a>(
    path: &Path,
    about: &About,
    arrays: impl IntoIterator<Item = (String, &'a FloatArray)>,
) -> Result<()> {
    let arrays: Vec<_> = arrays.into_iter().collect();
    let shapes = arrays
        .iter()
        .map(|(name, array)| (name.clone(), array.shape.clone()));
    let mut writer = ArrayWriter::create(path, about, shapes.collect())?;
    for (name, array) in &arrays {
        writer.append(name, array)?;
    }
    writer.finish()
}

/// A file of latents, of which a few images' are read at a time.
#[derive(Debug)]
pub struct LatentsFile {
    path: PathBuf,
    layers: BTreeMap<usize, FloatRows>,
    /// Where they are from, if that is told.
    pub about: Option<About>,
}

impl LatentsFile {
    /// Finds the latents in a file that `vdvae encode` wrote, or in one with arrays of the same names.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or holds no latents.
    pub fn open(path: &Path) -> Result<Self> {
        let (metadata, arrays) = match ArrayFile::of(path)? {
            ArrayFile::Npz => {
                let file = FloatArrays::read_npz(path, |name| layer_of(name).is_some())?;
                (file.metadata, file.arrays)
            }
            ArrayFile::Safetensors => {
                let file = SafetensorsFile::open(path)?;
                let names = file.tensors().map(|(name, ..)| name);
                let names = names.filter(|name| layer_of(name).is_some());
                let arrays = names.map(|name| Ok((name.clone(), file.floats(&name)?)));
                let arrays = arrays.collect::<Result<BTreeMap<_, _>>>()?;
                (file.metadata(KEY).map(str::to_owned), arrays)
            }
        };
        let layers: BTreeMap<usize, FloatRows> = arrays
            .into_iter()
            .filter_map(|(name, array)| Some((layer_of(&name)?, array)))
            .collect();
        if layers.is_empty() {
            return Err(anyhow::anyhow!(
                "{}: expected latents, arrays with names such as layer_000/z, found none. Make them with `vdvae encode`",
                path.display()
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            layers,
            about: metadata.and_then(|text| serde_json::from_str(&text).ok()),
        })
    }

    /// The shape of each layer.
    pub fn shapes(&self) -> BTreeMap<usize, &[usize]> {
        let layers = self.layers.iter();
        layers.map(|(&layer, rows)| (layer, rows.shape())).collect()
    }

    /// The latents of the images `items` in the first `layers`, all of which must have them.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(&self, items: Range<usize>, layers: usize) -> Result<Z> {
        self.read_each(layers, |_| items.clone())
    }

    fn read_each(&self, layers: usize, items: impl Fn(&FloatRows) -> Range<usize>) -> Result<Z> {
        self.layers
            .range(..layers)
            .map(|(&layer, rows)| Ok((layer, rows.read(items(rows))?)))
            .collect::<Result<Z>>()
            .with_context(|| format!("{}: cannot read this file", self.path.display()))
    }
}

/// All latents in a file that `vdvae encode` wrote, or in one with arrays of the same names, and where
/// they are from, if that is told.
///
/// # Errors
/// If the file cannot be read, is damaged, or holds no latents.
///
/// ```no_run
/// let (z, about) = vdvae::latents::load_z("z.safetensors".as_ref())?;
/// println!("{} layers of {:?}", z.len(), about.map(|about| about.images));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn load_z(path: &Path) -> Result<(Z, Option<About>)> {
    let file = LatentsFile::open(path)?;
    let z = file.read_each(usize::MAX, |rows| {
        0..rows.shape().first().copied().unwrap_or(0)
    })?;
    Ok((z, file.about))
}

/// 3 of `layer_003/z`.
fn layer_of(name: &str) -> Option<usize> {
    let digits = name.strip_prefix("layer_")?.strip_suffix("/z")?;
    digits
        .parse()
        .ok()
        .filter(|&layer| name == super::decode::name(layer))
}
