//! Event files for TensorBoard: records of protocol buffers, each with its length and checksums.
//!
//! A record is the length (8 bytes, little-endian), a masked CRC-32C of these bytes, an `Event`, a masked CRC-32C
//! of it. Of the messages (`tensorflow/core/util/event.proto`, `framework/summary.proto`) there are few fields to
//! write, and they never change: no compiler of theirs is worth its weight here.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::log::{TrainEntry, ValidEntry};

/// Writes events of a run.
#[derive(Debug)]
pub struct EventWriter(File);

impl EventWriter {
    /// Begins a file in `folder`, which is made. What other files there say from `step` on is not shown any more:
    /// the run goes on from there.
    ///
    /// # Errors
    /// What the file system returned.
    pub fn create(folder: &Path, step: u64) -> io::Result<Self> {
        const START: u64 = 1;
        fs::create_dir_all(folder)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.unwrap_or_default();
        // TensorBoard looks for these names, and takes them in their order.
        let name = format!(
            "events.out.tfevents.{:010}.{:09}.{}.vdvae",
            since.as_secs(),
            since.subsec_nanos(),
            std::process::id()
        );
        let mut writer = Self(File::create(folder.join(name))?);
        writer.event(0, &Message::default().text(3, "brain.Event:2"))?;
        let session = Message::default().number(1, START);
        writer.event(step + 1, &Message::default().message(7, &session))?;
        Ok(writer)
    }

    /// An interval of training.
    ///
    /// # Errors
    /// What the file system returned.
    pub fn interval(&mut self, entry: &TrainEntry) -> io::Result<()> {
        let losses = [
            ("train/bits_per_dim", entry.elbo_bits_per_dim),
            ("train/distortion", entry.distortion_bits_per_dim),
            ("train/rate", entry.rate_bits_per_dim),
            ("train/gradient_norm", entry.max_gradient_norm),
            ("train/learning_rate", Some(entry.learning_rate)),
            ("train/skipped_updates", Some(entry.skipped_updates as f64)),
            ("train/images_per_second", Some(entry.images_per_second)),
        ];
        let terms = entry.terms.iter();
        let terms: Vec<_> = terms
            .map(|(name, &term)| (format!("train/{name}"), term))
            .collect();
        let losses = losses
            .into_iter()
            .filter_map(|(tag, number)| Some((tag, number?)));
        let terms = terms.iter().map(|(tag, term)| (tag.as_str(), *term));
        self.scalars(entry.step, &losses.chain(terms).collect::<Vec<_>>())
    }

    /// An evaluation of the averaged weights.
    ///
    /// # Errors
    /// What the file system returned.
    pub fn validation(&mut self, entry: &ValidEntry) -> io::Result<()> {
        let losses = [
            ("valid/bits_per_dim", entry.bits_per_dim),
            ("valid/distortion", entry.distortion_bits_per_dim),
            ("valid/rate", entry.rate_bits_per_dim),
        ];
        self.scalars(entry.step, &losses)
    }

    /// Numbers at a step, by their tags.
    fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> io::Result<()> {
        let summary = scalars
            .iter()
            .fold(Message::default(), |summary, (tag, number)| {
                let value = Message::default().text(1, tag).float(2, *number as f32);
                summary.message(1, &value)
            });
        self.event(step, &Message::default().message(5, &summary))
    }

    /// A PNG file at a step.
    ///
    /// # Errors
    /// What the file system returned.
    pub fn picture(&mut self, step: u64, tag: &str, png: &[u8]) -> io::Result<()> {
        const RGB: u64 = 3;
        // The header's first chunk begins with width and height.
        let side = |at: usize| {
            let bytes = png.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            u64::from(bytes.map_or(0, u32::from_be_bytes))
        };
        let image = Message::default()
            .number(1, side(20))
            .number(2, side(16))
            .number(3, RGB)
            .bytes(4, png);
        let value = Message::default().text(1, tag).message(4, &image);
        let summary = Message::default().message(1, &value);
        self.event(step, &Message::default().message(5, &summary))
    }

    /// A record of an `Event` with these fields, beside its time and step.
    fn event(&mut self, step: u64, fields: &Message) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = now.unwrap_or_default().as_secs_f64();
        let mut event = Message::default().double(1, seconds).number(2, step);
        event.0.extend(&fields.0);
        let length = (event.0.len() as u64).to_le_bytes();
        let record = [
            &length[..],
            &masked(&length).to_le_bytes(),
            &event.0,
            &masked(&event.0).to_le_bytes(),
        ];
        // In one piece, so that whoever reads meanwhile seldom finds a part.
        self.0.write_all(&record.concat())
    }
}

/// The checksum of a record, which is turned and shifted, as records may hold records.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

/// A message of protocol buffers: fields with their numbers and kinds.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(mut self, field: u8, number: u64) -> Self {
        self.0.push(field << 3);
        self.varint(number);
        self
    }

    fn double(mut self, field: u8, number: f64) -> Self {
        self.0.push(field << 3 | 1);
        self.0.extend(number.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u8, bytes: &[u8]) -> Self {
        self.0.push(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn text(self, field: u8, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u8, message: &Message) -> Self {
        self.bytes(field, &message.0)
    }

    fn float(mut self, field: u8, number: f32) -> Self {
        self.0.push(field << 3 | 5);
        self.0.extend(number.to_le_bytes());
        self
    }

    /// Seven bits a byte, the lowest first; the eighth says that more follow.
    fn varint(&mut self, mut number: u64) {
        while number >= 128 {
            self.0.push(number as u8 | 128);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a file, checksums compared, without their times.
    fn events(file: &[u8]) -> Vec<Vec<u8>> {
        let mut rest = file;
        let mut events = Vec::new();
        while !rest.is_empty() {
            let (length, after) = rest.split_at(8);
            let count = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            assert_eq!(after[..4], masked(length).to_le_bytes());
            let event = &after[4..4 + count];
            assert_eq!(after[4 + count..8 + count], masked(event).to_le_bytes());
            assert_eq!(event[0], 0o11, "the time comes first");
            events.push(event[9..].to_vec());
            rest = &after[8 + count..];
        }
        events
    }

    #[test]
    fn records_are_what_tensorboard_reads() {
        // The masked checksum of a length of 24, as in every file of TensorFlow's that begins with such an event.
        assert_eq!(masked(&24_u64.to_le_bytes()), 0x224b_7fa3);
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), 6).unwrap();
        writer
            .scalars(300, &[("loss", 1.5), ("rate", 0.25)])
            .unwrap();
        let mut png = vec![0; 24];
        png[16..24].copy_from_slice(&[0, 0, 0, 7, 0, 0, 1, 0]);
        writer.picture(8, "samples", &png).unwrap();
        let mut files = fs::read_dir(folder.path()).unwrap();
        let path = files.next().unwrap().unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("events.out.tfevents."), "{name}");
        let events = events(&fs::read(path).unwrap());
        assert_eq!(events[0], b"\x10\x00\x1a\x0dbrain.Event:2");
        assert_eq!(events[1], b"\x10\x07\x3a\x02\x08\x01");
        assert_eq!(
            events[2],
            b"\x10\xac\x02\x2a\x1a\x0a\x0b\x0a\x04loss\x15\x00\x00\xc0\x3f\x0a\x0b\x0a\x04rate\x15\x00\x00\x80\x3e"
        );
        let picture =
            b"\x10\x08\x2a\x2e\x0a\x2c\x0a\x07samples\x22\x21\x08\x80\x02\x10\x07\x18\x03\x22\x18";
        assert_eq!(events[3], [&picture[..], &png].concat());
    }
}
