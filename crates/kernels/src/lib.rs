//! Fast numerics for VDVAE on the CPU, on plain slices and shapes: single precision, and bottleneck
//! blocks whose operands are rounded to bfloat16 where
//! [`bottleneck::Bottleneck::precisions`] says so.
//!
//! Activations are `[batch, height, width, channels]`, row-major (channels last). Convolution
//! weights are `[kernel, kernel, c_in, c_out]`, biases `[c_out]`. Every result is the same bits
//! for any number of threads, and the result for one image does not depend on the batch it is
//! in. The instruction set is chosen once, in [`detect`]. All of the project's `unsafe` code
//! lives in this crate, but a map of a file and an option of the allocator.

// Tiles of registers are indexed by row and vector in step with pointers.
#![allow(clippy::needless_range_loop)]

pub mod activation;
pub mod arch;
pub mod attention;
pub mod batch_norm;
mod bf16;
mod blank;
pub mod bottleneck;
pub mod conv;
pub mod conv3;
pub mod depthwise;
pub mod detect;
pub mod elementwise;
pub mod gelu;
mod grid;
mod groups;
pub mod inverted;
pub mod kept;
mod layer;
pub mod math;
mod multiply;
pub mod naive;
pub mod naive_attention;
pub mod naive_cells;
pub mod naive_residual;
pub mod naive_window;
mod pack;
mod paired;
pub mod parallel;
pub mod peak;
mod precision;
pub mod quarters;
pub mod residual;
mod rows;
pub mod scratch;
pub mod simd;
mod sizes;
mod spectral;
pub mod squeeze;
mod tile;
mod weight_gradient;
pub mod weight_norm;
pub mod window;
mod winograd;

pub use precision::Precision;

/// Counts how often a change has moved the last bits of single-precision results of forward passes. What was
/// computed to the bit, such as an archive, can only be computed again with the same revision. Gradients and
/// random noise may change within a revision.
///
/// 1: Winograd's F(2x2, 3x3). 2: F(4x4, 3x3), and groups of images for gradients.
pub const REVISION: u32 = 2;
