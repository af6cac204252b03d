//! `vdvae completions`.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::make_folder;
use crate::cli::{Cli, CompletionsArgs, CompletionsKind};
use crate::console::results;
use crate::error::usage;
use crate::files::write_atomically;

pub fn run(arguments: &CompletionsArgs) -> Result<()> {
    let mut command = Cli::command();
    let shell = match (arguments.kind, &arguments.out) {
        (CompletionsKind::Man, Some(folder)) => return manual(command, folder),
        (_, Some(_)) => {
            return Err(usage(
                "--out: completions of a shell go to standard output, into the file that you choose",
            ));
        }
        (CompletionsKind::Bash, _) => Shell::Bash,
        (CompletionsKind::Elvish, _) => Shell::Elvish,
        (CompletionsKind::Fish, _) => Shell::Fish,
        (CompletionsKind::PowerShell, _) => Shell::PowerShell,
        (CompletionsKind::Zsh, _) => Shell::Zsh,
        (CompletionsKind::Man, None) => return Err(usage("--out: expected the pages' folder")),
    };
    let mut text = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut text);
    Ok(results().write_all(&text)?)
}

/// A page for the program and one for each command.
fn manual(mut command: Command, folder: &Path) -> Result<()> {
    make_folder(folder)?;
    command.build();
    let name = command.get_name();
    page(&command, name, folder)?;
    for each in command.get_subcommands() {
        page(each, &format!("{name}-{}", each.get_name()), folder)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str, folder: &Path) -> Result<()> {
    let path = folder.join(format!("{name}.1"));
    // The library takes names that live as long as the program; there are twenty.
    let title: &'static str = Box::leak(name.to_owned().into_boxed_str());
    let man = Man::new(command.clone().name(title)).title(title);
    write_atomically(&path, |writer| man.render(writer))
        .with_context(|| format!("{}: cannot save this page", path.display()))?;
    writeln!(results(), "{}", path.display())?;
    Ok(())
}
