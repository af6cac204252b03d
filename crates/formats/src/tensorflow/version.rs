//! Which readers a checkpoint is for.

use super::proto::{Wire, fields, varint};
use super::table::Table;
use crate::FormatError;

/// The version of both formats that is read here, the only one that there has been.
const VERSION: u64 = 1;

/// Whether a checkpoint whose versions these are (`VersionDef`) is for this reader; whoever writes one tells.
pub(super) fn check(table: &Table, versions: &[u8]) -> Result<(), FormatError> {
    let refusal = refusal(versions);
    let refusal = refusal.map_err(|found| table.damaged("version", "a whole message", found))?;
    refusal.map_or(Ok(()), |found| {
        Err(FormatError::mismatch(
            &table.place,
            "version",
            format!("a checkpoint for readers of version {VERSION}"),
            found,
            "Save it again with TensorFlow 1 or 2",
        ))
    })
}

fn refusal(versions: &[u8]) -> Result<Option<String>, String> {
    let not_this = || {
        Some(format!(
            "one that readers of version {VERSION} must not read"
        ))
    };
    for field in fields(versions) {
        match field? {
            (2, Wire::Varint(least)) if least > VERSION => {
                return Ok(Some(format!("one for version {least} or later")));
            }
            (3, Wire::Varint(VERSION)) => return Ok(not_this()),
            (3, Wire::Bytes(mut listed)) => {
                while !listed.is_empty() {
                    if varint(&mut listed).ok_or("a list that is cut")? == VERSION {
                        return Ok(not_this());
                    }
                }
            }
            _ => {}
        }
    }
    Ok(None)
}
