//! One PNG, JPEG or WebP file, from bytes to pixels.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::PathBuf;

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use crate::dataset::ImageShape;
use crate::{channels, jpeg};

/// The largest file, and the largest decoded image, that is taken for an image: 1 GiB.
const LARGEST: u64 = 1 << 30;

/// So much of a file holds its header, metadata included, but for rare exceptions.
const HEADER: u64 = 1 << 18;

/// What is wrong with an image. The caller adds which image it is.
pub(crate) type Reason = String;

/// An image file on disk or in the program.
pub(crate) struct ImageFile {
    pub name: String,
    content: Content,
}

enum Content {
    Path(PathBuf),
    Embedded(&'static [u8]),
}

/// A part of a picture of known size, in pixels.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    /// Width and height that the whole picture has to have.
    pub picture: [u32; 2],
    /// The first column and row of the part.
    pub corner: [u32; 2],
    /// Width and height of the part.
    pub size: [u32; 2],
}

/// Pixels as [height, width, channels].
pub(crate) struct Raster {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

impl ImageFile {
    pub fn at(path: PathBuf) -> Self {
        Self {
            name: path.display().to_string(),
            content: Content::Path(path),
        }
    }

    pub fn embedded(name: String, bytes: &'static [u8]) -> Self {
        Self {
            name,
            content: Content::Embedded(bytes),
        }
    }

    /// Bytes of the encoded file; 0 if that cannot be told.
    pub fn encoded_len(&self) -> u64 {
        match &self.content {
            Content::Path(path) => fs::metadata(path).map_or(0, |metadata| metadata.len()),
            Content::Embedded(bytes) => bytes.len() as u64,
        }
    }

    /// Width and height, from the header alone.
    pub fn dimensions(&self) -> Result<(usize, usize), Reason> {
        // A header that is longer than the usual limit shows as an error: then the whole file is read.
        dimensions(&self.read(HEADER)?).or_else(|_| dimensions(&self.read(LARGEST)?))
    }

    /// The whole picture, upright, in `channels` channels.
    pub fn decode(&self, channels: usize) -> Result<Raster, Reason> {
        Ok(raster(self.decode_rgb()?, channels))
    }

    /// The largest centred square, resized to `shape` with a Lanczos filter.
    pub fn decode_square(&self, shape: ImageShape) -> Result<Raster, Reason> {
        let image = self.decode_rgb()?;
        let side = image.width().min(image.height());
        let (x, y) = ((image.width() - side) / 2, (image.height() - side) / 2);
        let square = imageops::crop_imm(&image, x, y, side, side);
        let size = shape.size as u32;
        let resized = if side == size {
            square.to_image()
        } else {
            imageops::resize(&*square, size, size, FilterType::Lanczos3)
        };
        Ok(raster(resized, shape.channels))
    }

    /// A part of the picture, resized to `shape` with a bilinear filter, which is widened where the picture is made
    /// smaller.
    pub fn decode_window(&self, window: &Window, shape: ImageShape) -> Result<Raster, Reason> {
        let image = self.decode_rgb()?;
        let ([width, height], [x, y]) = (window.size, window.corner);
        if [image.width(), image.height()] != window.picture {
            let [wide, high] = window.picture;
            let (found_wide, found_high) = image.dimensions();
            return Err(format!(
                "expected {wide} x {high} pixels, found {found_wide} x {found_high}"
            ));
        }
        let part = imageops::crop_imm(&image, x, y, width, height);
        let size = shape.size as u32;
        let resized = imageops::resize(&*part, size, size, FilterType::Triangle);
        Ok(raster(resized, shape.channels))
    }

    /// Height, width and channels of the picture as [`decode_exact`](Self::decode_exact) gives it,
    /// from the header alone.
    pub fn exact_shape(&self) -> Result<[usize; 3], Reason> {
        let (width, height) = self.dimensions()?;
        let header = self.read(HEADER)?;
        let channels = match decoder(&header) {
            Ok((decoder, _)) => exact_channels(&decoder)?,
            Err(_) => exact_channels(&decoder(&self.read(LARGEST)?)?.0)?,
        };
        Ok([height, width, channels])
    }

