//! What the markers of a JPEG file tell: whether it is all there, and how it is coded.
//!
//! The decoder fills the missing part of a truncated JPEG with gray and reports success. A model
//! must not learn that gray, so the stream is followed from marker to marker to its end.

const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;

/// Whether the JPEG in `bytes` reaches its end-of-image marker.
///
/// Thumbnails inside of metadata segments are stepped over: their end is not the image's.
pub(crate) fn is_complete(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(marker) = next_marker(bytes, &mut at) {
        match marker {
            END_OF_IMAGE => return true,
            // Start of image and TEM stand alone; every other segment starts with its length.
            0xD8 | 0x01 => {}
            _ => {
                let Some(length) = bytes.get(at..at + 2) else {
                    return false;
                };
                at += usize::from(u16::from_be_bytes([length[0], length[1]]));
            }
        }
        if marker == START_OF_SCAN {
            skip_entropy_coded(bytes, &mut at);
        }
    }
    false
}

/// What the frame header says (ITU-T T.81, B.2.2).
#[derive(Debug, PartialEq)]
pub(crate) struct Frame {
    /// Which kind of frame: the marker's second byte, 0xC0 to 0xCF.
    marker: u8,
    /// Bits of a sample.
    precision: u8,
    /// 4 for CMYK and YCCK.
    pub components: u8,
}

/// The frame header of the JPEG in `bytes`, if they reach so far.
pub(crate) fn frame(bytes: &[u8]) -> Option<Frame> {
    let mut at = 0;
    while let Some(marker) = next_marker(bytes, &mut at) {
        match marker {
            0xD8 | 0x01 => {}
            // 0xC4, 0xC8 and 0xCC are tables and reserved.
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                return Some(Frame {
                    marker,
                    precision: *bytes.get(at + 2)?,
                    components: *bytes.get(at + 7)?,
                });
            }
            END_OF_IMAGE | START_OF_SCAN => return None,
            _ => at += usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?])),
        }
    }
    None
}

impl Frame {
    /// Why such a file is not decoded, with what to do; nothing for those that are: 8 bits, coded with
    /// Huffman's codes, baseline or progressive.
    pub fn refusal(&self) -> Option<String> {
        let (what, remedy) = match self.marker {
            0xC9..=0xCF => (
                "an arithmetic-coded JPEG",
                "Convert it, which loses nothing: jpegtran -optimize -copy all -outfile NEW.jpg OLD.jpg",
            ),
            0xC3 => ("a lossless JPEG", CONVERT),
            0xC5..=0xC7 => ("a hierarchical JPEG", CONVERT),
            _ if self.precision != 8 => ("a JPEG of more than 8 bits", CONVERT),
            _ => return None,
        };
        Some(format!("is {what}, which is not read. {remedy}"))
    }
}

/// For what few programs write, and few read.
const CONVERT: &str = "Convert it to PNG with the program that wrote it, or djpeg and pnmtopng";

/// The marker at `at`, which moves behind it.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    if *bytes.get(*at)? != 0xFF {
        return None;
    }
    while *bytes.get(*at)? == 0xFF {
        *at += 1; // any number of fill bytes may stand before a marker
    }
    *at += 1;
    Some(bytes[*at - 1])
}

/// Moves `at` to the next marker that is neither a stuffed zero nor a restart marker.
fn skip_entropy_coded(bytes: &[u8], at: &mut usize) {
    while let Some(&[byte, next]) = bytes.get(*at..*at + 2) {
        if byte == 0xFF && !matches!(next, 0x00 | 0xD0..=0xD7) {
            return;
        }
        *at += 1;
    }
    *at = bytes.len();
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;

    fn jpeg() -> Vec<u8> {
        let image = image::RgbImage::from_fn(40, 30, |x, y| {
            image::Rgb([x as u8 * 6, y as u8 * 8, (x * y) as u8])
        });
        let mut bytes = Vec::new();
        JpegEncoder::new(&mut bytes).encode_image(&image).unwrap();
        bytes
    }

    #[test]
    fn a_whole_file_is_complete_and_no_part_of_it_is() {
        let bytes = jpeg();
        assert!(is_complete(&bytes));
        for length in 0..bytes.len() {
            assert!(
                !is_complete(&bytes[..length]),
                "{length} of {} bytes",
                bytes.len()
            );
        }
    }

    #[test]
    fn the_end_of_an_embedded_thumbnail_does_not_count() {
        let bytes = jpeg();
        let thumbnail = jpeg();
        let mut with_thumbnail = vec![0xFF, 0xD8, 0xFF, 0xE1];
        with_thumbnail.extend_from_slice(&(thumbnail.len() as u16 + 2).to_be_bytes());
        with_thumbnail.extend_from_slice(&thumbnail);
        with_thumbnail.extend_from_slice(&bytes[2..]);
        assert!(is_complete(&with_thumbnail));
        assert!(!is_complete(&with_thumbnail[..with_thumbnail.len() - 40]));
    }

    #[test]
    fn frames_tell_how_a_file_is_coded() {
        let bytes = jpeg();
        let baseline = frame(&bytes).unwrap();
        assert_eq!((baseline.components, baseline.refusal()), (3, None));
        assert_eq!(frame(&bytes[..20]), None);
        let at = bytes
            .windows(2)
            .position(|two| two == [0xFF, 0xC0])
            .unwrap();
        for (marker, says) in [
            (0xC9, "arithmetic-coded JPEG"),
            (0xCA, "jpegtran"),
            (0xC3, "lossless JPEG"),
            (0xC6, "hierarchical"),
        ] {
            let mut other = bytes.clone();
            other[at + 1] = marker;
            let refusal = frame(&other).unwrap().refusal().unwrap();
            assert!(refusal.contains(says), "{refusal}");
        }
        let mut deep = bytes;
        deep[at + 4] = 12;
        assert!(frame(&deep).unwrap().refusal().unwrap().contains("8 bits"));
    }

    #[test]
    fn bytes_behind_the_end_do_no_harm() {
        let mut bytes = jpeg();
        bytes.extend_from_slice(&[0; 100]);
        assert!(is_complete(&bytes));
    }
}
