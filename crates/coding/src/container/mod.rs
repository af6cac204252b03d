//! The archive: `.vdz` files.
//!
//! All numbers are little endian.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | magic `89 56 44 5a 0d 0a 1a 0a` |
//! | 4 | version |
//! | 4 | length of the header |
//! | 4 | CRC-32 of all of the above and of the header |
//! | | header: model, coding, images, streams (see `header.rs`; `version1.rs` for version 1) |
//! | | the words of the streams, one stream after the other, 4 bytes a word |
//! | | where the archive carries them, the model's weights |
//!
//! The header holds the CRC-32 of each stream and of the weights, so that every byte of a file is checked
//! before anything is decoded. An image takes 2 bytes of it for its check, what deflating leaves of its name,
//! and next to nothing for a shape that others have, too.

mod checks;
mod error;
mod header;
mod limits;
mod lists;
mod name;
mod reader;
mod version1;

pub use checks::{joint, pixel_checksum, short};
pub use error::ContainerError;
pub use name::{check_name, number};

use crate::coder::Stream;
use header::Header;
use reader::Reader;
use std::io::Write;

/// The first bytes: not text, and damaged by whatever changes line ends or strips bit 7.
const MAGIC: [u8; 8] = *b"\x89VDZ\r\n\x1a\n";
/// The version that is written. All up to it are read.
const VERSION: u32 = 2;
/// Bytes before the header.
const PREFIX: usize = 20;

/// What must be the same for decompression as it was for compression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelId {
    /// Hash of the weights.
    pub hash: [u8; 32],
    /// Name of the kernel path (instruction set) that computed the parameters, and after `@` the
    /// revision of its arithmetic (1 where there is none), together at most 255 bytes.
    pub kernel_path: String,
    /// Side of the model's images in pixels.
    pub side: u32,
    /// Colours of the model's images: 1 or 3.
    pub colours: u8,
    /// Bits of a colour that the likelihood knows: 1 to 8.
    pub bits: u8,
    /// 2 to this power is the number of cells of a latent; 0: there are no latents.
    pub latent_bits: u8,
}

impl ModelId {
    /// The first 16 hexadecimal digits of the hash: a name for the weights.
    pub fn weights(&self) -> String {
        hex(&self.hash[..8])
    }

    /// Kernel path and revision.
    pub fn arithmetic(&self) -> (&str, &str) {
        self.kernel_path
            .split_once('@')
            .unwrap_or((&self.kernel_path, "1"))
    }
}

/// One image of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEntry {
    /// Relative path with `/`, see [`check_name`].
    pub name: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Channels that the image came with: 1 (gray) or 3, whatever the model's colours.
    pub channels: u8,
    /// [`short`] of the image's [`pixel_checksum`].
    pub check: u16,
}

/// A stream with the images that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The coder at rest.
    pub stream: Stream,
    /// Indices of the images, in the order in which they were pushed: the last one is popped
    /// first, and an image can be had only after all that follow it here.
    ///
    /// An image that several chains list has its tiles dealt to them in turn, the first tile to the
    /// first of these chains.
    pub images: Vec<u32>,
}

/// An archive of losslessly compressed images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// What decompression needs.
    pub model: ModelId,
    /// The images, in the order in which they were given, or, where order does not matter, in which they
    /// were coded.
    pub images: Vec<ImageEntry>,
    /// [`joint`] of the images' [`pixel_checksum`]s.
    pub joint_check: u32,
    /// Whether each stream chose the order of its images by popping bits, which come back as the images do.
    /// Images are then in one stream each.
    pub order_free: bool,
    /// Independent streams.
    pub chains: Vec<Chain>,
    /// A checkpoint with the weights of the model.
    pub weights: Option<Vec<u8>>,
}

