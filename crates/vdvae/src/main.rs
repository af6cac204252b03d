//! The command `vdvae`.

use std::process::ExitCode;

use clap::Parser;
use vdvae::cli::Cli;

// Large buffers come and go with every operation: mimalloc keeps their pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match vdvae::commands::run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            vdvae::console::tell(format_args!("error: {}", vdvae::error::message(&error)));
            ExitCode::from(vdvae::error::exit_code(&error))
        }
    }
}
