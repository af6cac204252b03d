//! The program and its library from outside. One program of all tests, since each that links takes its
//! time; what must not meet others runs as a process of its own, by [`support::Lab`].

mod bad_input;
mod classes;
mod cli;
mod compress;
mod conformance;
mod data;
mod documents;
mod exchange;
mod families;
mod jobs;
mod latents;
mod resume;
mod streams;
mod sums;
mod support;
mod unchanged;
