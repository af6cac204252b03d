//! The archive: round trips, and every kind of damage.

use crate::common::Random;
use vdvae_coding::Stream;
use vdvae_coding::container::{
    Archive, Chain, ContainerError, ImageEntry, ModelId, check_name, joint, number, short,
};

/// What stands for a checksum of pixels.
fn checksum(width: u32, height: u32) -> u32 {
    width * 791_919 + height
}

fn image(name: &str, width: u32, height: u32, channels: u8) -> ImageEntry {
    ImageEntry {
        name: name.into(),
        width,
        height,
        channels,
        check: short(checksum(width, height)),
    }
}

fn archive() -> Archive {
    let mut random = Random(5);
    let mut words = |len| -> Vec<u32> { (0..len).map(|_| random.word() as u32).collect() };
    let chain = |words, images: &[u32]| Chain {
        stream: Stream {
            state: 0x1234_5678_9abc_def0,
            words,
            seed_words: 3,
        },
        images: images.to_vec(),
    };
    Archive {
        model: ModelId {
            hash: [7; 32],
            kernel_path: "avx512".into(),
            side: 32,
            colours: 3,
            bits: 8,
            latent_bits: 14,
        },
        images: vec![
            image("a.png", 32, 32, 3),
            image("b/c.png", 1, 1, 1),
            image("d e.webp", 77, 3, 3),
        ],
        joint_check: joint([checksum(32, 32), checksum(1, 1), checksum(77, 3)]),
        order_free: false,
        weights: Some(b"weights".to_vec()),
        chains: vec![
            chain(words(17), &[2, 0]),
            chain(words(5), &[1, 0]),
            chain(words(0), &[]),
        ],
    }
}

fn bytes(archive: &Archive) -> Vec<u8> {
    let mut bytes = Vec::new();
    archive.write(&mut bytes).unwrap();
    bytes
}

#[test]
fn comes_back_as_it_was() {
    let archive = archive();
    assert_eq!(Archive::read(&bytes(&archive)).unwrap(), archive);
    assert_eq!(archive.locate(0), [(0, 1), (1, 1)]);
    assert_eq!(archive.locate(2), [(0, 2)]);
    assert_eq!(archive.locate(1), [(1, 2)]);
    assert_eq!(archive.locate(3), []);
    let empty = Archive {
        images: vec![],
        chains: vec![],
        weights: None,
        ..archive
    };
    assert_eq!(Archive::read(&bytes(&empty)).unwrap(), empty);
}

/// Numbered, dealt in turn: neither names nor lists are written.
fn numbered(count: usize, streams: usize) -> Archive {
    let one = archive();
    let chain = |stream: usize| Chain {
        images: (stream as u32..count as u32).step_by(streams).collect(),
        ..one.chains[1].clone()
    };
    Archive {
        images: (0..count)
            .map(|i| image(&number(i, count), 32, 32, 3))
            .collect(),
        order_free: true,
        chains: (0..streams).map(chain).collect(),
        weights: None,
        ..one
    }
}

/// The header's bytes.
fn header_len(archive: &Archive) -> usize {
    let words = archive.chains.iter().map(|c| 4 * c.stream.words.len());
    bytes(archive).len() - words.sum::<usize>()
}

#[test]
fn an_image_takes_few_bytes_of_the_header() {
    for (count, streams) in [(1, 1), (9, 4), (120, 1), (1000, 8)] {
        let plain = numbered(count, streams);
        assert_eq!(Archive::read(&bytes(&plain)).unwrap(), plain);
        let most = 110 + 20 * streams + 2 * count;
        assert!(header_len(&plain) <= most, "{count} {}", header_len(&plain));
        // Names as cameras and data sets make them, dealt otherwise than in turn.
        let mut named = plain.clone();
        for (i, image) in named.images.iter_mut().enumerate() {
            image.name = format!("pictures/IMG_{:05}.png", i * i % 90_001 + i);
        }
        named.chains[0].images.reverse();
        assert_eq!(Archive::read(&bytes(&named)).unwrap(), named);
        let most = 130 + 20 * streams + 8 * count;
        assert!(header_len(&named) <= most, "{count} {}", header_len(&named));
    }
}

