//! Burn's sums and means add numbers of single precision one after the other on the CPU: over the elements of an
//! image that is no sum. Losses go through `sum_per_image`, or a kernel.

use crate::families::{collect, crates};

/// Burn's operations, as they are written.
const CALLS: [&str; 7] = [
    ".sum()",
    ".mean()",
    ".sum_dim(",
    ".mean_dim(",
    ".sum_dims(",
    ".mean_dims(",
    ".var(",
];

/// What makes `.sum()` one of the standard library's, within its statement.
const ITERATORS: [&str; 6] = ["iter()", ".map(", "chunks", "values()", ".zip(", "filter"];

/// Where few numbers are summed, or another device's own reduction is meant: file, how often, what it is.
const ALLOWED: [(&str, usize, &str); 14] = [
    (
        "models/src/families/gatedpixelcnn/model.rs",
        1,
        "the mean over a batch",
    ),
    (
        "models/src/families/gatedpixelcnn/verify.rs",
        1,
        "a sum over a batch",
    ),
    ("models/src/family.rs", 1, "the mean over a batch"),
    (
        "models/src/families/nvae/model.rs",
        2,
        "a scale per norm; the mean over a batch",
    ),
    (
        "models/src/families/nvae/spectral.rs",
        1,
        "a norm per weight",
    ),
    (
        "models/src/families/vdvae/verify.rs",
        4,
        "means over a batch",
    ),
    (
        "models/src/ops/attention.rs",
        1,
        "composed, over the keys that a query sees",
    ),
    (
        "models/src/ops/cells.rs",
        1,
        "composed, for devices whose reductions are trees",
    ),
    ("models/src/ops/dmol.rs", 2, "over colours and mixtures"),
    (
        "models/src/ops/norm.rs",
        3,
        "composed, for devices whose reductions are trees",
    ),
    (
        "models/src/ops/resample.rs",
        2,
        "over the pixels of a window",
    ),
    (
        "models/src/ops/spectral.rs",
        1,
        "composed, of a vector as long as a weight has outputs",
    ),
    ("models/src/ops/total.rs", 2, "of the parts of a sum"),
    ("models/src/ordered/model.rs", 1, "the mean over a batch"),
];

#[test]
fn sums_over_images_are_not_left_to_burn() {
    let mut found: Vec<(String, usize)> = Vec::new();
    let mut paths = Vec::new();
    // Where losses are made.
    collect(&crates().join("models/src"), &mut paths);
    for path in paths {
        let name = path.strip_prefix(crates()).expect("below");
        let name = name.display().to_string();
        if name.contains("/tests/") || name.ends_with("/tests.rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("text");
        let end = source.find("#[cfg(test)]").unwrap_or(source.len());
        let count = calls(&source[..end]);
        if count > 0 {
            found.push((name, count));
        }
    }
    found.sort();
    let mut allowed: Vec<(String, usize)> = ALLOWED
        .iter()
        .map(|(name, count, _)| ((*name).to_owned(), *count))
        .collect();
    allowed.sort();
    assert_eq!(found, allowed, "sums over images go through sum_per_image");
}

/// Burn's sums and means in a source.
fn calls(source: &str) -> usize {
    let code: String = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n")
        .collect();
    let of = |call: &str| {
        code.match_indices(call)
            .filter(|(at, _)| {
                let statement = code[..*at].rfind([';', '{', '}']).unwrap_or(0);
                let before = &code[statement..*at];
                !ITERATORS.iter().any(|iterator| before.contains(iterator))
            })
            .count()
    };
    CALLS.iter().map(|call| of(call)).sum()
}
