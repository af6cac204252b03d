//! The arguments of `vdvae completions`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `vdvae completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vdvae completions bash  > ~/.local/share/bash-completion/completions/vdvae
  vdvae completions zsh  > ~/.zfunc/_vdvae                        a folder of $fpath
  vdvae completions fish  > ~/.config/fish/completions/vdvae.fish
  vdvae completions man --out ~/.local/share/man/man1            then: man vdvae-train")]
pub struct CompletionsArgs {
    /// The shell, or man for the manual pages.
    #[arg(value_enum, value_name = "SHELL|man")]
    pub kind: CompletionsKind,
    /// The folder of the manual pages.
    #[arg(long, value_name = "DIR", required_if_eq("kind", "man"))]
    pub out: Option<PathBuf>,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CompletionsKind {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    PowerShell,
    Zsh,
    Man,
}