/// What deflates so well that a reader would not believe it.
#[test]
fn lists_of_any_regularity_come_back() {
    let mut archive = numbered(40, 1);
    for (i, image) in archive.images.iter_mut().enumerate() {
        image.name = format!("{}{i}", "x".repeat(4000));
    }
    assert_eq!(Archive::read(&bytes(&archive)).unwrap(), archive);
}

/// The file that version 1 made of [`archive`], without weights.
fn version_1() -> Vec<u8> {
    let archive = archive();
    let model = &archive.model;
    let mut header = model.hash.to_vec();
    header.extend(model.side.to_le_bytes());
    header.extend([model.colours, model.bits, model.latent_bits, 28]);
    header.push(model.kernel_path.len() as u8);
    header.extend(model.kernel_path.as_bytes());
    header.extend((archive.images.len() as u32).to_le_bytes());
    for image in &archive.images {
        header.extend((image.name.len() as u16).to_le_bytes());
        header.extend(image.name.as_bytes());
        header.extend(image.width.to_le_bytes());
        header.extend(image.height.to_le_bytes());
        header.push(image.channels);
        header.extend(checksum(image.width, image.height).to_le_bytes());
    }
    header.extend((archive.chains.len() as u32).to_le_bytes());
    let mut streams = Vec::new();
    for Chain { stream, images } in &archive.chains {
        let words: Vec<u8> = stream.words.iter().flat_map(|w| w.to_le_bytes()).collect();
        header.extend(stream.state.to_le_bytes());
        header.extend(stream.seed_words.to_le_bytes());
        header.extend((stream.words.len() as u64).to_le_bytes());
        header.extend(crc32fast::hash(&words).to_le_bytes());
        header.extend((images.len() as u32).to_le_bytes());
        header.extend(images.iter().flat_map(|image| image.to_le_bytes()));
        streams.extend(words);
    }
    let mut file = b"\x89VDZ\r\n\x1a\n\x01\0\0\0".to_vec();
    file.extend((header.len() as u32).to_le_bytes());
    file.extend(crc32fast::hash(&[&file[..], &header].concat()).to_le_bytes());
    [file, header, streams].concat()
}

#[test]
fn version_1_is_read() {
    let good = version_1();
    let expected = Archive {
        weights: None,
        ..archive()
    };
    assert_eq!(Archive::read(&good).unwrap(), expected);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        Archive::read(&bad).expect_err(&format!("byte {at}"));
        Archive::read(&good[..at]).expect_err(&format!("{at} bytes"));
    }
}

#[test]
fn every_flipped_bit_is_an_error() {
    let good = bytes(&archive());
    for at in 0..good.len() {
        for flip in (0..8).map(|bit| 1 << bit).chain([0xff]) {
            let mut bad = good.clone();
            bad[at] ^= flip;
            Archive::read(&bad).expect_err(&format!("byte {at} xor {flip:#x}"));
        }
    }
}

#[test]
fn every_truncation_and_extension_is_an_error() {
    let good = bytes(&archive());
    for len in 0..good.len() {
        let error = Archive::read(&good[..len]).expect_err("truncated");
        assert!(
            matches!(error, ContainerError::Truncated { .. }),
            "{len}: {error}"
        );
    }
    let mut longer = good;
    longer.push(0);
    assert!(matches!(
        Archive::read(&longer),
        Err(ContainerError::Trailing(1, _))
    ));
}

