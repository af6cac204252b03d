//! Names of images: paths that stay where they are unpacked.

use super::ContainerError;
use std::collections::BTreeSet;

/// Longest name in bytes.
const LONGEST: usize = 4096;

/// Names of devices on Windows, whatever their ending.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];

/// Checks that a name is a relative path that stays below the folder it is unpacked to, on any
/// system: parts separated by `/`, none of them empty, `.` or `..`, none with a backslash, a
/// colon, another character that some file system forbids or a control character, at the end a
/// dot or space, or a device name of Windows.
///
/// # Errors
/// If it is not.
pub fn check_name(name: &str) -> Result<(), ContainerError> {
    let fail = |reason| {
        Err(ContainerError::Name {
            name: name.chars().take(100).collect(),
            reason,
        })
    };
    if name.len() > LONGEST {
        return fail("is longer than 4096 bytes");
    }
    if name
        .chars()
        .any(|c| c.is_control() || "\\:*?\"<>|".contains(c))
    {
        return fail("has a character that paths cannot have everywhere");
    }
    for part in name.split('/') {
        match part {
            "" => return fail("is absolute, empty or has an empty part"),
            "." | ".." => return fail("has a part . or .."),
            _ if part.ends_with(['.', ' ']) => {
                return fail("has a part that ends in a dot or space");
            }
            _ if is_device(part) => return fail("has a part that is a device on some systems"),
            _ => (),
        }
    }
    Ok(())
}

fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).to_ascii_lowercase();
    let base = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    match stem.len() - base.len() {
        0 => DEVICES[..4].contains(&base),
        1 => DEVICES[4..].contains(&base),
        _ => false,
    }
}

/// The name of image `index` of `count` that have none of their own: its number, with as many digits as the last.
pub fn number(index: usize, count: usize) -> String {
    let digits = count.saturating_sub(1).to_string().len();
    format!("{index:0digits$}.png")
}

/// Checks that no two names are the same file, also where case does not count.
pub fn check_distinct<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), ContainerError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name.to_lowercase()) {
            return Err(ContainerError::Name {
                name: name.into(),
                reason: "is there twice (upper and lower case count as the same)",
            });
        }
    }
    Ok(())
}
