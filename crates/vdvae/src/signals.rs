//! Ctrl-C, TERM and HUP: what was begun is cleared away, and training saves first.

use std::io;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::console::tell;
use crate::files;

/// Exit code after Ctrl-C, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// What the first signal sets, where somebody stops by it.
static STOP: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);

/// From now on a signal ends the process without leaving half-written files.
///
/// # Errors
/// If the system refuses.
pub fn watch() -> io::Result<()> {
    listen(|code| {
        let stop = STOP.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if stop.is_some_and(|stop| !stop.swap(true, Ordering::Relaxed)) {
            tell("saving after this step; once more to stop at once");
            return;
        }
        files::remove_all();
        exit(code);
    })
}

/// From now on the first signal sets what is returned, and the second ends the process.
pub fn stop_at_first() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut known = STOP.lock().unwrap_or_else(PoisonError::into_inner);
    *known = Some(stop.clone());
    stop
}

/// Calls `signalled` for each signal, on a thread of its own, with the exit code that shells have for it.
#[cfg(unix)]
fn listen(mut signalled: impl FnMut(i32) + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    // As by nohup, or by a shell for work in the background: it goes on whatever happens at the terminal.
    let listened = [SIGINT, SIGTERM, SIGHUP].into_iter();
    let mut signals = Signals::new(listened.filter(|&signal| !is_ignored(signal)))?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                signalled(128 + signal);
            }
        })?;
    Ok(())
}

#[cfg(not(unix))]
fn listen(mut signalled: impl FnMut(i32) + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(move || signalled(i32::from(INTERRUPTED))).map_err(io::Error::other)
}

/// Whether the process was started so that this signal does nothing; where that is not told, it was not.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
