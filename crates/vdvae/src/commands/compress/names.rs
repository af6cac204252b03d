//! What files are called in an archive: distinct names, as short as that lets them be.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use vdvae_coding::container::check_name;
use vdvae_data::{PassedOver, look_through};

/// A file that is to be compressed.
pub struct NamedFile {
    pub path: PathBuf,
    /// In the archive, ending as `.png`.
    pub name: PathBuf,
}

/// What was given.
#[derive(Default)]
pub struct Given {
    /// Each once.
    pub files: Vec<NamedFile>,
    /// Of each folder, the files that are no images that are read.
    pub passed_over: Vec<PassedOver>,
    /// Files that were given again.
    pub repeated: Vec<String>,
}

/// A file on its way to a name.
struct Named {
    file: PathBuf,
    /// The parts of its path.
    parts: Vec<OsString>,
    /// So many of them, the last ones, are its name.
    shown: usize,
    /// Whether the name keeps its ending before `.png`.
    keeps_ending: bool,
}

/// Every file that is given, and those in the folders, with its name in the archive: the file's own, below a folder
/// that was given the folder's name and what follows, and with `.png` for its ending, as that is what
/// decompression writes.
///
/// A file that is given again, by whatever path, is taken once. A link to a file is another one, as it has
/// another name.
///
/// Files whose names would be the same get more: their ending (`0000.jpg.png` beside `0000.png`), or more of the
/// path (`a/0000.png` and `b/0000.png`), or numbers.
///
/// # Errors
/// If a folder cannot be read.
pub fn named_files(paths: &[PathBuf]) -> Result<Given> {
    let mut all = Vec::new();
    let mut given = Given::default();
    for path in paths {
        if path.is_dir() {
            let folder = parts(path)?;
            let found = look_through(path)?;
            given.passed_over.push(found.passed_over);
            for file in found.images {
                let below = file.strip_prefix(path).unwrap_or(&file);
                let below: Vec<OsString> = below.iter().map(OsString::from).collect();
                all.push(Named {
                    parts: [&folder[..], &below].concat(),
                    shown: below.len() + usize::from(!folder.is_empty()),
                    keeps_ending: false,
                    file,
                });
            }
        } else {
            all.push(Named {
                parts: parts(path)?,
                shown: 1,
                keeps_ending: false,
                file: path.clone(),
            });
        }
    }
    let mut seen = HashSet::new();
    all.retain(|named: &Named| {
        let is_new = seen.insert(place_of(&named.file));
        if !is_new {
            given.repeated.push(named.file.display().to_string());
        }
        is_new
    });
    make_distinct(&mut all);
    let mut names: Vec<PathBuf> = all.iter().map(Named::name).collect();
    number_the_same(&mut names);
    let files = all.into_iter().zip(names);
    let files = files.map(|(Named { file: path, .. }, name)| NamedFile { path, name });
    given.files = files.collect();
    Ok(given)
}

/// The same for every path of a file; links to it are others.
fn place_of(file: &Path) -> PathBuf {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
        return file.to_owned();
    };
    let folder = Path::new(".").join(folder);
    folder.canonicalize().unwrap_or(folder).join(name)
}

/// A name as archives have it, with `/`.
///
/// # Errors
/// If it cannot be had everywhere.
pub fn archive_name(name: &Path) -> Result<String> {
    let parts: Option<Vec<&str>> = name.iter().map(|part| part.to_str()).collect();
    let name = parts
        .context("expected UTF-8 characters; rename the file")?
        .join("/");
    check_name(&name)?;
    Ok(name)
}

/// The parts of a path as it was given, or of the real one where that does not name every folder.
fn parts(path: &Path) -> Result<Vec<OsString>> {
    let plain = |path: &Path| -> Option<Vec<OsString>> {
        let parts = path.components().map(|part| match part {
            Component::Normal(part) => Some(part.to_owned()),
            _ => None,
        });
        parts.collect()
    };
    match plain(path) {
        Some(parts) if !parts.is_empty() => Ok(parts),
        _ => {
            let real = |path: &Path| {
                path.canonicalize()
                    .with_context(|| path.display().to_string())
            };
            let whole = match (path.parent(), path.file_name()) {
                // What a link points to is called otherwise.
                (Some(folder), Some(name)) => real(&Path::new(".").join(folder))?.join(name),
                _ => real(path)?,
            };
            // Without what stands for the root.
            let parts = whole.components().filter_map(|part| match part {
                Component::Normal(part) => Some(part.to_owned()),
                _ => None,
            });
            Ok(parts.collect())
        }
    }
}

