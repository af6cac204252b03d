//! Which files a path names.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::table::Table;
use crate::FormatError;

/// The file in a folder of checkpoints that tells the latest (`CheckpointState`, as text).
const STATE: &str = "checkpoint";
/// Names of files that an error tells.
const NAMED: usize = 6;

/// The files of a checkpoint.
#[derive(Debug, PartialEq)]
pub(super) enum Named {
    /// Of the newer format, whose names begin so.
    Bundle(PathBuf),
    /// Of the older format: one, or all shards.
    Tables(Vec<PathBuf>),
}

/// The files that `path` names: it is one of them, or what their names begin with, or a folder with a file that
/// tells the latest, or that file.
pub(super) fn find(path: &Path) -> Result<Named, FormatError> {
    let state = path.join(STATE);
    if state.is_file() {
        return latest(&state);
    }
    if path.file_name().is_some_and(|name| name == STATE) && path.is_file() && !Table::is_one(path)
    {
        return latest(path);
    }
    named(path)?.ok_or_else(|| {
        let (folder, start, remedy) = if path.is_dir() {
            let remedy = "Name a checkpoint by what the names of its files begin with";
            (path, String::new(), remedy)
        } else {
            let remedy = "Copy all files whose names begin so, and check the path";
            (folder_of(path), name_of(path), remedy)
        };
        let mut names = names(folder, &start);
        if names.len() > NAMED {
            names.truncate(NAMED);
            names.push("...".to_owned());
        }
        let expected = format!(
            "{}.index, a file of the older form, or a folder with a file `{STATE}`",
            path.display()
        );
        let found = match names.is_empty() {
            true => "nothing of this name".to_owned(),
            false => format!("only {}", names.join(", ")),
        };
        let place = path.display().to_string();
        FormatError::mismatch(&place, "checkpoint", expected, found, remedy)
    })
}

/// `path` with an ending, whatever it ends in.
pub(super) fn with(path: &Path, ending: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(ending);
    path.into()
}

/// The files of the checkpoint that a path names by one of them, or by what they begin with.
fn named(path: &Path) -> Result<Option<Named>, FormatError> {
    let name = name_of(path);
    if path.is_file() {
        let prefix = name.strip_suffix(".index");
        let shard = shard(&name).and_then(|(base, _)| base.strip_suffix(".data"));
        if let Some(prefix) = prefix.or(shard) {
            return Ok(Some(Named::Bundle(path.with_file_name(prefix))));
        }
    }
    if let Some((base, count)) = shard(&name) {
        return tables(&path.with_file_name(base), count).map(Some);
    }
    match (with(path, ".index").is_file(), path.is_file()) {
        (true, true) => Err(FormatError::mismatch(
            &path.display().to_string(),
            "checkpoint",
            "one of this name",
            "one of the older form, and one of the newer with .index behind it",
            "Name the .index, or move one of them to another folder",
        )),
        (true, false) => Ok(Some(Named::Bundle(path.to_owned()))),
        (false, true) => match name.strip_suffix(".meta") {
            Some(prefix) => named(&path.with_file_name(prefix)),
            None => Ok(Some(Named::Tables(vec![path.to_owned()]))),
        },
        (false, false) => sharded(path),
    }
}

/// All shards of the older format whose names begin so.
fn sharded(prefix: &Path) -> Result<Option<Named>, FormatError> {
    let name = name_of(prefix);
    let names = names(folder_of(prefix), &name);
    let shards = names.iter().filter_map(|name| shard(name));
    let counts: BTreeSet<usize> = shards
        .filter(|(base, _)| *base == name)
        .map(|(_, count)| count)
        .collect();
    let mut counts = counts.into_iter();
    match (counts.next(), counts.next()) {
        (None, _) => Ok(None),
        (Some(count), None) => tables(prefix, count).map(Some),
        (Some(one), Some(other)) => Err(FormatError::mismatch(
            &prefix.display().to_string(),
            "checkpoint",
            "one of this name",
            format!("one in {one} shards, and one in {other}"),
            "Name one of the files",
        )),
    }
}

fn tables(prefix: &Path, count: usize) -> Result<Named, FormatError> {
    let mut paths = Vec::new();
    for number in 0..count {
        let path = with(prefix, &format!("-{number:05}-of-{count:05}"));
        if !path.is_file() {
            return Err(FormatError::mismatch(
                &prefix.display().to_string(),
                "shards",
                path.display(),
                "no such file",
                "Copy all shards into one folder",
            ));
        }
        paths.push(path);
    }
    Ok(Named::Tables(paths))
}

/// What stands before the number of a shard in a file's name, and how many there are. In `checkpoint`, `?????` is
/// the number.
fn shard(name: &str) -> Option<(&str, usize)> {
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, count) = name.rsplit_once("-of-")?;
    let (base, number) = rest.rsplit_once('-')?;
    let is_shard = is_number(count) && (is_number(number) || number == "?????");
    let count = count.parse().ok()?;
    (is_shard && count > 0).then_some((base, count))
}

fn folder_of(path: &Path) -> &Path {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The names in a folder that begin so, in order.
fn names(folder: &Path, start: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten();
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(start)).collect();
    names.sort_unstable();
    names
}

/// The checkpoint that a state file tells is the latest. One of the name that lies beside the file goes before
/// one where the file says that it was: folders are moved and copied.
fn latest(state: &Path) -> Result<Named, FormatError> {
    let text = std::fs::read_to_string(state).map_err(FormatError::io("read", state))?;
    let place = state.display().to_string();
    let Some(stated) = stated(&text) else {
        return Err(FormatError::mismatch(
            &place,
            "model_checkpoint_path",
            "the name of a checkpoint in quotes",
            "none",
            "Name a checkpoint by what its files begin with, not by its folder",
        ));
    };
    let said = PathBuf::from(stated);
    let stated = state.with_file_name(&said);
    let beside = state.with_file_name(said.file_name().unwrap_or_default());
    let candidates = match said.is_absolute() {
        true => vec![&beside, &stated],
        false => vec![&stated],
    };
    for candidate in candidates {
        if let Some(found) = named(candidate)? {
            return Ok(found);
        }
    }
    Err(FormatError::mismatch(
        &place,
        "model_checkpoint_path",
        format!("files that begin with {}", stated.display()),
        "none, nor beside this file",
        "Copy them, or name another checkpoint by what its files begin with",
    ))
}

/// What the state's text has for the latest: of the field's occurrences the last, as protocol buffers have it.
fn stated(text: &str) -> Option<String> {
    let value = text.lines().rev().find_map(|line| {
        let rest = line.trim().strip_prefix("model_checkpoint_path")?;
        rest.trim_start().strip_prefix(':')
    });
    unquoted(value?.trim())
}

/// A text in quotes, with the escapes of C.
fn unquoted(text: &str) -> Option<String> {
    let text = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::new();
    let mut rest = text.bytes().peekable();
    while let Some(byte) = rest.next() {
        let escaped = match byte {
            b'\\' => rest.next()?,
            b'"' => return None,
            _ => {
                bytes.push(byte);
                continue;
            }
        };
        bytes.push(match escaped {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0'..=b'7' => {
                let mut number = u32::from(escaped - b'0');
                for _ in 0..2 {
                    let Some(digit) = rest.next_if(|byte| (b'0'..=b'7').contains(byte)) else {
                        break;
                    };
                    number = 8 * number + u32::from(digit - b'0');
                }
                u8::try_from(number).ok()?
            }
            b'"' | b'\'' | b'\\' | b'?' => escaped,
            _ => return None,
        });
    }
    String::from_utf8(bytes).ok()
}
