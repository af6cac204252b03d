//! The header: everything but the words of the streams and the weights.
//!
//! model: hash 32, side 4, colours 1, bits 1, latent bits 1, precision 1, kernel path (length 1);
//! flags 1; images: count 4, check of all 4, checks 2 each; weights, if the flags say so: length 8, CRC-32 4;
//! streams: count 4, each state 8, seed words and words ([`Reader::varint`]), CRC-32 4;
//! lists: the rest, see `lists.rs`.

use super::lists::{self, Lists};
use super::name::number;
use super::reader::{Reader, put_varint};
use super::{Archive, Chain, ContainerError, ImageEntry, ModelId, limits};
use crate::coder::{PRECISION, Stream};

/// Names are the images' numbers, and not written.
const NUMBERED: u8 = 1;
/// Images are dealt to the streams in turn, and the lists of the streams' images not written.
const IN_TURN: u8 = 2;
/// See [`Archive::order_free`].
const ORDER_FREE: u8 = 4;
/// The weights follow the streams.
const WEIGHTS: u8 = 8;
const ALL_FLAGS: u8 = NUMBERED | IN_TURN | ORDER_FREE | WEIGHTS;

/// A decoded header.
pub struct Header {
    pub model: ModelId,
    pub images: Vec<ImageEntry>,
    pub joint_check: u32,
    pub order_free: bool,
    pub chains: Vec<ChainHeader>,
    pub weights: Option<Section>,
}

/// Bytes elsewhere in the file.
pub struct Section {
    pub len: u64,
    pub checksum: u32,
}

/// A chain without its words.
pub struct ChainHeader {
    pub state: u64,
    pub seed_words: u64,
    pub words: u64,
    pub checksum: u32,
    pub images: Vec<u32>,
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

/// The header of an archive.
pub fn encode(archive: &Archive) -> Result<Vec<u8>, ContainerError> {
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

    let numbered = is_numbered(&archive.images);
    let in_turn = is_in_turn(&archive.chains, archive.images.len());
    let flag = |flag, is_set| if is_set { flag } else { 0 };
    out.push(
        flag(NUMBERED, numbered)
            | flag(IN_TURN, in_turn)
            | flag(ORDER_FREE, archive.order_free)
            | flag(WEIGHTS, archive.weights.is_some()),
    );
    out.extend(count("images", archive.images.len())?);
    out.extend(archive.joint_check.to_le_bytes());
    let checks = archive.images.iter().map(|image| image.check);
    out.extend(checks.flat_map(u16::to_le_bytes));
    if let Some(weights) = &archive.weights {
        out.extend((weights.len() as u64).to_le_bytes());
        out.extend(crc32fast::hash(weights).to_le_bytes());
    }
    out.extend(count("streams", archive.chains.len())?);
    for Chain { stream, .. } in &archive.chains {
        out.extend(stream.state.to_le_bytes());
        put_varint(&mut out, stream.seed_words);
        put_varint(&mut out, stream.words.len() as u64);
        let mut checksum = crc32fast::Hasher::new();
        super::bytes(&stream.words).for_each(|part| checksum.update(&part));
        out.extend(checksum.finalize().to_le_bytes());
    }
    let mut lists = Lists::default();
    lists.shapes(&archive.images);
    if !numbered {
        lists.names(&archive.images);
    }
    if !in_turn {
        archive.chains.iter().for_each(|c| lists.numbers(&c.images));
    }
    out.extend(lists.packed()?);
    Ok(out)
}

fn is_numbered(images: &[ImageEntry]) -> bool {
    let mut numbered = images.iter().enumerate();
    numbered.all(|(index, image)| image.name == number(index, images.len()))
}

/// The images that a stream gets where `count` are dealt to `streams` in turn.
fn in_turn(stream: usize, streams: usize, count: usize) -> impl Iterator<Item = u32> {
    (stream..count).step_by(streams).map(|image| image as u32)
}

fn is_in_turn(chains: &[Chain], images: usize) -> bool {
    let mut dealt = chains.iter().enumerate();
    dealt.all(|(stream, chain)| {
        let expected = in_turn(stream, chains.len(), images);
        chain.images.iter().copied().eq(expected)
    })
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
    let flags = reader.u8("flags")?;
    limits::require("flags", "0 to 15", flags.into(), flags & !ALL_FLAGS == 0)?;
    let has = |flag| flags & flag != 0;
    let count = reader.u32("number of images")? as usize;
    let joint_check = reader.u32("check of the images")?;
    let checks = reader.take("checks of the images", count.saturating_mul(2))?;
    let weights = if has(WEIGHTS) {
        Some(Section {
            len: reader.u64("length of the weights")?,
            checksum: reader.u32("checksum of the weights")?,
        })
    } else {
        None
    };
    let mut chains = Vec::new();
    for _ in 0..reader.u32("number of streams")? {
        chains.push(ChainHeader {
            state: reader.u64("state of a stream")?,
            seed_words: reader.varint("seed words of a stream")?,
            words: reader.varint("words of a stream")?,
            checksum: reader.u32("checksum of a stream")?,
            images: Vec::new(),
        });
    }
    let unpacked = lists::unpack(reader.rest())?;
    let mut lists = Reader::new(&unpacked);
    let mut images = lists::shapes(&mut lists, checks)?;
    for (index, image) in images.iter_mut().enumerate() {
        image.name = if has(NUMBERED) {
            number(index, count)
        } else {
            lists::name(&mut lists)?
        };
    }
    let streams = chains.len();
    for (stream, chain) in chains.iter_mut().enumerate() {
        chain.images = if has(IN_TURN) {
            in_turn(stream, streams, count).collect()
        } else {
            lists::numbers(&mut lists)?
        };
    }
    lists.finish("the lists of the header")?;
    Ok(Header {
        model,
        images,
        joint_check,
        order_free: has(ORDER_FREE),
        chains,
        weights,
    })
}

/// The fields that every version begins with.
pub fn model(reader: &mut Reader) -> Result<ModelId, ContainerError> {
    let hash = reader.hash("model hash")?;
    let side = reader.u32("side of the model")?;
    let colours = reader.u8("colours of the model")?;
    let bits = reader.u8("bits of the model")?;
    let latent_bits = reader.u8("bits per latent")?;
    limits::check_precision(reader.u8("precision")?)?;
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
