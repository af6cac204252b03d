//! The encoders of general formats: the reference ones where they are installed, else those in the program.

use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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

/// So long may a program work on one image.
const AN_IMAGE: Duration = Duration::from_secs(120);
/// So long may it take to tell its version.
const A_VERSION: Duration = Duration::from_secs(20);
/// So much of what it says is looked at, in bytes.
const SAID: u64 = 1 << 12;

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

/// What became of an image.
#[derive(Debug, PartialEq, Eq)]
pub enum Encoded {
    /// A file of so many bytes.
    Len(u64),
    /// The encoder in the program does not take it.
    Refused,
    /// A program made no file: why.
    Failed(String),
    /// A program was ended, as it took too long: after how long.
    GivenUp(String),
}

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
    name: String,
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

    /// The name of the program, or nothing of what is built in.
    pub fn program(&self) -> Option<&str> {
        self.tool.as_ref().map(|tool| &*tool.name)
    }

    /// What is built in, for a program that does not work.
    pub fn in_place_of(format: Format, program: &str) -> Self {
        let built_in = Self::built_in(format);
        let (encoder, _) = built_in.settings.split_once(';').unwrap_or_default();
        Self {
            settings: format!("{encoder}, as {program} failed"),
            ..built_in
        }
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

    /// The program if it is there.
    fn installed(
        &(format, name, version, options): &(Format, &str, &str, &'static [&'static str]),
        path: &std::ffi::OsStr,
    ) -> Option<Self> {
        let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
        let mut programs = folders.map(|folder| folder.join(&name));
        let program = programs.find(|program| program.is_file())?;
        let mut command = Command::new(&program);
        command.arg(version).stderr(Stdio::null());
        let version = version_of(&mut command).unwrap_or_else(|| "of no version".to_owned());
        Some(Self {
            format,
            settings: format!("{name} {} ({version})", options.join(" ")),
            tool: Some(Tool {
                name,
                program,
                options,
            }),
        })
    }

    /// Bytes of the file that it makes of `pixels` [height, width, channels], channels being 1 or 3. Programs work in `folder`, on files that begin with `name`.
    ///
    /// # Errors
    /// If a file for a program cannot be written.
    pub fn encoded_len(
        &self,
        pixels: &[u8],
        shape: [usize; 3],
        folder: &Path,
        name: &str,
    ) -> Result<Encoded> {
        let Some(tool) = &self.tool else {
            let file = encode(self.format, pixels, shape);
            return Ok(file.map_or(Encoded::Refused, |file| Encoded::Len(file.len() as u64)));
        };
        let Some(png) = encode(Format::Png, pixels, shape) else {
            return Ok(Encoded::Refused);
        };
        let files = ["png", "out", "err"].map(|end| folder.join(format!("{name}.{end}")));
        let [input, output, said] = &files;
        let written = |path: &Path| format!("{}: cannot be written", path.display());
        fs::write(input, png).with_context(|| written(input))?;
        let errors = File::create(said).with_context(|| written(said))?;
        let mut command = Command::new(&tool.program);
        match self.format {
            Format::JpegXl => command.args([input, output]).args(tool.options),
            _ => command.args(tool.options).arg(input).arg("-o").arg(output),
        };
        command.stdout(Stdio::null()).stderr(errors);
        let encoded = match ended(&mut command, AN_IMAGE) {
            Err(error) => Encoded::Failed(error.to_string()),
            Ok(None) => Encoded::GivenUp(format!("no file after {} s", AN_IMAGE.as_secs())),
            Ok(Some((status, _))) if !status.success() => {
                let said = File::open(said).map(first_line).unwrap_or_default();
                let colon = if said.is_empty() { "" } else { ": " };
                Encoded::Failed(format!("{status}{colon}{said}"))
            }
            Ok(Some(_)) => match fs::metadata(output) {
                Ok(file) => Encoded::Len(file.len()),
                Err(_) => Encoded::Failed("it made no file".to_owned()),
            },
        };
        // Whoever made the folder removes it; what is left until then takes room.
        for file in &files {
            let _ = fs::remove_file(file);
        }
        Ok(encoded)
    }
}

/// Runs a program to its end; nothing if it took longer than `limit`, and was ended.
///
/// # Errors
/// If it cannot be started.
fn ended(command: &mut Command, limit: Duration) -> io::Result<Option<(ExitStatus, Child)>> {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some((status, child)));
        }
        if start.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        // Short beside the time that an image takes.
        thread::sleep(Duration::from_millis(1));
    }
}

/// The first line that a program writes.
fn version_of(command: &mut Command) -> Option<String> {
    let (_, child) = ended(command.stdout(Stdio::piped()), A_VERSION).ok()??;
    let version = first_line(child.stdout?);
    (!version.is_empty()).then_some(version)
}

fn first_line(text: impl Read) -> String {
    let mut bytes = Vec::new();
    // What cannot be read is not told.
    let _ = text.take(SAID).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines().map(str::trim);
    lines
        .find(|line| !line.is_empty())
        .unwrap_or_default()
        .to_owned()
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_given_up() {
        let mut sleep = Command::new("sleep");
        let found = ended(sleep.arg("600"), Duration::from_millis(20));
        assert!(found.expect("started").is_none());
        let found = ended(&mut Command::new("true"), AN_IMAGE);
        assert!(
            found
                .expect("started")
                .is_some_and(|(status, _)| status.success())
        );
    }
}
