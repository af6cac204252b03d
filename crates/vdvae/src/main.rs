//! The command `vdvae`.

use std::process::ExitCode;

use clap::Parser;
use vdvae::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// mimalloc's `mi_option_purge_delay`, which its bindings do not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    keep_memory();
    let cli = Cli::parse();
    if cli.verbose {
        vdvae::console::be_verbose();
    }
    match vdvae::commands::run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            vdvae::console::tell(format_args!("error: {}", vdvae::error::message(&error)));
            ExitCode::from(vdvae::error::exit_code(&error))
        }
    }
}

/// Large buffers come and go with every operation. Memory given back to the system is cleared page by
/// page when it is needed again, which took a quarter of a training step: the process keeps it.
fn keep_memory() {
    const NEVER: std::ffi::c_long = -1;
    // SAFETY: an option of the allocator in use, set before there is a second thread.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, NEVER) };
}
