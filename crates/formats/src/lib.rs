//! Bytes in files: arrays of NumPy, pickles, files of PyTorch, checkpoints of TensorFlow, safetensors, IDX, gzip.
//! No images, no models.
//!
//! One rule holds throughout: whatever a file claims, nothing is allocated, run or indexed on its word alone.
//! Bad input is an error that says where it is, what was expected and what was found.
//!
//! ```
//! use vdvae_formats::npy::Header;
//!
//! let mut file = vdvae_formats::npy::header("<f4", &[2, 3]);
//! file.extend([0.5_f32; 6].iter().flat_map(|value| value.to_le_bytes()));
//! let array = Header::parse(&file, "x.npy")?.floats(&file, "x.npy")?;
//! assert_eq!((&array.shape[..], array.values[5]), (&[2, 3][..], 0.5));
//! # Ok::<(), vdvae_formats::FormatError>(())
//! ```

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod error;
pub mod floats;
pub mod gzip;
pub mod idx;
pub mod npy;
pub mod npz;
pub mod pickle;
pub mod regular;
pub mod safetensors;
pub mod tensorflow;
pub mod torch;

pub use error::FormatError;
