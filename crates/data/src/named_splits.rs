//! Folders that are named after the splits of a data set.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::DataError;
use crate::split::Split;

/// At most so many lines of a layout are shown.
const MOST_LINES: usize = 16;

/// The split that a folder of this name is for.
pub(crate) fn split_of(name: &str) -> Option<Split> {
    match name.to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "validation" | "valid" | "val" | "dev" => Some(Split::Valid),
        "test" | "testing" | "eval" => Some(Split::Test),
        _ => None,
    }
}

/// The split that a name is probably meant for, such as `train2017` or `DIV2K_valid_HR`.
pub(crate) fn hinted_split(name: &str) -> Option<Split> {
    let mut words = name.split(|letter: char| !letter.is_ascii_alphabetic());
    words.find_map(split_of)
}

/// Of each image the split that a folder above it is named after, or nothing at all where no folder is.
///
/// `names` are paths below `place`, with `/`. The highest level at which a folder is named so decides; below it
/// names mean classes.
///
/// # Errors
/// [`DataError::Layout`] if some images are in such folders and others are not, if a split has two names in one
/// folder, or if the names only look like those of splits.
pub(crate) fn named_splits(place: &str, names: &[&str]) -> Result<Option<NamedSplits>, DataError> {
    let folders = |name: &str| {
        let mut parts: Vec<String> = name.split('/').map(str::to_owned).collect();
        parts.pop();
        parts
    };
    let paths: Vec<Vec<String>> = names.iter().map(|name| folders(name)).collect();
    let levels = paths
        .iter()
        .filter_map(|path| path.iter().position(|name| split_of(name).is_some()));
    let Some(level) = levels.min() else {
        return no_lookalikes(place, &paths).map(|()| None);
    };
    let splits: Vec<Option<Split>> = paths
        .iter()
        .map(|path| split_of(path.get(level)?))
        .collect();
    if splits.contains(&None) {
        let problem = "some images are in folders named after splits and others are not";
        return Err(ambiguous(place, problem, level, &paths));
    }
    let mut spellings: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    for (path, split) in paths.iter().zip(&splits) {
        let parent = (&path[..level], split.map(|split| split.to_string()));
        spellings.entry(parent).or_default().insert(&path[level]);
    }
    if spellings.values().any(|names| names.len() > 1) {
        let problem = "two folders are named after the same split";
        return Err(ambiguous(place, problem, level, &paths));
    }
    let spelling = |split| {
        let found = splits.iter().position(|&found| found == Some(split))?;
        let above = if level > 0 { "*/" } else { "" };
        Some(format!("{above}{}/", paths[found][level]))
    };
    Ok(Some(NamedSplits {
        level,
        names: [Split::Train, Split::Valid, Split::Test].map(spelling),
        splits: splits.into_iter().flatten().collect(),
    }))
}

/// See [`named_splits`].
pub(crate) struct NamedSplits {
    /// Of each image.
    pub splits: Vec<Split>,
    /// How many folders are above those.
    pub level: usize,
    /// How the folders for training, validation and test are called: `val/`, or `*/val/` below others.
    pub names: [Option<String>; 3],
}

/// An error if folders of one level look as if they were splits, training and another one: `train2017` and
/// `val2017`. One class may be called so, but hardly two.
fn no_lookalikes(place: &str, paths: &[Vec<String>]) -> Result<(), DataError> {
    let deepest = paths.iter().map(Vec::len).max().unwrap_or(0);
    for level in 0..deepest {
        let hints: Vec<Option<Split>> = paths
            .iter()
            .map(|path| hinted_split(path.get(level)?))
            .collect();
        let has = |split| hints.contains(&Some(split));
        if has(Split::Train) && (has(Split::Valid) || has(Split::Test)) {
            let problem = "folders look as if they were splits, but are not named so";
            return Err(ambiguous(place, problem, level, paths));
        }
    }
    Ok(())
}

fn ambiguous(place: &str, problem: &'static str, level: usize, paths: &[Vec<String>]) -> DataError {
    let mut rows: BTreeMap<String, (usize, Option<Split>)> = BTreeMap::new();
    for path in paths {
        let shown = &path[..path.len().min(level + 1)];
        let split = path.get(level).and_then(|name| split_of(name));
        let folder: String = shown.iter().map(|name| format!("{name}/")).collect();
        rows.entry(folder).or_insert((0, split)).0 += 1;
    }
    let hidden = rows.len().saturating_sub(MOST_LINES);
    let mut layout: String = rows
        .iter()
        .take(MOST_LINES)
        .map(|(folder, (images, split))| {
            let folder = if folder.is_empty() { "(above)" } else { folder };
            let split = split.map_or("?".to_owned(), |split| split.to_string());
            format!("\n  {folder:24} {images:>7} images  {split}")
        })
        .collect();
    if hidden > 0 {
        layout += &format!("\n  and {hidden} more folders");
    }
    DataError::Layout {
        place: place.to_owned(),
        problem,
        layout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splits(names: &[&str]) -> Option<(Vec<Split>, [Option<String>; 3])> {
        let named = named_splits("here", names).unwrap()?;
        Some((named.splits, named.names))
    }

    fn error(names: &[&str]) -> String {
        let error = named_splits("here", names).err().expect("ambiguous");
        error.to_string()
    }

    const T: Split = Split::Train;
    const V: Split = Split::Valid;
    const E: Split = Split::Test;

    #[test]
    fn all_names_that_data_sets_come_with() {
        for (name, split) in [
            ("train", T),
            ("Training", T),
            ("TRAIN", T),
            ("validation", V),
            ("valid", V),
            ("Val", V),
            ("dev", V),
            ("test", E),
            ("testing", E),
            ("Eval", E),
        ] {
            assert_eq!(split_of(name), Some(split), "{name}");
        }
        for name in ["trains", "latest", "device", "", "all"] {
            assert_eq!(split_of(name), None, "{name}");
        }
    }

    #[test]
    fn splits_at_the_top_and_below_classes() {
        assert_eq!(splits(&["a.png", "cats/b.png", "latest/c.png"]), None);
        let (found, names) = splits(&["Train/a.png", "Train/test/b.png", "dev/c.png"]).unwrap();
        assert_eq!(found, [T, T, V]);
        assert_eq!(names, [Some("Train/".into()), Some("dev/".into()), None]);
        let (found, names) = splits(&["cats/train/a.png", "dogs/test/x/b.png"]).unwrap();
        assert_eq!(found, [T, E]);
        assert_eq!(
            names,
            [Some("*/train/".into()), None, Some("*/test/".into())]
        );
    }

    #[test]
    fn what_is_ambiguous_is_shown() {
        let says = |text: &str, parts: &[&str]| {
            for part in parts {
                assert!(text.contains(part), "no `{part}` in {text}");
            }
        };
        let text = error(&["train/a.png", "test/b.png", "extra/c.png", "d.png"]);
        says(&text, &["here", "others are not", "extra/", "?", "(above)"]);
        let text = error(&["train/a.png", "val/b.png", "valid/c.png"]);
        says(&text, &["two folders", "val/", "valid/"]);
        let text = error(&["train2017/a.jpg", "val2017/b.jpg"]);
        says(&text, &["look as if", "train2017/", "val2017/"]);
        let text = error(&["cats/a.png", "dogs/test/b.png"]);
        says(&text, &["cats/", "dogs/test/"]);
        // One class of such a name among others is no split.
        assert_eq!(splits(&["bullet train/a.png", "cat/b.png"]), None);
    }
}
