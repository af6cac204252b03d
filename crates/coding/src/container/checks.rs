//! How archives know that images are right.
//!
//! Of every image an archive holds half of a CRC-32, and of all images together a CRC-32 of their whole ones: an
//! image that is had alone is wrong without notice once in 65,536 times, one of a whole archive once in 2^48. That
//! is beside the checks of the archive's own bytes, which find damage before anything is decoded.

/// CRC-32 of an image's bytes, `[height, width, channels]`.
pub fn pixel_checksum(pixels: &[u8]) -> u32 {
    crc32fast::hash(pixels)
}

/// What an archive holds of one image's [`pixel_checksum`]: the lower half.
pub fn short(checksum: u32) -> u16 {
    checksum as u16
}

/// What an archive holds of all images' [`pixel_checksum`]s, given in the order of the images.
pub fn joint(checksums: impl IntoIterator<Item = u32>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for checksum in checksums {
        hasher.update(&checksum.to_le_bytes());
    }
    hasher.finalize()
}
