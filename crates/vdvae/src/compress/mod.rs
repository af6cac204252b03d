//! Lossless compression of images of any size with a trained model, by bits-back coding.
//!
//! [`Codec::compress`] makes an [`Archive`] of [`Images`]; [`Codec::decompress`] gives the images back,
//! bit for bit. The cost is close to the evidence lower bound that [`crate::evaluate`] measures.
//!
//! Both directions must compute the same parameters to the last bit. They do with the same weights on
//! the same kernel path, for any number of threads and any number of streams; the archive says which
//! ([`model_id`]).
//!
//! ```
//! use vdvae::compress::{Codec, Image};
//! use vdvae::{config::Config, device, trained::TrainedModel};
//!
//! let mut config = Config::preset("photos32")?;
//! config.apply_overrides(&["model.width=16", "data.shift=-127.5", "data.scale=0.0157"])?;
//! // of a run: TrainedModel::load(&RunDir::new("runs/photos32"), None, device::parse("cpu")?)?
//! let model = TrainedModel::untrained(config, device::parse("cpu")?)?;
//!
//! let image = |name: &str, shape: [usize; 3]| Image {
//!     name: name.to_owned(),
//!     shape,
//!     pixels: vec![77; shape.iter().product()],
//! };
//! let images = vec![image("a.png", [20, 45, 3]), image("b.png", [32, 32, 1])];
//! let codec = Codec::new(&model, 14)?;
//! let compressed = codec.compress(&images, 1, |_| ())?;
//!
//! let mut file = Vec::new();
//! compressed.archive.write(&mut file)?;
//! let archive = vdvae::compress::Archive::read(&file)?;
//! codec.decompress(&archive, None, |_| (), |image, pixels| {
//!     assert_eq!(pixels, images[image as usize].pixels);
//!     Ok(())
//! })?;
//! # Ok::<(), anyhow::Error>(())
//! ```

mod cells;
pub mod compare;
mod decode;
mod encode;
mod identity;
mod images;
pub mod kept;
mod latents;
mod order;
mod pixels;
mod plan;

use anyhow::Result;
use burn::tensor::Tensor;

pub use decode::Cost;
pub use encode::Compressed;
pub use identity::{model_hash, model_id};
pub use images::{Image, Images};
pub use plan::{Place, Plan};
pub use vdvae_coding::container::{Archive, Chain, ContainerError, ImageEntry, ModelId};

use crate::likelihood::Likelihood;
use crate::models::{Hierarchy, LatentLayer};
use crate::random::{Keys, Purpose};
use crate::trained::TrainedModel;
use cells::Cells;

/// Compresses and decompresses with one model.
pub struct Codec<'a> {
    model: &'a TrainedModel,
    hierarchy: &'a dyn Hierarchy,
    likelihood: Likelihood,
    id: ModelId,
    cells: Cells,
}

impl<'a> Codec<'a> {
    /// With at most `2^latent_bits` cells per latent (14 is good; an archive names its own).
    ///
    /// # Errors
    /// If the model cannot compress, or `latent_bits` is not within 4 to 24.
    pub fn new(model: &'a TrainedModel, latent_bits: u32) -> Result<Self> {
        model.plan.coding()?;
        let layers = model.plan.latents()?;
        let latents = layers.iter().map(LatentLayer::len);
        Ok(Self {
            model,
            hierarchy: model.model.hierarchy()?,
            likelihood: model.plan.likelihood(),
            id: model_id(model, latent_bits)?,
            cells: Cells::new(latent_bits, latents.sum())?,
        })
    }

    /// What the archives say they were made with.
    pub fn id(&self) -> &ModelId {
        &self.id
    }

    /// Tiles that an image of [height, width, channels] is cut into.
    pub fn tiles(&self, [height, width, _]: [usize; 3]) -> u64 {
        (height.div_ceil(self.side()) * width.div_ceil(self.side())) as u64
    }

    fn side(&self) -> usize {
        self.id.side as usize
    }

    fn colours(&self) -> usize {
        self.id.colours.into()
    }

    /// What the encoder reads for tiles [B, S, S, C].
    fn input(&self, tiles: &[u8]) -> Tensor<4> {
        let tile = self.side().pow(2) * self.colours();
        // Values of binary images are 0 and 255, which binarization always leaves alone.
        let keys = Keys::new(0, Purpose::Binarization, vec![0; tiles.len() / tile]);
        let prepared = self
            .model
            .preprocess
            .apply(tiles, &keys, &self.model.device);
        prepared.input
    }
}

/// The coded part of a tile `[S, S, colours]`: `[S, S, channels]` of the image.
fn channels_of(tile: &[u8], colours: usize, channels: usize) -> Vec<u8> {
    let pixels = tile.chunks_exact(colours);
    pixels
        .flat_map(|pixel| &pixel[..channels])
        .copied()
        .collect()
}
