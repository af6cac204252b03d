//! One folder per family: its configuration, its plan, its model, its published files.

pub mod gatedpixelcnn;
pub mod nvae;
pub mod pixelcnnpp;
pub mod vdvae;
