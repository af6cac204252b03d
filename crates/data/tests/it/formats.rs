//! Formats of image files, and what reading them loses.

use std::path::Path;

use image::{DynamicImage, Rgba, RgbaImage};
use tempfile::tempdir;
use vdvae_data::{DataError, Loss, PictureFile, Source, Split};

use crate::files::*;

/// A picture, converted: its shape, its pixels, what they lost.
fn converted(path: &Path) -> ([usize; 3], Vec<u8>, Vec<Loss>) {
    let picture = PictureFile::open_converted(path.to_owned()).unwrap();
    let losses = picture.losses().iter().collect();
    (picture.shape(), picture.read().unwrap(), losses)
}

/// The message of a picture that cannot be kept exactly.
fn refused(path: &Path) -> String {
    let error = PictureFile::open(path.to_owned()).err().unwrap();
    assert!(matches!(error, DataError::Lossy { .. }), "{error}");
    error.to_string()
}

#[test]
fn every_format_gives_the_pixels_that_were_saved() {
    let folder = tempdir().unwrap();
    let picture = picture(12, 9, 200);
    for name in [
        "a.png", "a.webp", "a.bmp", "a.dib", "a.tif", "a.TIFF", "a.gif",
    ] {
        let path = folder.path().join(name);
        let format = match name {
            "a.dib" => image::ImageFormat::Bmp,
            name => image::ImageFormat::from_path(name).unwrap(),
        };
        picture.save_with_format(&path, format).unwrap();
        let expected = ([9, 12, 3], picture.as_raw().clone(), vec![]);
        assert!(converted(&path) == expected, "{name}");
        PictureFile::open(path).unwrap();
    }
    for name in ["b.jpe", "b.jfif", "b.JPG"] {
        write(&folder.path().join(name), &jpeg(9, 9));
    }
    let dataset = opened(Source::Folder(folder.path().to_owned()), Split::All, rgb(8)).unwrap();
    assert_eq!(dataset.len(), 10);
}

#[test]
fn what_cannot_be_given_back_is_named() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    RgbaImage::from_pixel(4, 4, Rgba([1, 2, 3, 9]))
        .save(at("alpha.png"))
        .unwrap();
    let deep = image::ImageBuffer::from_pixel(4, 4, image::Luma([1_u16]));
    deep.save(at("deep.png")).unwrap();
    deep.save(at("deep.tif")).unwrap();
    for (path, loss, says) in [
        (at("alpha.png"), Loss::Transparency, "transparent pixels"),
        (at("deep.png"), Loss::Depth, "more than 8 bits"),
        (at("deep.tif"), Loss::Depth, "more than 8 bits"),
        (fixture("cmyk.jpg"), Loss::Cmyk, "CMYK"),
        (fixture("cmyk.tif"), Loss::Cmyk, "CMYK"),
        (fixture("pages.tif"), Loss::Frames, "more than one frame"),
        (fixture("frames.png"), Loss::Frames, "more than one frame"),
        (fixture("frames.gif"), Loss::Frames, "more than one frame"),
        (fixture("frames.webp"), Loss::Frames, "more than one frame"),
    ] {
        let (_, _, losses) = converted(&path);
        assert_eq!(losses, [loss], "{}", path.display());
        assert_says(&refused(&path), &[&path.display().to_string(), says]);
    }
}

#[test]
fn opaque_alpha_and_bits_that_are_not_used_lose_nothing() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rgba = DynamicImage::from(picture(6, 5, 3)).into_rgba8();
    rgba.save(at("a.png")).unwrap();
    rgba.save(at("a.webp")).unwrap();
    rgba.save(at("a.tif")).unwrap();
    let deep = DynamicImage::from(picture(6, 5, 3)).into_rgb16();
    deep.save(at("b.png")).unwrap();
    for name in ["a.png", "a.webp", "a.tif", "b.png"] {
        let picture_file = PictureFile::open(at(name)).unwrap();
        assert!(picture_file.read().unwrap() == picture(6, 5, 3).into_raw());
    }
}

#[test]
fn cmyk_becomes_the_rgb_that_other_programs_make_of_it() {
    // As Pillow converts it, to the rounding of the conversion: the picture was made of these values.
    let (_, pixels, _) = converted(&fixture("cmyk.tif"));
    for (index, pixel) in pixels.chunks_exact(3).enumerate() {
        assert!(pixel[0].abs_diff(index as u8) <= 1, "{index}: {pixel:?}");
    }
    let (_, pixels, _) = converted(&fixture("cmyk.jpg"));
    for (index, pixel) in pixels.chunks_exact(3).enumerate() {
        assert!(pixel[0].abs_diff(index as u8) <= 8, "{index}: {pixel:?}");
    }
}

#[test]
fn a_jpeg_that_is_not_decoded_is_named_with_what_to_do() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    let mut bytes = jpeg(16, 16);
    let frame = bytes.windows(2).position(|two| two == [0xFF, 0xC0]);
    bytes[frame.unwrap() + 1] = 0xC9;
    write(&path, &bytes);
    let error = open_error(Source::Folder(folder.path().to_owned()), Split::All, rgb(8));
    assert_says(&error, &["a.jpg", "arithmetic-coded JPEG", "jpegtran"]);
    let error = PictureFile::open(path).err().unwrap().to_string();
    assert_says(&error, &["a.jpg", "arithmetic-coded JPEG", "jpegtran"]);
}
