//! The program under test, a model so small that it trains in a tenth of a second, and its images.

pub mod toy;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

/// Side of the tiny model's images.
pub const SIDE: usize = 8;
/// Images in `images.npy`: 62 for training, 4 for validation, 4 for test.
pub const IMAGES: usize = 70;
/// Bytes of an RGB image.
pub const RGB: usize = 3 * SIDE * SIDE;

/// `tiny.toml`.
pub const TINY: &str = r#"
[model]
image_size = 8
width = 16
zdim = 2
enc_blocks = "8x1,8d2,4d4,1x1"
dec_blocks = "1x1,4m1,8m4"
num_mixtures = 2

[data]
source = "npy:images.npy"

[train]
n_batch = 4
steps = 6
lr = 1e-3
warmup_iters = 2
ema_rate = 0.9
log_every = 2
eval_every = 4
sample_every = 0
save_every = 3
"#;

/// A folder to work in.
pub struct Lab(TempDir);

impl Lab {
    /// With `tiny.toml` and `images.npy`.
    pub fn new() -> Self {
        let lab = Self(tempfile::tempdir().expect("a temporary folder"));
        lab.write("tiny.toml", TINY);
        lab.write(
            "images.npy",
            npy(&[IMAGES, SIDE, SIDE, 3], &images(IMAGES, RGB)),
        );
        lab
    }

    /// Also with `run`, six steps of the tiny model.
    pub fn trained() -> Self {
        let lab = Self::new();
        lab.train("--out run").succeeds();
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes a file, in new folders where need be.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    }

    /// Writes a PNG of `width` x `height` pixels.
    pub fn write_picture(&self, name: &str, width: u32, height: u32) {
        self.write(name, "");
        let pixel = |x, y| image::Rgb([(9 * x) as u8, (5 * y) as u8, 77]);
        image::RgbImage::from_fn(width, height, pixel)
            .save(self.path(name))
            .expect("written");
    }

    /// The program with `arguments`, separated by spaces, in this folder.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vdvae"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &str) -> Finished {
        let output = self
            .command(arguments)
            .output()
            .expect("the program starts");
        Finished::new(arguments, &output)
    }

    /// Trains the tiny model.
    pub fn train(&self, arguments: &str) -> Finished {
        self.run(&format!("train --config tiny.toml {arguments}"))
    }
}

/// A program that came to its end.
#[derive(Debug)]
pub struct Finished {
    #[expect(dead_code, reason = "told with the rest when a test fails")]
    pub arguments: String,
    /// Nothing if a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Finished {
    pub fn new(arguments: &str, output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Self {
            arguments: arguments.to_owned(),
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Ended with this code and, last of all, a message that has all `parts`.
    #[track_caller]
    pub fn fails(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.err.contains("panicked"), "{self:#?}");
        assert_eq!(self.out, "", "a result in spite of an error");
        let (_, message) = self.err.split_once("error: ").expect("an error message");
        for part in parts {
            assert!(message.contains(part), "no `{part}` in: {message}");
        }
        self
    }

    /// Standard error has all `parts`.
    #[track_caller]
    pub fn tells(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.err.contains(part), "no `{part}` in {self:#?}");
        }
        self
    }

    /// The one line of JSON on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert!(
            self.out.ends_with('\n') && self.out.lines().count() == 1,
            "{self:#?}"
        );
        serde_json::from_str(&self.out).expect("JSON")
    }
}

/// Images of bytes that look random and have some structure.
pub fn images(count: usize, bytes_per_image: usize) -> Vec<u8> {
    let byte = |at: usize| {
        let (image, place) = (at / bytes_per_image, at % bytes_per_image);
        let noise = (at as u32).wrapping_mul(2_654_435_761) >> 28;
        (37 * image + place + noise as usize) as u8
    };
    (0..count * bytes_per_image).map(byte).collect()
}

/// A .npy file of bytes.
pub fn npy(shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    npy_of("|u1", shape, bytes)
}

/// A .npy file of any type of elements.
pub fn npy_of(descr: &str, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let shape: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(bytes);
    file
}

/// The bytes of the array in a .npy file as the program writes it.
pub fn npy_data(file: &[u8]) -> &[u8] {
    let header = usize::from(u16::from_le_bytes([file[8], file[9]]));
    &file[10 + header..]
}

/// Every tensor of a checkpoint.
pub fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    file.iter()
        .map(|(name, view)| (name.to_owned(), view.data().to_vec()))
        .collect()
}

/// The numbers of a tensor.
pub fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}

/// Weights, moments and averages of two runs are equal to the bit.
#[track_caller]
pub fn assert_same_state(a: &Path, b: &Path) {
    let [a, b] = [a, b].map(|run| tensors(&run.join("checkpoints/latest.safetensors")));
    assert!(a.len() > 20, "weights, moments and averages");
    assert!(a.keys().eq(b.keys()));
    for (name, values) in &a {
        assert!(*values == b[name], "{name} differs");
    }
}

/// A run's log: JSON in every line, and for each kind of event steps that grow.
#[track_caller]
pub fn log_steps(run: &Path) -> BTreeMap<String, Vec<u64>> {
    let text = fs::read_to_string(run.join("log.jsonl")).expect("a log");
    assert!(text.ends_with('\n'), "the last line is whole");
    let mut steps: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line).expect("JSON");
        let event = entry["event"].as_str().expect("a kind of event").to_owned();
        steps
            .entry(event)
            .or_default()
            .push(entry["step"].as_u64().expect("a step"));
    }
    for (event, steps) in &steps {
        assert!(steps.is_sorted_by(|a, b| a < b), "{event}: {steps:?}");
    }
    steps
}
