//! The archive reader: any bytes are an error or an archive that can be written again.
//!
//! Once as they are, and once with the checksums put right, so that what lies behind them is
//! reached: `cargo +nightly fuzz run archive` in `crates/coding`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vdvae_coding::container::Archive;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    if let Some(forged) = forged(bytes) {
        check(&forged);
    }
});

fn check(bytes: &[u8]) {
    let Ok(archive) = Archive::read(bytes) else {
        return;
    };
    let mut again = Vec::new();
    archive
        .write(&mut again)
        .expect("what was read can be written");
    // Other bytes may deflate to the same, and version 1 is read only.
    assert_eq!(Archive::read(&again).expect("was written"), archive);
    for image in 0..archive.images.len() as u32 {
        assert!(!archive.locate(image).is_empty());
    }
}

/// The bytes as a header that is valid up to its fields, and no stream data.
fn forged(header: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = b"\x89VDZ\r\n\x1a\n\x02\0\0\0".to_vec();
    bytes.extend(u32::try_from(header.len()).ok()?.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes);
    hasher.update(header);
    bytes.extend(hasher.finalize().to_le_bytes());
    bytes.extend(header);
    Some(bytes)
}
