//! Very deep hierarchical VAEs on images: train, evaluate, sample, reconstruct.
//!
//! The model is that of "Very Deep VAEs Generalize Autoregressive Models and Can Outperform Them on
//! Images" (Child, ICLR 2021). Tensors are channels-last, [B, H, W, C]; losses are in nats until
//! [`likelihood::units`] turns them into bits.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod architecture;
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
pub mod files;
pub mod latents;
pub mod likelihood;
pub mod memory;
pub mod models;
pub mod ops;
pub mod parameters;
pub mod preprocess;
pub mod random;
pub mod reconstruct;
pub mod report;
pub mod run_dir;
pub mod sample;
pub mod train;
