//! Codecs, archive and tiles from outside.

mod chain;
mod common;
mod container;
mod dmol;
mod gaussian;
mod softmax;
mod tiles;
