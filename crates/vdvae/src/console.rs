//! What the program says: results on standard output, everything else on standard error.
//!
//! A reader that has gone away, as in `vdvae info | head -1`, is no error: the rest is not written.

use std::fmt::Display;
use std::io::{self, ErrorKind, Stdout, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard output, for results.
pub fn results() -> Results {
    Results(io::stdout())
}

/// See [`results`]. Its errors say that they are about standard output.
#[derive(Debug)]
pub struct Results(Stdout);

impl Write for Results {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written.map_err(named),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed.map_err(named),
        }
    }
}

fn named(error: io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot write to standard output: {error}"),
    )
}

/// Whether --verbose was given.
static VERBOSE: AtomicBool = AtomicBool::new(false);

/// From now on names are said, where else numbers would do.
pub fn be_verbose() {
    VERBOSE.store(true, Ordering::Relaxed);
}

/// See [`be_verbose`].
pub fn is_verbose() -> bool {
    VERBOSE.load(Ordering::Relaxed)
}

/// A line on standard error, for whoever watches. Nobody may.
pub fn tell(line: impl Display) {
    // In one piece, so that lines of several processes do not mix.
    let line = format!("{line}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}
