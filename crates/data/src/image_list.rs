//! The images that a run was begun with, and the split of each: what it goes by for the rest of its life.

use std::collections::HashMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::rng::ItemRng;
use crate::split::Split;

/// So many images of an array are looked at to know it again.
const SAMPLED: usize = 64;

/// What the columns are where files are known by their ends, too; lists of before have no such line.
const FIELDS: &str = "# fields split bytes ends name";

const TITLE: &str = "# The images of this run and the split of each, as they were when it began";

/// What is known of one image, or of all images of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// For a file, that which it is in; nothing if it is in none. For an array, of which its images are.
    pub split: Option<Split>,
    /// Bytes of a file; images of an array.
    pub size: u64,
    /// Of a file, what [`ImageFile::ends`](crate::image_file::ImageFile::ends) tells; nothing in lists of before it was
    /// kept, and of arrays, which are known by their names.
    pub ends: Option<String>,
    /// Path below the source's folder, with `/`; for an array, a hash of some of its images.
    pub name: String,
}

/// The images of a source by name and size, with their splits; of arrays, how many and a hash of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageList {
    /// The kind of source, such as `folder`.
    pub(crate) kind: String,
    pub(crate) entries: Vec<Entry>,
}

impl ImageList {
    /// A line per image under a SHA-256 of them all: split, bytes, ends where they are known of any, name.
    pub fn to_text(&self) -> String {
        let mut lines = String::new();
        let with_ends = self.entries.iter().any(|entry| entry.ends.is_some());
        for entry in &self.entries {
            let split = entry.split;
            let split = split.map_or("none".to_owned(), |split| split.to_string());
            let ends = match &entry.ends {
                _ if !with_ends => String::new(),
                None => "-\t".to_owned(),
                Some(ends) => format!("{ends}\t"),
            };
            let (size, name) = (entry.size, escaped(&entry.name));
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{split}\t{size}\t{ends}{name}");
        }
        let (kind, hash) = (&self.kind, self.hash(&lines, with_ends));
        let fields = if with_ends {
            format!("{FIELDS}\n")
        } else {
            String::new()
        };
        format!("{TITLE}\n# source {kind}\n{fields}# sha256 {hash}\n{lines}")
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    ///
    /// # Errors
    /// [`DataError::Format`] at `place` if that is not all or has been changed.
    pub fn from_text(text: &str, place: &str) -> Result<Self, DataError> {
        let damaged = |found: &str| {
            let expected = "a list of images as training wrote it";
            let remedy = "Put the file back as it was; without it, the split is drawn anew";
            DataError::mismatch(place, "contents", expected, found, remedy)
        };
        let (with_ends, parts) = match text.split_once(&format!("\n{FIELDS}\n")) {
            Some((start, rest)) => (true, [start, rest].join("\n")),
            None => (false, text.to_owned()),
        };
        let mut parts = parts.splitn(4, '\n');
        let (_, kind) = (parts.next(), parts.next());
        let kind = kind.and_then(|line| line.strip_prefix("# source "));
        let hash = parts.next().and_then(|line| line.strip_prefix("# sha256 "));
        let (Some(kind), Some(hash), Some(lines)) = (kind, hash, parts.next()) else {
            return Err(damaged("something else"));
        };
        let entry = |line: &str| {
            let mut fields = line.splitn(if with_ends { 4 } else { 3 }, '\t');
            let split = match fields.next()? {
                "none" => None,
                split => Some(split.parse().ok()?),
            };
            let size = fields.next()?.parse().ok()?;
            let ends = if with_ends { fields.next() } else { None };
            Some(Entry {
                split,
                size,
                ends: ends.filter(|ends| *ends != "-").map(str::to_owned),
                name: unescaped(fields.next()?),
            })
        };
        let entries: Option<Vec<Entry>> = lines.lines().map(entry).collect();
        let list = Self {
            kind: kind.to_owned(),
            entries: entries.ok_or_else(|| damaged("a line that is none of it"))?,
        };
        match list.hash(lines, with_ends) == hash {
            true => Ok(list),
            false => Err(damaged("lines that do not match their SHA-256")),
        }
    }

    /// Adds the files of `before` that are not among these, so that they keep their split should they come back.
    pub fn keep_missing(&mut self, before: &Self) {
        let known = self.by_name();
        let entries = before.entries.iter();
        let missing: Vec<Entry> = entries
            .filter(|entry| !known.contains_key(&*entry.name))
            .cloned()
            .collect();
        self.entries.extend(missing);
    }

    fn hash(&self, lines: &str, with_ends: bool) -> String {
        hex(Sha256::new()
            .chain_update(&self.kind)
            .chain_update(if with_ends { " ends\n" } else { "\n" })
            .chain_update(lines))
    }

    /// Entries by name.
    pub(crate) fn by_name(&self) -> HashMap<&str, &Entry> {
        let entries = self.entries.iter();
        entries.map(|entry| (&*entry.name, entry)).collect()
    }
}

/// An array, of which `dataset` is the images of `split`.
///
/// # Errors
/// If an image cannot be read.
pub(crate) fn array_entry(split: Split, dataset: &dyn Dataset) -> Result<Entry, DataError> {
    let images = dataset.len();
    let sampled = images.min(SAMPLED);
    let mut hash = Sha256::new().chain_update(dataset.image().to_string());
    let mut pixels = vec![0; dataset.image().len()];
    for index in (0..sampled).map(|sample| sample * images / sampled) {
        let mut rng = ItemRng::for_item(0, index as u64);
        dataset.read(index, &mut rng, &mut pixels)?;
        hash.update(&pixels);
    }
    Ok(Entry {
        split: Some(split),
        size: images as u64,
        ends: None,
        name: hex(hash),
    })
}

pub(crate) fn hex(hash: Sha256) -> String {
    let bytes = hash.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name in one line.
fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}

fn unescaped(name: &str) -> String {
    let mut out = String::new();
    let mut letters = name.chars();
    while let Some(letter) = letters.next() {
        out.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                other => other.unwrap_or('\\'),
            },
            letter => letter,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> ImageList {
        let entry = |split, size, name: &str| Entry {
            split,
            size,
            ends: None,
            name: name.to_owned(),
        };
        ImageList {
            kind: "folder".to_owned(),
            entries: vec![
                entry(Some(Split::Train), 17, "cats/a b\tc.png"),
                entry(Some(Split::Test), 0, "new\nline\\n.png"),
                entry(None, 1 << 40, "é.png"),
            ],
        }
    }

    /// With what is known of files now.
    fn list_with_ends() -> ImageList {
        let mut list = list();
        list.entries[0].ends = Some("0123456789abcdef".to_owned());
        list
    }

    #[test]
    fn lists_are_read_as_they_are_written() {
        for list in [list(), list_with_ends()] {
            assert_eq!(ImageList::from_text(&list.to_text(), "here").unwrap(), list);
        }
        let text = list_with_ends().to_text();
        assert_eq!(text.lines().count(), 7, "{text}");
        assert!(text.contains("train\t17\t0123456789abcdef\tcats/a b\tc.png\n"));
        assert!(text.contains("test\t0\t-\tnew"));
    }

    #[test]
    fn lists_of_before_are_read() {
        let hash = "85fe047b60ea1d89ff4e15c2fd4065bec5a3fbca8327449e7f268563af6fad12";
        let old = format!(
            "{TITLE}\n# source folder\n# sha256 {hash}\ntrain\t17\tcats/a b\tc.png\n\
             test\t0\tnew\\nline\\\\n.png\nnone\t1099511627776\té.png\n"
        );
        assert_eq!(ImageList::from_text(&old, "here").unwrap(), list());
    }

    #[test]
    fn a_list_that_was_changed_or_cut_is_refused() {
        let text = list_with_ends().to_text();
        for damaged in [
            text.replace("train", "test"),
            text.replace("17", "18"),
            text.replace("folder", "crops"),
            text.replace("train\t", "trains\t"),
            text.replace("abcdef", "abcdee"),
            text.replace(&format!("{FIELDS}\n"), ""),
            text[..text.len() - 1].to_owned(),
            text.lines().take(5).collect::<Vec<_>>().join("\n"),
            String::new(),
        ] {
            let error = ImageList::from_text(&damaged, "here").unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with("here: contents"), "{error}");
        }
    }
}
