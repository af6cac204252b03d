//! One image file, from bytes to pixels.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use sha2::{Digest, Sha256};
use vdvae_formats::regular;

use crate::dataset::ImageShape;
use crate::image_format::{KNOWN, losses_of};
use crate::image_list::hex;
use crate::loss::{Losses, opaque_bytes};
#[cfg(feature = "parquet")]
use crate::table::Table;
use crate::{channels, jpeg};

/// The largest file, and the largest decoded image, that is taken for an image: 1 GiB.
const LARGEST: u64 = 1 << 30;

/// So much of a file holds its header, metadata included, but for rare exceptions.
const HEADER: u64 = 1 << 18;

/// So many bytes of each end of a file are looked at to know it again.
const END: u64 = 4096;

/// What is wrong with an image. The caller adds which image it is.
pub(crate) type Reason = String;

/// An image file on disk or in the program.
#[derive(Clone)]
pub(crate) struct ImageFile {
    pub name: String,
    /// The number of its class, where classes are told apart.
    pub class: Option<usize>,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Path(PathBuf),
    Embedded(&'static [u8]),
    /// So many bytes from here on in a larger file.
    Inside {
        path: Arc<Path>,
        start: u64,
        size: u64,
    },
    /// A row of a table.
    #[cfg(feature = "parquet")]
    Row(Arc<Table>, usize),
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
    /// What these values lost of the file's.
    pub losses: Losses,
}

impl ImageFile {
    pub fn at(path: PathBuf) -> Self {
        Self {
            name: path.display().to_string(),
            class: None,
            content: Content::Path(path),
        }
    }

    pub fn embedded(name: String, bytes: &'static [u8]) -> Self {
        Self {
            name,
            class: None,
            content: Content::Embedded(bytes),
        }
    }

    /// A part of the file at `path`.
    pub fn inside(name: String, path: Arc<Path>, start: u64, size: u64) -> Self {
        let content = Content::Inside { path, start, size };
        Self {
            name,
            class: None,
            content,
        }
    }

    /// A row of a table.
    #[cfg(feature = "parquet")]
    pub fn row(name: String, table: Arc<Table>, row: usize) -> Self {
        Self {
            name,
            class: None,
            content: Content::Row(table, row),
        }
    }

    /// Bytes of the encoded file, in a table on average; 0 if that cannot be told.
    pub fn encoded_len(&self) -> u64 {
        match &self.content {
            Content::Path(path) => fs::metadata(path).map_or(0, |metadata| metadata.len()),
            Content::Embedded(bytes) => bytes.len() as u64,
            Content::Inside { size, .. } => *size,
            #[cfg(feature = "parquet")]
            Content::Row(table, _) => table.mean_len(),
        }
    }

    /// 16 digits of a SHA-256 of the first and the last 4 KiB, or of all where that is no more; in a table, of the whole
    /// table's file. Nothing if they cannot be read. Little beside decoding, and different files seldom share them: it is
    /// at their ends that sizes, times and checksums stand.
    pub fn ends(&self) -> Option<String> {
        match &self.content {
            Content::Path(path) => ends(path, 0, None).ok(),
            Content::Embedded(_) => None,
            Content::Inside { path, start, size } => ends(path, *start, Some(*size)).ok(),
            #[cfg(feature = "parquet")]
            Content::Row(table, _) => table.ends(),
        }
    }

    /// Width and height, from the header alone.
    pub fn dimensions(&self) -> Result<(usize, usize), Reason> {
        // A header that is longer than the usual limit shows as an error: then the whole file is read.
        dimensions(&self.read(HEADER)?).or_else(|_| dimensions(&self.read(LARGEST)?))
    }

    /// The whole picture, upright, in `channels` channels.
    pub fn decode(&self, channels: usize) -> Result<Raster, Reason> {
        let (image, losses) = self.decode_rgb()?;
        Ok(raster(image, losses, channels))
    }

    /// The largest centred square, resized to `shape` with a Lanczos filter.
    pub fn decode_square(&self, shape: ImageShape) -> Result<Raster, Reason> {
        let (image, losses) = self.decode_rgb()?;
        let side = image.width().min(image.height());
        let (x, y) = ((image.width() - side) / 2, (image.height() - side) / 2);
        let square = imageops::crop_imm(&image, x, y, side, side);
        let size = shape.size as u32;
        let resized = if side == size {
            square.to_image()
        } else {
            imageops::resize(&*square, size, size, FilterType::Lanczos3)
        };
        Ok(raster(resized, losses, shape.channels))
    }

    /// A part of the picture, resized to `shape` with a bilinear filter, which is widened where the picture is made
    /// smaller.
    pub fn decode_window(&self, window: &Window, shape: ImageShape) -> Result<Raster, Reason> {
        let (image, losses) = self.decode_rgb()?;
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
        Ok(raster(resized, losses, shape.channels))
    }