impl Named {
    fn name(&self) -> PathBuf {
        let first = self.parts.len().saturating_sub(self.shown);
        let path: PathBuf = self.parts[first..].iter().collect();
        if self.keeps_ending {
            let mut path = path.into_os_string();
            path.push(".png");
            path.into()
        } else {
            path.with_extension("png")
        }
    }

    fn ending(&self) -> String {
        let ending = self.file.extension().unwrap_or_default();
        ending.to_string_lossy().to_lowercase()
    }

    /// Lets the name be longer, if it can be.
    fn lengthen(&mut self, by_ending: bool) -> bool {
        if by_ending && !self.keeps_ending && self.ending() != "png" {
            self.keeps_ending = true;
            return true;
        }
        let can = !by_ending && self.shown < self.parts.len();
        self.shown += usize::from(can);
        can
    }
}

/// Places of equal names, in the order of the names; upper and lower case are the same, as on some disks.
fn same_names(names: &[PathBuf]) -> Vec<Vec<usize>> {
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, name) in names.iter().enumerate() {
        let name = name.to_string_lossy().to_lowercase();
        places.entry(name).or_default().push(place);
    }
    let places = places.into_values();
    places.filter(|places| places.len() > 1).collect()
}

fn make_distinct(all: &mut [Named]) {
    loop {
        let names: Vec<PathBuf> = all.iter().map(Named::name).collect();
        let mut changed = false;
        for group in same_names(&names) {
            let by_ending = group
                .iter()
                .any(|&i| all[i].ending() != all[group[0]].ending());
            for by_ending in [by_ending, false] {
                let mut longer = false;
                for &i in &group {
                    longer |= all[i].lengthen(by_ending);
                }
                changed |= longer;
                if longer {
                    break;
                }
            }
        }
        if !changed {
            return;
        }
    }
}

/// Names of one folder that differ in upper and lower case alone.
fn number_the_same(names: &mut [PathBuf]) {
    for group in same_names(names) {
        for (&place, number) in group.iter().skip(1).zip(2..) {
            let stem = names[place].file_stem().unwrap_or_default();
            let name = format!("{} ({number}).png", stem.to_string_lossy());
            names[place].set_file_name(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)]) {
        let given: Vec<PathBuf> = files.iter().map(|(file, _)| file.into()).collect();
        let names = named_files(&given).unwrap().files;
        assert_eq!(names.len(), files.len());
        for (named, (file, expected)) in names.iter().zip(files) {
            assert_eq!(named.name, Path::new(expected), "{file}");
        }
    }

    #[test]
    fn names_are_as_short_as_they_can_be_and_distinct() {
        check(&[("x/cat.jpg", "cat.png"), ("y/dog.png", "dog.png")]);
        check(&[("0.jpg", "0.jpg.png"), ("0.png", "0.png")]);
        check(&[("0.webp", "0.webp.png"), ("0.JPG", "0.JPG.png")]);
        check(&[("a/0.png", "a/0.png"), ("b/0.png", "b/0.png")]);
        check(&[("0.png", "0.png"), ("b/0.png", "b/0.png")]);
        check(&[("c/a/0.png", "c/a/0.png"), ("d/a/0.png", "d/a/0.png")]);
        check(&[("a/0.jpg", "a/0.png"), ("b/0.jpg", "b/0.png")]);
        check(&[
            ("a/0.jpg", "a/0.jpg.png"),
            ("b/0.jpg", "b/0.jpg.png"),
            ("0.png", "0.png"),
        ]);
        check(&[("A.png", "A.png"), ("a.jpg", "a.jpg.png")]);
        check(&[("A.png", "A.png"), ("a.png", "a (2).png")]);
    }

    #[test]
    fn a_file_that_is_given_again_is_taken_once() {
        let given = ["a.png", "./a.png", "src/../a.png", "b.png"].map(PathBuf::from);
        let found = named_files(&given).unwrap();
        let names: Vec<_> = found.files.iter().map(|file| &*file.name).collect();
        assert_eq!(names, [Path::new("a.png"), Path::new("b.png")]);
        assert_eq!(found.repeated, ["./a.png", "src/../a.png"]);
    }
}
