#!/bin/sh
# nohup starts a program so that the end of its terminal does nothing to it. Does a program that clears up on Ctrl-C keep
# to that?
#
# Guess: yes; a signal that is ignored when a program starts stays ignored.
# Found: the crate ctrlc, with the feature `termination`, sets its handler for HUP too, without a look at what was set
# before. A job under nohup that saves and stops at Ctrl-C then saves and stops when its user logs out.
#
# In this project: signals that were ignored at the start are not listened to (crates/vdvae/src/signals.rs), by
# signal-hook; `a_terminal_that_is_closed_does_not_matter_where_that_was_asked_for` in crates/vdvae/tests/it/jobs.rs.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cargo init --quiet --vcs none --name signalled job
cd job
cargo add --quiet ctrlc@=3.5.2 --features termination
cat >src/main.rs <<'RUST'
use std::time::Duration;

fn main() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find(|line| line.starts_with("SigIgn")).unwrap();
    let mask = u64::from_str_radix(ignored.split_whitespace().last().unwrap(), 16).unwrap();
    println!("HUP ignored at the start: {}", mask & 1 == 1);
    if std::env::args().len() > 1 {
        ctrlc::set_handler(|| {
            println!("the handler was called");
            std::process::exit(7);
        })
        .unwrap();
    }
    std::thread::sleep(Duration::from_secs(3));
    println!("ran to its end");
}
RUST
cargo build --quiet
cargo tree --depth 1 --prefix none | tail -1

# Sends HUP to the program under nohup; prints how it ended.
run() {
    nohup target/debug/signalled "$@" >out 2>/dev/null &
    pid=$!
    sleep 1
    kill -HUP $pid
    code=0
    wait $pid || code=$?
    cat out
    echo "exit code $code"
}

echo "-- without a handler"
run
grep -q "ran to its end" out
echo "-- with ctrlc's"
run handler
grep -q "ignored at the start: true" out
grep -q "the handler was called" out
test $code = 7
