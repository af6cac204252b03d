//! Very deep hierarchical VAEs on images: train, evaluate, sample, reconstruct.
//!
//! The model is that of "Very Deep VAEs Generalize Autoregressive Models and Can Outperform Them on
//! Images" (Child, ICLR 2021). Tensors are channels-last, [B, H, W, C]; losses are in nats until
//! [`likelihood::units`] turns them into bits.

pub mod architecture;
pub mod config;
pub mod likelihood;
pub mod models;
pub mod ops;
pub mod parameters;
pub mod preprocess;
pub mod random;
pub mod train;
