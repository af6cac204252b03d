//! The header: everything but the words of the streams.
//!
//! model: hash 32, side 4, colours 1, bits 1, latent bits 1, precision 1, kernel path (length 1);
//! images: count 4, each name (length 2), width 4, height 4, channels 1, checksum 4;
//! chains: count 4, each state 8, seed words 8, words 8, checksum 4, image count 4, images 4 each.

use super::name::check_name;
use super::reader::Reader;
use super::{Archive, Chain, ContainerError, ImageEntry, ModelId};
use crate::coder::{PRECISION, Stream};

/// Most pixels of an image.
const MOST_PIXELS: u64 = 1 << 28;
/// Largest side of a model.
const MOST_SIDE: u32 = 1 << 14;

/// A decoded header.
pub struct Header {
    pub model: ModelId,
    pub images: Vec<ImageEntry>,
    pub chains: Vec<ChainHeader>,
}

/// A chain without its words.
pub struct ChainHeader {
    state: u64,
    seed_words: u64,
    words: u64,
    pub checksum: u32,
    images: Vec<u32>,
}

impl ChainHeader {
    /// Length of the words in bytes.
    pub fn bytes(&self) -> Result<usize, ContainerError> {
        let bytes = self.words.checked_mul(4);
        bytes
            .and_then(|bytes| usize::try_from(bytes).ok())
            .ok_or(ContainerError::Truncated {
                what: "stream",
                needed: u64::MAX,
                found: 0,
            })
    }

    /// The whole chain; `bytes` are as many as [`bytes`](Self::bytes) says.
    pub fn with_words(self, bytes: &[u8]) -> Chain {
        let words = bytes.chunks_exact(4);
        Chain {
            stream: Stream {
                state: self.state,
                words: words
                    .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
                    .collect(),
                seed_words: self.seed_words,
            },
            images: self.images,
        }
    }
}

/// The header of an archive whose streams have the bytes `words`.
pub fn encode(archive: &Archive, words: &[Vec<u8>]) -> Result<Vec<u8>, ContainerError> {
    let mut out = Vec::new();
    let model = &archive.model;
    out.extend(model.hash);
    out.extend(model.side.to_le_bytes());
    out.extend([
        model.colours,
        model.bits,
        model.latent_bits,
        PRECISION as u8,
    ]);
    // Lengths were checked before.
    out.push(model.kernel_path.len() as u8);
    out.extend(model.kernel_path.as_bytes());
    out.extend(count("images", archive.images.len())?);
    for image in &archive.images {
        out.extend((image.name.len() as u16).to_le_bytes());
        out.extend(image.name.as_bytes());
        out.extend(image.width.to_le_bytes());
        out.extend(image.height.to_le_bytes());
        out.push(image.channels);
        out.extend(image.checksum.to_le_bytes());
    }
    out.extend(count("streams", archive.chains.len())?);
    for (Chain { stream, images }, words) in archive.chains.iter().zip(words) {
        out.extend(stream.state.to_le_bytes());
        out.extend(stream.seed_words.to_le_bytes());
        out.extend((stream.words.len() as u64).to_le_bytes());
        out.extend(crc32fast::hash(words).to_le_bytes());
        out.extend(count("images of a stream", images.len())?);
        out.extend(images.iter().flat_map(|image| image.to_le_bytes()));
    }
    Ok(out)
}

fn count(what: &'static str, count: usize) -> Result<[u8; 4], ContainerError> {
    let fitting = u32::try_from(count).map_err(|_| ContainerError::Field {
        what,
        expected: "fewer than 2^32".into(),
        found: count.to_string(),
    })?;
    Ok(fitting.to_le_bytes())
}

/// Reads a header. Lists grow with what is there, so that no count can make them larger.
pub fn decode(bytes: &[u8]) -> Result<Header, ContainerError> {
    let mut reader = Reader::new(bytes);
    let model = model(&mut reader)?;
    let images = list(&mut reader, "number of images", image)?;
    let chains = list(&mut reader, "number of streams", chain)?;
    reader.finish("the header")?;
    Ok(Header {
        model,
        images,
        chains,
    })
}

