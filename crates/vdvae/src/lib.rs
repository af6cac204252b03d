//! Likelihood models of images under one harness: train, measure bits per dimension, sample, look into the
//! latents, compress losslessly, compare.
//!
//! The models are those of [`models`], family by family; everything here serves any of them. Tensors are
//! channels-last, [B, H, W, C]; losses are in nats until [`likelihood::units`] turns them into bits.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod bench;
pub mod checkpoint;
pub mod cli;
pub mod commands;
pub mod compress;
pub mod config;
pub mod console;
pub mod device;
pub mod error;
pub mod evaluate;
pub mod evenly;
pub mod files;
pub mod folder_lock;
pub mod latents;
pub mod log;
pub mod memory;
pub mod pictures;
pub mod reconstruct;
pub mod report;
pub mod run_dir;
pub mod signals;
pub mod train;
pub mod trained;

/// Families, their plans and their models.
pub use vdvae_models as models;
pub use vdvae_models::{likelihood, ops, parameters, preprocess, random};
