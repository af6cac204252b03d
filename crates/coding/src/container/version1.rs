//! The header of version 1, which is only read: everything but the words of the streams.
//!
//! model: hash 32, side 4, colours 1, bits 1, latent bits 1, precision 1, kernel path (length 1);
//! images: count 4, each name (length 2), width 4, height 4, channels 1, CRC-32 4;
//! streams: count 4, each state 8, seed words 8, words 8, CRC-32 4, image count 4, images 4 each.

use super::header::{ChainHeader, Header, model};
use super::reader::Reader;
use super::{ContainerError, ImageEntry, checks};

/// Reads a header. Lists grow with what is there, so that no count can make them larger.
pub fn decode(bytes: &[u8]) -> Result<Header, ContainerError> {
    let mut reader = Reader::new(bytes);
    let model = model(&mut reader)?;
    let mut checksums = Vec::new();
    let images = list(&mut reader, "number of images", |reader| {
        image(reader, &mut checksums)
    })?;
    let chains = list(&mut reader, "number of streams", chain)?;
    reader.finish("the header")?;
    Ok(Header {
        model,
        images,
        joint_check: checks::joint(checksums),
        order_free: false,
        chains,
        weights: None,
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

fn image(reader: &mut Reader, checksums: &mut Vec<u32>) -> Result<ImageEntry, ContainerError> {
    let len = reader.u16("length of a name")?;
    let name = reader.string("image name", len.into())?;
    let width = reader.u32("width of an image")?;
    let height = reader.u32("height of an image")?;
    let channels = reader.u8("channels of an image")?;
    let checksum = reader.u32("checksum of an image")?;
    checksums.push(checksum);
    Ok(ImageEntry {
        name,
        width,
        height,
        channels,
        check: checks::short(checksum),
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
