//! What a family of models is, is said in its folder and nowhere else: no other code asks for its name.

use std::fs;
use std::path::{Path, PathBuf};

use vdvae::models::registry::FAMILIES;

/// Where the name of a family is the name of the program: file, the literal, what it is there.
const PROGRAM: [(&str, &str, &str); 2] = [
    (
        "vdvae/src/latents/file.rs",
        "vdvae",
        "the program, as the key of what it writes about an array file",
    ),
    (
        "vdvae/src/commands/compress.rs",
        "vdvae",
        "the program, in the table of codecs that it is compared with",
    ),
];

/// The sources of the library and the program, by their path below `crates`, without those of tests and
/// those that are there to know families: their folders and the list of them.
fn sources() -> Vec<(String, String)> {
    let crates = crates();
    let mut paths = Vec::new();
    for name in ["models", "vdvae"] {
        collect(&crates.join(name).join("src"), &mut paths);
    }
    let source = |path: PathBuf| {
        let name = path.strip_prefix(&crates).expect("below").display();
        (name.to_string(), fs::read_to_string(&path).expect("text"))
    };
    let knows =
        |name: &str| name.starts_with("models/src/families/") || name == "models/src/registry.rs";
    let is_test = |name: &str| name.contains("/tests/") || name.ends_with("/tests.rs");
    let sources = paths.into_iter().map(source);
    sources
        .filter(|(name, _)| !knows(name) && !is_test(name))
        .collect()
}

/// The folder of all crates.
pub fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// The string literals of a source with their lines, without those in comments and in tests at its end.
fn literals(source: &str) -> Vec<(usize, &str)> {
    let end = source.find("#[cfg(test)]\nmod tests {");
    let source = &source[..end.unwrap_or(source.len())];
    let mut literals = Vec::new();
    let mut at = 0;
    let upto = |from: usize, mark: &str| {
        let found = source[from..].find(mark);
        found.map_or(source.len(), |length| from + length)
    };
    while at < source.len() {
        let rest = &source[at..];
        let raw = rest.trim_start_matches('#');
        at = if rest.starts_with("//") {
            upto(at, "\n")
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\'") {
            at + 3
        } else if rest.starts_with("'\\") {
            at + 4
        } else if let Some(hashes) = rest.strip_prefix('r').map(|raw| {
            let hashes = raw.len() - raw.trim_start_matches('#').len();
            raw[hashes..].starts_with('"').then_some(hashes)
        }) && let Some(hashes) = hashes
        {
            let from = at + 1 + hashes + 1;
            let mark = format!("\"{}", "#".repeat(hashes));
            let to = upto(from, &mark);
            literals.push((line(source, at), &source[from..to]));
            to + mark.len()
        } else if raw.starts_with('"') {
            let from = at + 1;
            let mut escaped = false;
            let ends = |c: char| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            };
            let to = from + source[from..].find(ends).expect("the end of a string");
            literals.push((line(source, at), &source[from..to]));
            to + 1
        } else {
            at + rest.chars().next().map_or(1, char::len_utf8)
        };
    }
    literals
}

fn line(source: &str, at: usize) -> usize {
    1 + source[..at].matches('\n').count()
}

/// A family's name, or the name of one of its presets.
fn names_a_family(literal: &str) -> bool {
    let name = literal
        .split_once('/')
        .map_or(literal, |(family, _)| family);
    FAMILIES.iter().any(|family| family.name() == name)
}

#[test]
fn literals_are_found_where_code_has_them() {
    let source = r##"//! "comment"
        let a = "one"; // "two"
        let b = ['"', '\'', '\\', '\n']; let c = r#"three "quoted""#;
        let d = "a \" and // more";
        let e = "over
lines";
        f("last")
    "##;
    let found = literals(source);
    let expected = [
        (2, "one"),
        (3, r#"three "quoted""#),
        (4, r#"a \" and // more"#),
        (5, "over\nlines"),
        (7, "last"),
    ];
    assert_eq!(found, expected);
    assert!(literals("#[cfg(test)]\nmod tests {\n\"test\"}").is_empty());
    assert!(names_a_family(FAMILIES[0].name()));
    assert!(names_a_family(&FAMILIES[0].presets()[0].path()));
    assert!(!names_a_family(&format!("{}-1", FAMILIES[0].name())));
}

#[test]
fn no_code_asks_for_a_family_by_its_name() {
    let sources = sources();
    assert!(sources.len() > 100, "{} sources", sources.len());
    let mut allowed = Vec::new();
    for (path, source) in &sources {
        for (line, literal) in literals(source) {
            if !names_a_family(literal) {
                continue;
            }
            let mut program = PROGRAM.iter();
            let place = program.position(|(file, name, _)| file == path && *name == literal);
            let Some(place) = place else {
                panic!(
                    "crates/{path}:{line}: \"{literal}\": ask the family's plan or model instead"
                );
            };
            allowed.push(place);
        }
        // Nor by its module.
        for (index, line) in source.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            assert!(
                !code.contains("families::"),
                "crates/{path}:{}: {line}",
                index + 1
            );
        }
    }
    allowed.sort_unstable();
    let all: Vec<usize> = (0..PROGRAM.len()).collect();
    assert_eq!(allowed, all, "each exception is met once");
}
