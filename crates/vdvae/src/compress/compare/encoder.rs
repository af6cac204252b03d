//! The encoders of general formats: the reference ones where they are installed, else those in the program.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};
use serde::Serialize;
use zune_core::bit_depth::BitDepth;
use zune_core::colorspace::ColorSpace;
use zune_core::options::EncoderOptions;
use zune_jpegxl::JxlSimpleEncoder;

/// A lossless format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// PNG.
    Png,
    /// WebP, lossless.
    Webp,
    /// JPEG XL, lossless.
    JpegXl,
}

impl Format {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Webp => "WebP",
            Self::JpegXl => "JPEG XL",
        }
    }
}

/// Reference encoders, and the settings they are compared with: lossless, at their default and their highest effort
/// where those differ in kind.
const TOOLS: [(Format, &str, &str, &[&str]); 3] = [
    (
        Format::Webp,
        "cwebp",
        "-version",
        &["-lossless", "-z", "9", "-exact", "-quiet"],
    ),
    (
        Format::JpegXl,
        "cjxl",
        "--version",
        &["-d", "0", "-e", "7", "--quiet"],
    ),
    (
        Format::JpegXl,
        "cjxl",
        "--version",
        &["-d", "0", "-e", "9", "--quiet"],
    ),
];

/// Something that makes files of one format.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// What it makes.
    pub format: Format,
    /// Which it is, in which version, with which settings.
    pub settings: String,
    /// A program, or (`None`) what is built in.
    tool: Option<Tool>,
}

#[derive(Clone, Debug)]
struct Tool {
    program: PathBuf,
    options: &'static [&'static str],
}

impl Encoder {
    /// All that images are compared with: of each format those that `path`, a list of folders such as the
    /// environment variable PATH, has, else the one in the program.
    pub fn all(path: &std::ffi::OsStr) -> Vec<Self> {
        let mut all = vec![Self::built_in(Format::Png)];
        for format in [Format::Webp, Format::JpegXl] {
            let tools = TOOLS.iter().filter(|tool| tool.0 == format);
            let before = all.len();
            all.extend(tools.filter_map(|tool| Self::installed(tool, path)));
            if all.len() == before {
                all.push(Self::built_in(format));
            }
        }
        all
    }

    fn built_in(format: Format) -> Self {
        let settings = match format {
            Format::Png => "built in: image, best compression, adaptive filters",
            Format::Webp => {
                "built in: image-webp, a fast encoder; cwebp on the path would make smaller files"
            }
            Format::JpegXl => {
                "built in: zune-jpegxl, a fast encoder; cjxl on the path would make smaller files"
            }
        };
        Self {
            format,
            settings: settings.to_owned(),
            tool: None,
        }
    }

    /// The program if it is there and runs.
    fn installed(
        &(format, name, version, options): &(Format, &str, &str, &'static [&'static str]),
        path: &std::ffi::OsStr,
    ) -> Option<Self> {
        let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
        let mut programs = folders.map(|folder| folder.join(&name));
        let program = programs.find(|program| program.is_file())?;
        let output = Command::new(&program)
            .arg(version)
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.lines().next().unwrap_or_default().trim();
        Some(Self {
            format,
            settings: format!("{name} {} ({version})", options.join(" ")),
            tool: Some(Tool { program, options }),
        })
    }

    /// Bytes of the file that it makes of `pixels` [height, width, channels], channels being 1 or 3; `None` if it
    /// refuses them. Programs work in `folder`, on files that begin with `name`.
    ///
    /// # Errors
    /// If a file for a program cannot be written.
    pub fn encoded_len(
        &self,
        pixels: &[u8],
        shape: [usize; 3],
        folder: &Path,
        name: &str,
    ) -> Result<Option<u64>> {
        let Some(tool) = &self.tool else {
            let file = encode(self.format, pixels, shape);
            return Ok(file.map(|file| file.len() as u64));
        };
        let Some(png) = encode(Format::Png, pixels, shape) else {
            return Ok(None);
        };
        let [input, output] = ["png", "out"].map(|end| folder.join(format!("{name}.{end}")));
        fs::write(&input, png)
            .with_context(|| format!("{}: cannot be written", input.display()))?;
        let mut command = Command::new(&tool.program);
        match self.format {
            Format::JpegXl => command.args([&input, &output]).args(tool.options),
            _ => command
                .args(tool.options)
                .arg(&input)
                .arg("-o")
                .arg(&output),
        };
        let silent = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let made = silent.status().is_ok_and(|status| status.success());
        let len = fs::metadata(&output).map(|file| file.len()).ok();
        // Whoever made the folder removes it; what is left until then takes room.
        let _ = fs::remove_file(&input);
        let _ = fs::remove_file(&output);
        Ok(len.filter(|_| made))
    }
}

/// A file of `pixels` by an encoder in the program; `None` if it refuses them.
pub(super) fn encode(format: Format, pixels: &[u8], shape: [usize; 3]) -> Option<Vec<u8>> {
    let [height, width, channels] = shape;
    let [rows, columns] = [height, width].map(u32::try_from);
    let (rows, columns) = (rows.ok()?, columns.ok()?);
    let color = if channels == 1 {
        ExtendedColorType::L8
    } else {
        ExtendedColorType::Rgb8
    };
    let mut file = Cursor::new(Vec::new());
    match format {
        Format::Png => {
            PngEncoder::new_with_quality(&mut file, CompressionType::Best, FilterType::Adaptive)
                .write_image(pixels, columns, rows, color)
                .ok()?;
        }
        Format::Webp => WebPEncoder::new_lossless(&mut file)
            .write_image(pixels, columns, rows, color)
            .ok()?,
        Format::JpegXl => {
            let color = if channels == 1 {
                ColorSpace::Luma
            } else {
                ColorSpace::RGB
            };
            let options = EncoderOptions::new(width, height, color, BitDepth::Eight)
                .set_effort(127)
                .set_num_threads(1);
            JxlSimpleEncoder::new(pixels, options)
                .encode(&mut file)
                .ok()?;
        }
    }
    Some(file.into_inner())
}
