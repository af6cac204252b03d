//! What the documents tell people to type.

use std::fs;
use std::path::Path;

/// What Cargo does with dependencies, of which `Cargo.lock` holds the tested versions.
const BUILDS: [&str; 6] = ["build", "doc", "install", "run", "test", "bench"];

/// The `cargo` commands of a document: each up to the end of its code span or line.
fn commands(text: &str) -> Vec<&str> {
    let starts = text.match_indices("cargo ");
    let command = |(at, _)| {
        let rest: &str = &text[at..];
        let end = rest.find(['`', '\n', ')']).unwrap_or(rest.len());
        rest[..end].trim()
    };
    let builds = |command: &&str| {
        let mut words = command.split_whitespace().skip(1);
        words.next().is_some_and(|word| BUILDS.contains(&word))
    };
    starts.map(command).filter(builds).collect()
}

#[test]
fn whatever_is_told_to_build_takes_the_tested_versions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let documents = [
        ("README.md", 4),
        ("DESIGN.md", 1),
        ("crates/vdvae/examples/autoregressive.rs", 1),
        ("crates/coding/examples/rates.rs", 1),
    ];
    for (document, least) in documents {
        let text = fs::read_to_string(root.join(document)).expect("text");
        let commands = commands(&text);
        assert!(commands.len() >= least, "{document}: {commands:?}");
        for command in commands {
            assert!(command.contains(" --locked"), "{document}: {command}");
        }
    }
}

#[test]
fn a_command_ends_with_its_span() {
    let text =
        "first `cargo run --release`, then\ncargo test # all\nand a cargo of `cargo --version`";
    assert_eq!(commands(text), ["cargo run --release", "cargo test # all"]);
}
