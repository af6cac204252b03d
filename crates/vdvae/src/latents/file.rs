//! Files of latents and features: safetensors or .npz, the same arrays under the same names in both.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use vdvae_formats::npy::FloatArray;
use vdvae_formats::npz::FloatArrays;

use super::decode::Z;
use crate::error::usage;
use crate::files::write_atomically;
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

/// Writes arrays to a .safetensors or .npz file, atomically.
///
/// # Errors
/// If the name ends otherwise, or the file cannot be written.
pub fn save<'a>(
    path: &Path,
    about: &About,
    arrays: impl IntoIterator<Item = (String, &'a FloatArray)>,
) -> Result<()> {
    let about = serde_json::to_string(about)?;
    match ArrayFile::of(path)? {
        ArrayFile::Npz => write_atomically(path, |out| FloatArrays::write_npz(out, &about, arrays)),
        ArrayFile::Safetensors => {
            let metadata = HashMap::from([(KEY.to_owned(), about)]);
            let arrays = arrays
                .into_iter()
                .map(|(name, array)| (name, Tensor(array)));
            write_atomically(path, |out| {
                let file = safetensors::serialize(arrays, Some(metadata));
                out.write_all(&file.map_err(io::Error::other)?)
            })
        }
    }
    .with_context(|| format!("{}: cannot save this file", path.display()))
}

/// The latents in a file that `vdvae encode` wrote, or in one with arrays of the same names, and where
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
    let file = match ArrayFile::of(path)? {
        ArrayFile::Npz => FloatArrays::read_npz(path, |name| layer_of(name).is_some())?,
        ArrayFile::Safetensors => {
            read_safetensors(path).with_context(|| path.display().to_string())?
        }
    };
    let layers = file.arrays.into_iter();
    let z: Z = layers
        .filter_map(|(name, array)| Some((layer_of(&name)?, array)))
        .collect();
    if z.is_empty() {
        return Err(anyhow::anyhow!(
            "{}: expected latents, arrays with names such as layer_000/z, found none. Make them with `vdvae encode`",
            path.display()
        ));
    }
    let about = file
        .metadata
        .and_then(|text| serde_json::from_str(&text).ok());
    Ok((z, about))
}

/// 3 of `layer_003/z`.
fn layer_of(name: &str) -> Option<usize> {
    let digits = name.strip_prefix("layer_")?.strip_suffix("/z")?;
    digits
        .parse()
        .ok()
        .filter(|&layer| name == super::decode::name(layer))
}

fn read_safetensors(path: &Path) -> Result<FloatArrays> {
    let bytes = std::fs::read(path).context("cannot read this file")?;
    let damaged = "not a whole safetensors file; encode the images again";
    let file = SafeTensors::deserialize(&bytes).context(damaged)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).context(damaged)?;
    let metadata = header.metadata().as_ref();
    let mut arrays = BTreeMap::new();
    for (name, view) in file.iter().filter(|(name, _)| layer_of(name).is_some()) {
        let values = match view.dtype() {
            Dtype::F32 => floats(view.data(), f32::from_le_bytes),
            Dtype::F64 => floats(view.data(), |bytes| f64::from_le_bytes(bytes) as f32),
            other => anyhow::bail!("{name}: expected numbers of the type F32, found {other:?}"),
        };
        let shape = view.shape().to_vec();
        arrays.insert(name.to_owned(), FloatArray { shape, values });
    }
    Ok(FloatArrays {
        metadata: metadata.and_then(|metadata| metadata.get(KEY).cloned()),
        arrays,
    })
}

fn floats<const N: usize>(bytes: &[u8], float: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|&number| float(number)).collect()
}

/// An array as the library for safetensors wants it.
struct Tensor<'a>(&'a FloatArray);

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = self.0.values.iter();
        let bytes = values.flat_map(|value| value.to_le_bytes());
        bytes.collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        4 * self.0.values.len()
    }
}