impl Archive {
    /// Writes the archive.
    ///
    /// # Errors
    /// If writing fails, or the archive is one that could not be read: a name that is not
    /// allowed or there twice, an image that is not in exactly one chain, a size out of range.
    pub fn write(&self, mut out: impl Write) -> Result<(), ContainerError> {
        self.check()?;
        let header = header::encode(self)?;
        let mut prefix = [0; PREFIX];
        prefix[..8].copy_from_slice(&MAGIC);
        prefix[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let len = u32::try_from(header.len()).map_err(|_| ContainerError::Field {
            what: "length of the header",
            expected: "less than 4 GiB".into(),
            found: header.len().to_string(),
        })?;
        prefix[12..16].copy_from_slice(&len.to_le_bytes());
        let checksum = header_checksum(&prefix, &header);
        prefix[16..].copy_from_slice(&checksum.to_le_bytes());
        out.write_all(&prefix)?;
        out.write_all(&header)?;
        for part in self.chains.iter().flat_map(|c| bytes(&c.stream.words)) {
            out.write_all(&part)?;
        }
        out.write_all(self.weights.as_deref().unwrap_or_default())?;
        Ok(out.flush()?)
    }

    /// Reads an archive; takes no more memory than a small multiple of the bytes given.
    ///
    /// # Errors
    /// If any byte is not what was written, or the archive is one that [`write`](Self::write)
    /// refuses.
    pub fn read(bytes: &[u8]) -> Result<Self, ContainerError> {
        let mut reader = Reader::new(bytes);
        // Before the length: a file that is something else should be called so.
        if !bytes.starts_with(&MAGIC[..bytes.len().min(8)]) {
            return Err(ContainerError::NotAnArchive);
        }
        let prefix = reader.take("the first 20 bytes", PREFIX)?;
        let mut fields = Reader::new(&prefix[8..]);
        let version = fields.u32("version")?;
        let decode: fn(&[u8]) -> Result<Header, _> = match version {
            1 => version1::decode,
            VERSION => header::decode,
            found => {
                return Err(ContainerError::Version {
                    found,
                    expected: VERSION,
                });
            }
        };
        let len = fields.u32("length of the header")?;
        let expected = fields.u32("checksum of the header")?;
        let header = reader.take("header", len as usize)?;
        check_crc("header", expected, header_checksum(prefix, header))?;
        let Header {
            model,
            images,
            joint_check,
            order_free,
            chains,
            weights,
        } = decode(header)?;
        let mut archive = Self {
            model,
            images,
            joint_check,
            order_free,
            chains: Vec::new(),
            weights: None,
        };
        for chain in chains {
            let words = reader.take("stream", chain.bytes()?)?;
            check_crc("stream", chain.checksum, crc32fast::hash(words))?;
            archive.chains.push(chain.with_words(words));
        }
        if let Some(weights) = weights {
            let len = usize::try_from(weights.len).unwrap_or(usize::MAX);
            let bytes = reader.take("weights", len)?;
            check_crc("weights", weights.checksum, crc32fast::hash(bytes))?;
            archive.weights = Some(bytes.to_vec());
        }
        reader.finish("the last of its parts")?;
        archive.check()?;
        Ok(archive)
    }

    /// Checks that the archive was made by `own`, the model at hand.
    ///
    /// # Errors
    /// If anything differs; says what, and what to do.
    pub fn check_model(&self, own: &ModelId) -> Result<(), ContainerError> {
        let made_with = &self.model;
        if made_with.hash != own.hash {
            return Err(ContainerError::Model {
                expected: hex(&made_with.hash),
                found: hex(&own.hash),
            });
        }
        let [(path, revision), (own_path, own_revision)] =
            [made_with, own].map(ModelId::arithmetic);
        if path != own_path {
            return Err(ContainerError::KernelPath {
                expected: path.to_owned(),
                found: own_path.to_owned(),
            });
        }
        if revision != own_revision {
            return Err(ContainerError::Revision {
                expected: revision.to_owned(),
                found: own_revision.to_owned(),
            });
        }
        let sizes = |id: &ModelId| {
            format!(
                "side {}, {} colours, {} bits, 2^{} cells",
                id.side, id.colours, id.bits, id.latent_bits
            )
        };
        if made_with != own {
            return Err(ContainerError::Field {
                what: "size of the model",
                expected: sizes(own),
                found: sizes(made_with),
            });
        }
        Ok(())
    }

    /// The chains that hold an image or tiles of it, each with the number of images that have to be
    /// decoded, wholly or in part, to get at it there, itself included.
    pub fn locate(&self, image: u32) -> Vec<(usize, usize)> {
        let chains = self.chains.iter().enumerate();
        let place = |(i, chain): (usize, &Chain)| {
            let place = chain.images.iter().rev().position(|&other| other == image);
            Some((i, place? + 1))
        };
        chains.filter_map(place).collect()
    }

    /// What neither a written nor a read archive may violate.
    fn check(&self) -> Result<(), ContainerError> {
        limits::check_model(&self.model)?;
        self.images.iter().try_for_each(limits::check_image)?;
        name::check_distinct(self.images.iter().map(|image| image.name.as_str()))?;
        // The number of the last chain, counted from 1, that holds each image.
        let mut holder = vec![0; self.images.len()];
        for (chain, i) in self.chains.iter().zip(1..) {
            for &image in &chain.images {
                let limit = holder.len();
                let last = holder
                    .get_mut(image as usize)
                    .ok_or(ContainerError::Field {
                        what: "image of a stream",
                        expected: format!("a number below {limit}"),
                        found: image.to_string(),
                    })?;
                let before = std::mem::replace(last, i);
                let found = match before {
                    0 => continue,
                    _ if before == i => "twice in one",
                    _ if self.order_free => "2",
                    _ => continue,
                };
                return Err(times_held(&self.images[image as usize], "1", found));
            }
        }
        match holder.iter().position(|&chain| chain == 0) {
            None => Ok(()),
            Some(image) => Err(times_held(&self.images[image], "at least 1", "0")),
        }
    }
}

fn times_held(image: &ImageEntry, expected: &str, found: &str) -> ContainerError {
    ContainerError::Field {
        what: "number of streams that hold an image",
        expected: expected.into(),
        found: format!("{found} for {:?}", image.name),
    }
}

fn header_checksum(prefix: &[u8], header: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&prefix[..16]);
    hasher.update(header);
    hasher.finalize()
}

fn check_crc(what: &'static str, expected: u32, found: u32) -> Result<(), ContainerError> {
    if expected == found {
        Ok(())
    } else {
        Err(ContainerError::Checksum {
            what,
            expected,
            found,
        })
    }
}

/// The bytes of words, some at a time: all at once, they would be the archive once more in memory.
fn bytes(words: &[u32]) -> impl Iterator<Item = Vec<u8>> {
    let part = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    words.chunks(1 << 14).map(part)
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