    /// Height, width and channels (1 or 3) of the picture as [`decode_bytes`](Self::decode_bytes) gives it, and
    /// what it loses. Decodes only where the header does not tell.
    pub fn inspect(&self) -> Result<([usize; 3], Losses), Reason> {
        match inspect(&self.read(HEADER)?) {
            Some(told) => Ok(told),
            None => {
                let (image, losses) = self.decode_bytes()?;
                Ok((shape_of(&image), losses))
            }
        }
    }

    /// The whole picture, upright, 8-bit gray or RGB, and what that loses.
    pub fn decode_bytes(&self) -> Result<(DynamicImage, Losses), Reason> {
        let bytes = self.read(LARGEST)?;
        let (mut decoder, format) = decoder(&bytes)?;
        if matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F) {
            return Err(
                "holds floating-point values, whose range is not known. Convert it to 8 bits"
                    .to_owned(),
            );
        }
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let image = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
        if format == ImageFormat::Jpeg && !jpeg::is_complete(&bytes) {
            return Err("the JPEG is truncated: its end-of-image marker is missing".to_owned());
        }
        let mut losses = losses_of(&bytes, format);
        let mut image = opaque_bytes(image, &mut losses);
        image.apply_orientation(orientation);
        Ok((image, losses))
    }

    fn decode_rgb(&self) -> Result<(RgbImage, Losses), Reason> {
        let (image, losses) = self.decode_bytes()?;
        Ok((image.into_rgb8(), losses))
    }

    /// At most `limit` bytes of the file, from its start; of a row in a table all.
    fn read(&self, limit: u64) -> Result<Cow<'static, [u8]>, Reason> {
        let (path, start, size): (&Path, _, _) = match &self.content {
            Content::Embedded(bytes) => return Ok(Cow::Borrowed(bytes)),
            Content::Path(path) => (path, 0, u64::MAX),
            Content::Inside { path, start, size } => (path, *start, *size),
            #[cfg(feature = "parquet")]
            Content::Row(table, row) => return table.read(*row).map(Cow::Owned),
        };
        if let Some(reason) = regular::unusual(path) {
            return Err(reason);
        }
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|mut file| {
                file.seek(SeekFrom::Start(start))?;
                file.take(limit.min(size)).read_to_end(&mut bytes)
            })
            .map_err(|error| format!("cannot be read: {error}"))?;
        Ok(Cow::Owned(bytes))
    }
}

/// See [`ImageFile::ends`]: of `size` bytes from `start` on, or of all.
pub(crate) fn ends(path: &Path, start: u64, size: Option<u64>) -> io::Result<String> {
    let mut file = regular::open(path)?;
    let size = match size {
        Some(size) => size,
        None => file.metadata()?.len(),
    };
    let mut hash = Sha256::new();
    let first = size.min(END);
    for (from, length) in [
        (0, first),
        (size - first.min(size - first), first.min(size - first)),
    ] {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start + from))?;
        (&mut file).take(length).read_to_end(&mut bytes)?;
        hash.update(&bytes);
    }
    let mut digits = hex(hash);
    digits.truncate(16);
    Ok(digits)
}

/// What the start of a file tells of the picture, where that is all: of 8 bits per channel, without alpha, in a
/// format whose header says how many frames there are.
fn inspect(header: &[u8]) -> Option<([usize; 3], Losses)> {
    let (width, height) = dimensions(header).ok()?;
    let (decoder, format) = decoder(header).ok()?;
    let channels = match decoder.color_type() {
        ColorType::L8 => 1,
        ColorType::Rgb8 => 3,
        _ => return None,
    };
    let tells = match format {
        ImageFormat::Jpeg => jpeg::frame(header).is_some(),
        format => matches!(
            format,
            ImageFormat::Png | ImageFormat::WebP | ImageFormat::Bmp
        ),
    };
    tells.then(|| ([height, width, channels], losses_of(header, format)))
}

/// Height, width and channels.
pub(crate) fn shape_of(image: &DynamicImage) -> [usize; 3] {
    let channels = usize::from(image.color().channel_count());
    [image.height() as usize, image.width() as usize, channels]
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
fn decoder(bytes: &[u8]) -> Result<(impl ImageDecoder, ImageFormat), Reason> {
    let describe = |error: image::ImageError| error.to_string();
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    let Some(format) = reader.format() else {
        return Err(format!("is no {KNOWN}"));
    };
    if format == ImageFormat::Jpeg
        && let Some(refusal) = jpeg::frame(bytes).and_then(|frame| frame.refusal())
    {
        return Err(refusal);
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

fn raster(image: RgbImage, losses: Losses, channels: usize) -> Raster {
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
        losses,
    }
}
