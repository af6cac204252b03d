//! Several files in one argument: `train-{000..146}.tar`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::DataError;

/// The files that `pattern` means, sorted: one file, all with this ending in a folder, or those that match a pattern
/// such as `train-{000..146}.tar` or `train-*.tar`.
///
/// # Errors
/// [`DataError::Empty`] if there are none, [`DataError::Format`] if two have the same name.
pub(crate) fn files(pattern: &Path, ending: &str) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    if pattern.is_dir() {
        found = matching(pattern, &format!("*.{ending}"))?;
    } else {
        for path in braces(&pattern.to_string_lossy()) {
            let path = PathBuf::from(path);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.contains(['*', '?']) {
                found.push(path);
                continue;
            }
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            found.extend(matching(folder, &name)?);
        }
    }
    if found.is_empty() {
        return Err(DataError::Empty {
            place: pattern.display().to_string(),
            expected: format!("{ending} files"),
            remedy: format!(
                "Give a .{ending} file, a folder of them, or a pattern such as train-{{000..146}}.{ending}"
            ),
        });
    }
    found.sort_unstable();
    found.dedup();
    let mut names = BTreeMap::new();
    for path in &found {
        if let Some(other) = names.insert(path.file_name(), path) {
            let place = pattern.display().to_string();
            let both = format!("{} and {}", other.display(), path.display());
            let remedy = "Rename one: a run knows its images by the names of their files";
            return Err(DataError::mismatch(
                &place,
                "shards",
                "files of different names",
                both,
                remedy,
            ));
        }
    }
    Ok(found)
}

/// The files in `folder` whose names match `pattern`.
fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::io("read folder", folder))? {
        let path = entry.map_err(DataError::io("read folder", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if matches(pattern.as_bytes(), name.as_bytes()) && path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Whether a name matches a pattern: `?` is any byte, `*` any number of them.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
        Some((letter, rest)) => name.split_first().is_some_and(|(found, name)| {
            (*letter == b'?' || letter == found) && matches(rest, name)
        }),
    }
}

/// All that `{000..012}` and `{a,b}` in a path stand for.
fn braces(path: &str) -> Vec<String> {
    let inner = path
        .split_once('{')
        .and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    let Some((before, (inside, after))) = inner else {
        return vec![path.to_owned()];
    };
    let choices: Vec<String> = match inside.split_once("..") {
        Some((first, last)) => match (first.parse::<u32>(), last.parse::<u32>()) {
            (Ok(from), Ok(to)) => {
                let width = first.len();
                (from..=to)
                    .map(|number| format!("{number:0width$}"))
                    .collect()
            }
            _ => return vec![path.to_owned()],
        },
        None => inside.split(',').map(str::to_owned).collect(),
    };
    let after = braces(after);
    let joined = |choice: &String| {
        let start = format!("{before}{choice}");
        after
            .iter()
            .map(move |end| format!("{start}{end}"))
            .collect::<Vec<_>>()
    };
    choices.iter().flat_map(joined).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_names() {
        assert_eq!(
            braces("a-{08..10}.tar"),
            ["a-08.tar", "a-09.tar", "a-10.tar"]
        );
        assert_eq!(braces("{a,b}/{1..2}"), ["a/1", "a/2", "b/1", "b/2"]);
        assert_eq!(braces("a{b"), ["a{b"]);
        assert_eq!(braces("{a..b}"), ["{a..b}"]);
        for (pattern, name, does) in [
            ("*.tar", "a.tar", true),
            ("*.tar", "a.tar.gz", false),
            ("train-?.tar", "train-1.tar", true),
            ("train-?.tar", "train-12.tar", false),
            ("*a*b", "xaxbxb", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                does,
                "{pattern} {name}"
            );
        }
    }
}
