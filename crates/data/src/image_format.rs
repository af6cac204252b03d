//! Which files are pictures, and which of their formats are read.

use std::ffi::OsStr;
use std::io::Cursor;
use std::path::Path;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, ImageFormat};

use crate::jpeg;
use crate::loss::{Loss, Losses};

/// The formats that are read, for messages.
pub(crate) const KNOWN: &str = "PNG, JPEG, WebP, GIF, BMP or TIFF";

/// How the names of their files end.
const EXTENSIONS: [&str; 12] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "dib", "tif", "tiff", "apng",
];

/// How the names of pictures end that are not read.
const UNREAD: [&str; 34] = [
    "avif", "heic", "heif", "jxl", "jp2", "j2k", "jpx", "jxr", "exr", "hdr", "tga", "pbm", "pgm",
    "ppm", "pnm", "pam", "qoi", "ico", "dds", "psd", "xcf", "svg", "raw", "dng", "cr2", "cr3",
    "nef", "arw", "orf", "rw2", "raf", "mpo", "pcx", "dcm",
];

/// Whether a file's name says that it is a picture of a format that is read.
pub(crate) fn is_image(path: &Path) -> bool {
    ends_as(path, &EXTENSIONS)
}

/// Whether a file's name says that it is a picture of another format.
pub(crate) fn is_unread_picture(path: &Path) -> bool {
    ends_as(path, &UNREAD)
}

fn ends_as(path: &Path, endings: &[&str]) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.is_some_and(|found| {
        endings
            .iter()
            .any(|ending| found.eq_ignore_ascii_case(ending))
    })
}

/// What a file loses by its format alone, whatever its pixels are: frames, colours. Damaged files lose nothing
/// here; decoding them tells.
pub(crate) fn losses_of(bytes: &[u8], format: ImageFormat) -> Losses {
    let cursor = Cursor::new(bytes);
    let (frames, cmyk) = match format {
        ImageFormat::Png => (
            PngDecoder::new(cursor).is_ok_and(|png| png.is_apng().unwrap_or(false)),
            false,
        ),
        ImageFormat::WebP => (
            WebPDecoder::new(cursor).is_ok_and(|webp| webp.has_animation()),
            false,
        ),
        ImageFormat::Gif => (
            GifDecoder::new(cursor)
                .is_ok_and(|gif| gif.into_frames().take(2).filter(Result::is_ok).count() > 1),
            false,
        ),
        ImageFormat::Tiff => match tiff::decoder::Decoder::new(cursor) {
            Ok(mut tiff) => (
                tiff.more_images(),
                matches!(
                    tiff.colortype(),
                    Ok(tiff::ColorType::CMYK(_) | tiff::ColorType::CMYKA(_))
                ),
            ),
            Err(_) => (false, false),
        },
        ImageFormat::Jpeg => (
            false,
            jpeg::frame(bytes).is_some_and(|frame| frame.components == 4),
        ),
        _ => (false, false),
    };
    let mut losses = Losses::default();
    if frames {
        losses.insert(Loss::Frames);
    }
    if cmyk {
        losses.insert(Loss::Cmyk);
    }
    losses
}
