//! Latents in the hand: encode images, keep what every layer saw, decode all of it or a part, walk from
//! one image to another, and read the network's activations.
//!
//! Layers are counted from 0, the top. Arrays are on the host, row-major and channels-last:
//! [N, R, R, Z] for N images at a layer of resolution R.
//!
//! ```
//! use vdvae::latents::{DecodeOptions, EncodeOptions, decode, encode};
//! use vdvae::{config::Config, device, trained::TrainedModel};
//!
//! let mut config = Config::preset("photos32")?;
//! config.apply_overrides(&["model.width=16", "data.shift=-127.5", "data.scale=0.0157"])?;
//! // of a run: TrainedModel::load(&RunDir::new("runs/photos32"), None, device::parse("cpu")?)?
//! let model = TrainedModel::untrained(config, device::parse("cpu")?)?;
//!
//! let images = vec![128; 2 * 32 * 32 * 3]; // two images, [2, 32, 32, 3] bytes
//! let layers = encode(&model, &images, 0..2, &EncodeOptions::default())?;
//! assert_eq!(layers[&7].z.shape, [2, 32, 32, 4]);
//! println!("layer 7 tells {} nats about image 0", layers[&7].kl_per_image.values[0]);
//!
//! let z = layers.iter().map(|(&layer, seen)| (layer, seen.z.clone())).collect();
//! let again = decode(&model, &z, 0..2, &DecodeOptions::default())?;
//! assert_eq!(again.len(), images.len());
//! # Ok::<(), anyhow::Error>(())
//! ```

mod decode;
mod encode;
mod error;
mod features;
mod file;
mod interpolate;

pub use decode::{DecodeOptions, Z, check, check_shapes, decode, decode_parameters};
pub use encode::{ARRAYS, EncodeOptions, EncodedLayer, Layers, encode};
pub use error::LatentsError;
pub use features::{Features, features};
pub use file::{About, ArrayFile, ArrayWriter, LatentsFile, load_z, save};
pub use interpolate::{InterpolateOptions, interpolate, slerp};
pub use vdvae_formats::floats::FloatArray;

use burn::tensor::{Device, Tensor, TensorData};

use crate::likelihood::values;
use crate::models::LatentLayer;

/// A tensor on the host.
fn array<const D: usize>(tensor: Tensor<D>) -> FloatArray {
    FloatArray {
        shape: tensor.dims().to_vec(),
        values: values(tensor),
    }
}

/// Rows `first .. first + count` of a layer's array, [N, R, R, Z] or [N, Z, R, R], which has them, as a tensor
/// [count, R, R, Z].
fn rows(
    array: &FloatArray,
    first: usize,
    count: usize,
    layer: LatentLayer,
    device: &Device,
) -> Tensor<4> {
    let LatentLayer {
        resolution: side,
        channels,
    } = layer;
    let row = side * side * channels;
    let mut values = array.values[first * row..(first + count) * row].to_vec();
    let shape = [count, side, side, channels];
    if array.shape[1..] != shape[1..] {
        let strides = [row, side, 1, side * side];
        values = FloatArray::strided(&values, shape.to_vec(), &strides).values;
    }
    Tensor::from_data(TensorData::new(values, shape), device)
}