    /// The whole picture, upright, its values as they are in the file.
    pub fn decode_exact(&self) -> Result<DynamicImage, Reason> {
        self.decode_as(|decoder| exact_channels(decoder).map(|_| ()))
    }

    fn decode_rgb(&self) -> Result<RgbImage, Reason> {
        Ok(self.decode_as(|_| Ok(()))?.into_rgb8())
    }

    /// The whole picture, upright, if `check` finds nothing wrong with it.
    fn decode_as(
        &self,
        check: impl Fn(&dyn ImageDecoder) -> Result<(), Reason>,
    ) -> Result<DynamicImage, Reason> {
        let bytes = self.read(LARGEST)?;
        let (mut decoder, format) = decoder(&bytes)?;
        check(&decoder)?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut image = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
        if format == Some(ImageFormat::Jpeg) && !jpeg::is_complete(&bytes) {
            return Err("the JPEG is truncated: its end-of-image marker is missing".to_owned());
        }
        image.apply_orientation(orientation);
        Ok(image)
    }

    /// At most `limit` bytes of the file, from its start.
    fn read(&self, limit: u64) -> Result<Cow<'static, [u8]>, Reason> {
        let path = match &self.content {
            Content::Embedded(bytes) => return Ok(Cow::Borrowed(bytes)),
            Content::Path(path) => path,
        };
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(|error| format!("cannot be read: {error}"))?;
        Ok(Cow::Owned(bytes))
    }
}

/// 1 or 3, the channels of a picture that 8-bit gray or RGB values hold exactly.
fn exact_channels(decoder: &dyn ImageDecoder) -> Result<usize, Reason> {
    let color = decoder.color_type();
    let bits = 8 * u16::from(color.bytes_per_pixel()) / u16::from(color.channel_count());
    match color {
        ColorType::L8 => Ok(1),
        ColorType::Rgb8 => Ok(3),
        _ if bits != 8 => Err(format!(
            "expected 8 bits per channel, found {bits}. Convert it to 8 bits first if that is exact enough"
        )),
        _ => Err(
            "expected gray or RGB without transparency, found an alpha channel. \
             Remove it first if the picture is opaque"
                .to_owned(),
        ),
    }
}

fn dimensions(bytes: &[u8]) -> Result<(usize, usize), Reason> {
    let (mut decoder, _) = decoder(bytes)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    Ok(match decoder.orientation() {
        Ok(
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH,
        ) => (height, width),
        _ => (width, height),
    })
}

/// A decoder of the format that the content (not the name) tells, for an image of bounded size.
fn decoder(bytes: &[u8]) -> Result<(impl ImageDecoder, Option<ImageFormat>), Reason> {
    let describe = |error: image::ImageError| error.to_string();
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    let format = reader.format();
    if format.is_none() {
        return Err("is neither PNG, JPEG nor WebP".to_owned());
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(LARGEST);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(describe)?;
    let (width, height) = decoder.dimensions();
    if decoder.total_bytes() > LARGEST {
        return Err(format!(
            "claims {width} x {height} pixels, {} bytes, where at most {LARGEST} are read",
            decoder.total_bytes()
        ));
    }
    if width == 0 || height == 0 {
        return Err(format!("claims {width} x {height} pixels"));
    }
    Ok((decoder, format))
}

fn raster(image: RgbImage, channels: usize) -> Raster {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let rgb = image.into_raw();
    let pixels = if channels == 3 {
        rgb
    } else {
        let mut pixels = vec![0; width * height * channels];
        channels::convert(&rgb, 3, &mut pixels, channels);
        pixels
    };
    Raster {
        width,
        height,
        pixels,
    }
}
