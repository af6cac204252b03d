//! Lossless compression of images of any size with a trained model.
//!
//! [`Codec::compress`] makes an [`Archive`] of [`Images`]; [`Codec::decompress`] gives the images back,
//! bit for bit. Plan, streams and archive are the same for all models. How a tile gets onto a stream is
//! a `TileCoder`'s: with latents by bits back, pixel after pixel in order. The cost is close to what
//! [`crate::evaluate`] measures.
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

mod bits_back;
mod cells;
pub mod compare;
mod decode;
mod encode;
mod identity;
mod images;
mod in_order;
pub mod kept;
mod latents;
mod order;
mod pixels;
mod plan;

use anyhow::Result;
use vdvae_coding::{Coder, Tiling};

pub use decode::Cost;
pub use encode::Compressed;
pub use identity::{model_hash, model_id};
pub use images::{Image, Images};
pub use plan::{Place, Plan};
pub use vdvae_coding::container::{Archive, Chain, ContainerError, ImageEntry, ModelId};

use crate::likelihood::Likelihood;
use crate::models::{self, Cannot, Coding};
use crate::trained::TrainedModel;
use bits_back::BitsBack;
use in_order::InOrder;

/// Cells of a latent are as many as 2 to this power, unless somebody wants others.
pub const LATENT_BITS: u32 = 14;

/// Compresses and decompresses with one model.
pub struct Codec<'a> {
    likelihood: Likelihood,
    id: ModelId,
    tiles: Box<dyn TileCoder + 'a>,
}

/// Puts tiles onto stacks of bits and takes them off again, each the exact inverse of the other. A batch of
/// tiles passes through the network together; what becomes of one does not depend on the others.
trait TileCoder: Send + Sync {
    /// Pushes a tile onto each of the `coders`. `frames`: one per tile, what of it lies in its image, which has as
    /// many channels; `tiles`: as the network sees them, [B, S, S, C].
    ///
    /// # Errors
    /// If a tile has no code.
    fn push(&self, coders: &mut [&mut Coder], frames: &[Tiling], tiles: &[u8]) -> Result<()>;

    /// Pops what [`push`](Self::push) pushed: the tiles as the network sees them, [B, S, S, C].
    ///
    /// # Errors
    /// If a stream is damaged.
    fn pop(&self, coders: &mut [&mut Coder], frames: &[Tiling]) -> Result<Vec<u8>>;
}

/// How images are compressed with a model.
///
/// # Errors
/// If they cannot be.
pub fn coding(plan: &dyn models::Plan) -> Result<Coding, Cannot> {
    let coding = plan.coding()?;
    if plan.classes() > 0 {
        return Err(Cannot {
            what: "compress",
            why: format!(
                "the model has to be told which of {} kinds an image is of, and archives do not hold that",
                plan.classes()
            ),
            instead: "Compress with a model that is told no kinds".to_owned(),
        });
    }
    Ok(coding)
}

impl<'a> Codec<'a> {
    /// With at most `2^latent_bits` cells per latent ([`LATENT_BITS`] is good; an archive names its own), if there
    /// are latents.
    ///
    /// # Errors
    /// If the model cannot compress, or has latents and `latent_bits` is not within 4 to 24.
    pub fn new(model: &'a TrainedModel, latent_bits: u32) -> Result<Self> {
        let (tiles, latent_bits): (Box<dyn TileCoder>, _) = match coding(&*model.plan)? {
            Coding::BitsBack => (Box::new(BitsBack::new(model, latent_bits)?), latent_bits),
            Coding::InOrder => (Box::new(InOrder::new(model.model.ordered()?)), 0),
        };
        Ok(Self {
            likelihood: model.plan.likelihood(),
            id: model_id(model, latent_bits)?,
            tiles,
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
}

/// What of each tile lies in its image.
fn frames(plan: &Plan, places: &[Place]) -> Vec<Tiling> {
    let frame = |place: &Place| plan.tiling(place.image).alone(place.tile);
    places.iter().map(frame).collect()
}