/// The archive's bytes with a changed header and the checksum that belongs to it.
fn forged(change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = bytes(&archive());
    change(&mut bytes);
    let len = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..16]);
    hasher.update(&bytes[20..20 + len]);
    let checksum = hasher.finalize();
    bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn forged_headers_are_errors_or_archives() {
    assert_eq!(Archive::read(&forged(|_| ())).unwrap(), archive());
    let len = bytes(&archive()).len();
    let header = u32::from_le_bytes(bytes(&archive())[12..16].try_into().unwrap()) as usize;
    let mut random = Random(6);
    let mut refused = 0;
    for at in 20..20 + header {
        for _ in 0..40 {
            let value = [0, 1, 255, random.below(256) as u8][random.below(4) as usize];
            let span = [1, 4, 8][random.below(3) as usize];
            let bad = forged(|bytes| bytes[at..(at + span).min(len).min(20 + header)].fill(value));
            // What is still an archive must be one that can be written again.
            match Archive::read(&bad) {
                Ok(read) => drop(self::bytes(&read)),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 1000, "{refused}");
    // A version of the future.
    let mut future = bytes(&archive());
    future[8] = 3;
    let error = Archive::read(&future).unwrap_err();
    assert!(matches!(
        error,
        ContainerError::Version {
            found: 3,
            expected: 2
        }
    ));
    assert!(matches!(
        Archive::read(b"\x89PNG\r\n\x1a\n"),
        Err(ContainerError::NotAnArchive)
    ));
}

#[test]
fn what_could_not_be_read_is_not_written() {
    let refuse = |change: &dyn Fn(&mut Archive), expected: &str| {
        let mut archive = archive();
        change(&mut archive);
        let error = archive.write(Vec::new()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    refuse(&|a| a.images[1].name = "../x.png".into(), "..");
    refuse(&|a| a.images[1].name = "A.PNG".into(), "twice");
    refuse(&|a| a.images[0].width = 0, "number of pixels is 0");
    refuse(&|a| a.images[0].width = u32::MAX, "number of pixels");
    refuse(&|a| a.images[0].channels = 2, "channels of an image is 2");
    refuse(
        &|a| a.chains[0].images[0] = 0,
        "number of streams that hold an image is twice in one",
    );
    refuse(
        &|a| a.chains[0].images = vec![0],
        "number of streams that hold an image is 0 for \"d e.webp\"",
    );
    refuse(
        &|a| a.order_free = true,
        "number of streams that hold an image is 2 for \"a.png\"",
    );
    refuse(&|a| a.chains[0].images[0] = 9, "a number below 3");
    refuse(
        &|a| a.model.kernel_path = "x".repeat(256),
        "length of the kernel path is 256",
    );
    refuse(&|a| a.model.bits = 9, "bits of the model is 9");
    refuse(&|a| a.model.latent_bits = 3, "bits per latent is 3");
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for bad in [
        "",
        "/etc/passwd",
        "../a",
        "a/../b",
        "a/..",
        ".",
        "a//b",
        "a/",
        "a\\b",
        "C:/a",
        "a\0b",
        "a\nb",
        "nul",
        "NUL.png",
        "com1",
        "lpt9.txt",
        "a./b",
        "b ",
        "?",
    ] {
        assert!(
            matches!(check_name(bad), Err(ContainerError::Name { .. })),
            "{bad:?}"
        );
    }
    for good in [
        "a",
        "a.png",
        "photos/Bild ä.png",
        ".hidden",
        "console.png",
        "com10",
        "nullable",
        "a..b",
    ] {
        check_name(good).unwrap();
    }
}

#[test]
fn another_model_or_path_is_named() {
    let archive = archive();
    archive.check_model(&archive.model).unwrap();
    let other = ModelId {
        hash: [8; 32],
        ..archive.model.clone()
    };
    let error = archive.check_model(&other).unwrap_err().to_string();
    assert!(
        error.contains(&"07".repeat(32)) && error.contains(&"08".repeat(32)),
        "{error}"
    );
    let other = ModelId {
        kernel_path: "portable".into(),
        ..archive.model.clone()
    };
    let error = archive.check_model(&other).unwrap_err().to_string();
    assert!(error.contains("--kernel-path avx512"), "{error}");
    let other = ModelId {
        kernel_path: "avx512@2".into(),
        ..archive.model.clone()
    };
    let error = archive.check_model(&other).unwrap_err().to_string();
    assert!(
        error.contains("revision 1 of") && error.contains("revision 2,"),
        "{error}"
    );
    let other = ModelId {
        latent_bits: 12,
        ..archive.model.clone()
    };
    let error = archive.check_model(&other).unwrap_err().to_string();
    assert!(error.contains("2^14 cells"), "{error}");
}