fn list<'a, T>(
    reader: &mut Reader<'a>,
    what: &'static str,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<T, ContainerError>,
) -> Result<Vec<T>, ContainerError> {
    let count = reader.u32(what)?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(one(reader)?);
    }
    Ok(items)
}

fn model(reader: &mut Reader) -> Result<ModelId, ContainerError> {
    let hash = reader.hash("model hash")?;
    let side = reader.u32("side of the model")?;
    let colours = reader.u8("colours of the model")?;
    let bits = reader.u8("bits of the model")?;
    let latent_bits = reader.u8("bits per latent")?;
    let precision = reader.u8("precision")?;
    require(
        "precision of the frequencies",
        &PRECISION.to_string(),
        precision.into(),
        usize::from(precision) == PRECISION,
    )?;
    let len = reader.u8("length of the kernel path")?;
    let kernel_path = reader.string("kernel path", len.into())?;
    Ok(ModelId {
        hash,
        kernel_path,
        side,
        colours,
        bits,
        latent_bits,
    })
}

fn image(reader: &mut Reader) -> Result<ImageEntry, ContainerError> {
    let len = reader.u16("length of a name")?;
    Ok(ImageEntry {
        name: reader.string("image name", len.into())?,
        width: reader.u32("width of an image")?,
        height: reader.u32("height of an image")?,
        channels: reader.u8("channels of an image")?,
        checksum: reader.u32("checksum of an image")?,
    })
}

fn chain(reader: &mut Reader) -> Result<ChainHeader, ContainerError> {
    Ok(ChainHeader {
        state: reader.u64("state of a stream")?,
        seed_words: reader.u64("seed words of a stream")?,
        words: reader.u64("words of a stream")?,
        checksum: reader.u32("checksum of a stream")?,
        images: list(reader, "images of a stream", |reader| {
            reader.u32("image of a stream")
        })?,
    })
}

/// Checks the values of a model's fields.
pub fn check_model(model: &ModelId) -> Result<(), ContainerError> {
    let (side, colours, bits) = (model.side, model.colours, model.bits);
    let side_is_good = (1..=MOST_SIDE).contains(&side);
    require("side of the model", "1 to 16384", side.into(), side_is_good)?;
    let colours_are_good = matches!(colours, 1 | 3);
    require(
        "colours of the model",
        "1 or 3",
        colours.into(),
        colours_are_good,
    )?;
    require(
        "bits of the model",
        "5 or 8",
        bits.into(),
        matches!(bits, 5 | 8),
    )?;
    let cells = model.latent_bits;
    require(
        "bits per latent",
        "4 to 24",
        cells.into(),
        (4..=24).contains(&cells),
    )?;
    let path = model.kernel_path.len() as u64;
    require(
        "length of the kernel path",
        "1 to 255",
        path,
        (1..=255).contains(&path),
    )
}

/// Checks the values of an image's fields.
pub fn check_image(image: &ImageEntry) -> Result<(), ContainerError> {
    check_name(&image.name)?;
    let pixels = u64::from(image.width) * u64::from(image.height);
    let pixels_are_good = (1..=MOST_PIXELS).contains(&pixels);
    require("number of pixels", "1 to 2^28", pixels, pixels_are_good)?;
    let channels = image.channels;
    require(
        "channels of an image",
        "1 or 3",
        channels.into(),
        matches!(channels, 1 | 3),
    )
}

fn require(
    what: &'static str,
    expected: &str,
    found: u64,
    good: bool,
) -> Result<(), ContainerError> {
    if good {
        return Ok(());
    }
    Err(ContainerError::Field {
        what,
        expected: expected.into(),
        found: found.to_string(),
    })
}
