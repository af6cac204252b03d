//! Exact entropy coding: what lossless compression with models of images needs, without the
//! network. Everything here is a function of numbers that the caller computed.
//!
//! - [`Coder`]: a stack of bits (asymmetric numeral systems, from the crate `constriction`). Every
//!   push is the exact inverse of a pop with the same parameters, also in the coder's state.
//! - [`LatentCodec`], [`PixelCodec`], [`push_softmax`], [`push_bernoulli`]: whole layers, images, levels
//!   and bits. What is pushed is taken from the end of the slice, what is popped fills it from the
//!   start, so that calls mirror each other.
//! - [`container`]: the archive, `.vdz`. [`Tiling`]: images of any size as tiles of the model's.
//!
//! # Bits-back coding of a hierarchy
//!
//! A top-down model of L layers has the prior `p(z_1) p(z_2 | z_1) ... p(x | z_1 .. z_L)` and the
//! posterior `q(z_1 | x) q(z_2 | z_1, x) ...`, which the same top-down pass computes given the
//! encoder's activations of x. One image is compressed by
//!
//! 1. for layer 1 to L: pop the cells of `z_l` under the posterior, compute their
//!    [values](LatentCodec::values), run the layer's block on them;
//! 2. push x under `p(x | z)`;
//! 3. for layer L to 1: push the cells of `z_l` under the prior (only the cells have to be kept:
//!    their [code](LatentCodec::push_prior) does not depend on the prior's parameters),
//!
//! and decompressed by the inverse of each step in the opposite order:
//!
//! 1. for layer 1 to L: pop the cells of `z_l` under the prior, compute their values, run the
//!    block; keep the cells and the parameters of the priors;
//! 2. pop x under `p(x | z)`;
//! 3. run the encoder on x, and the top-down pass for the posteriors (given the z that are known,
//!    so with the priors of step 1); for layer L to 1: push the cells of `z_l` under the posterior.
//!
//! The cost is the sum of `log q - log p(z) - log p(x | z)`: the negative ELBO, as long as there
//! is something on the stack to pop. Step 3 gives back what step 1 of compression borrowed, so
//! images are chained, and come back last in, first out. The first image borrows from a fixed
//! stream of random words below the [seeded](Coder::seeded) stack. What it takes is
//! [counted](Coder::seed_words), is on the stack again after everything has been popped, and is
//! [compared](Coder::verify_drained) then: a last check of the whole chain.
//!
//! Both directions must see the same parameters to the last bit: the caller's duty. All that this
//! crate computes from them is the same on every machine: it uses only operations that IEEE 754
//! fixes (its own exponential, the crate `libm` for tables), and ends in integers.
//!
//! # Cells
//!
//! A latent is rounded to the centre of a cell. Decompression pops the cell before it knows x,
//! so cells may depend on the prior only. Candidates were
//!
//! - cells of equal mass under the prior (a cell then costs exactly as many bits as cells have).
//!   They are wide where the prior is thin: of 2^12 the outermost begins at 3.5 standard
//!   deviations, of 2^16 at 4.2, and never ends. A posterior there, not rare in a deep hierarchy
//!   in which every layer corrects the ones before, is rounded to something else, and the pixels
//!   pay;
//! - cells of equal width, which waste codes on a range that has to be chosen beforehand;
//! - what is done: cells in standard deviations of the prior, 16 / 2^bits wide up to 4 from the
//!   mean, twice as wide up to 8, four times up to 16, the outermost open. As they are the same
//!   for all latents, so are their frequencies under the prior: one table, no arithmetic per
//!   latent, faster than cells of equal mass.
//!
//! Under the prior every cell must have a code: at least one of 2^28 (which is cheaper than the
//! true probability from 5.5 standard deviations on). Under the posterior that would be a
//! mistake. What is coded under a posterior was popped under it; so a cell without mass never
//! comes, and if it had a code all the same, random bits would sometimes lead to it. 2^14 cells
//! with one code each of 2^24 would send one latent in a thousand to some far cell, where it is
//! tens of standard deviations off, which the pixels pay for. Hence cells of mass below 2^-28
//! have no code, and pushing one is [an error](CodingError::Impossible) that damage leads to.
//!
//! The posterior's distribution function is a table with 256 nodes per standard deviation, linear
//! between them: within 1e-6 bits of the normal one, monotone by construction (each operation on
//! the way is, also when it rounds), so that intervals never overlap, at any parameters.
//!
//! What rounding costs, by the example `rates`: 200,000 latents, posteriors of r times the
//! prior's sigma, their means scattered by one prior sigma. `rate` is in bits per latent over the
//! divergence. It falls below 0 where cells are too wide to tell the posterior's shape; `error`
//! is what that does to the values, the mean square of (z - mean) / sigma over 1. `net` adds half
//! the error in bits, about what it makes the pixels cost more. Rate and error scatter by 0.003,
//! net by less.
//!
//! | P | bits per latent | r, d | divergence | rate | error | net |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | 28 | 8 | 0.1, 1 | 3.329 | -0.0260 | +0.0368 | +0.0005 |
//! | 28 | 10 | 0.1, 1 | 3.329 | -0.0022 | +0.0031 | +0.0000 |
//! | 28 | 12 | 0.1, 1 | 3.329 | -0.0006 | +0.0006 | -0.0002 |
//! | 28 | 14 | 0.1, 1 | 3.329 | -0.0003 | +0.0004 | -0.0000 |
//! | 28 | 16 | 0.1, 1 | 3.329 | +0.0034 | -0.0036 | +0.0008 |
//! | 16 | 12 | 0.1, 1 | 3.329 | +0.0563 | -0.0036 | +0.0537 |
//! | 20 | 14 | 0.1, 1 | 3.329 | +0.0137 | -0.0019 | +0.0123 |
//! | 24 | 14 | 0.1, 1 | 3.329 | +0.0046 | -0.0052 | +0.0009 |
//! | 28 | 8 | 0.01, 1 | 6.644 | -1.0163 | +3.2723 | +1.3441 |
//! | 28 | 10 | 0.01, 1 | 6.644 | -0.1351 | +0.2062 | +0.0137 |
//! | 28 | 12 | 0.01, 1 | 6.644 | -0.0103 | +0.0145 | +0.0001 |
//! | 28 | 14 | 0.01, 1 | 6.644 | -0.0019 | +0.0026 | +0.0000 |
//! | 28 | 16 | 0.01, 1 | 6.644 | -0.0009 | +0.0015 | +0.0002 |
//! | 16 | 12 | 0.01, 1 | 6.644 | +0.0457 | +0.0118 | +0.0542 |
//! | 20 | 14 | 0.01, 1 | 6.644 | +0.0143 | -0.0029 | +0.0122 |
//! | 24 | 14 | 0.01, 1 | 6.644 | -0.0025 | +0.0044 | +0.0007 |
//! | 28 | 8 | 0.001, 1 | 9.966 | -3.9618 | +326.2594 | +231.3846 |
//! | 28 | 10 | 0.001, 1 | 9.966 | -2.0864 | +20.3307 | +12.5791 |
//! | 28 | 12 | 0.001, 1 | 9.966 | -0.5833 | +1.2655 | +0.3295 |
//! | 28 | 14 | 0.001, 1 | 9.966 | -0.0553 | +0.0797 | +0.0022 |
//! | 28 | 16 | 0.001, 1 | 9.966 | -0.0065 | +0.0093 | +0.0002 |
//! | 16 | 12 | 0.001, 1 | 9.966 | -0.5301 | +1.2700 | +0.3860 |
//! | 20 | 14 | 0.001, 1 | 9.966 | -0.0429 | +0.0795 | +0.0145 |
//! | 24 | 14 | 0.001, 1 | 9.966 | -0.0581 | +0.0849 | +0.0031 |
//!
//! With 2^14 cells and 28 bits of precision (what [`PRECISION`] is) the loss is below 0.001 bits
//! per latent down to posteriors a hundred times narrower than the prior; at a thousand times it
//! is 0.002. Less precision pays for the codes of thin cells under the prior.
//!
//! # Pixels
//!
//! The likelihood of 8-bit pixels sums to 1 over all values, except that the published form
//! replaces masses below 1e-5 by the density at the centre times the width. The codec uses the
//! mass itself, so where the two differ (improbable pixels under narrow logistics) the code is the
//! shorter. For 5 bits, the published likelihood takes bins of 2/31 around values that are 8/127.5
//! apart, which overlap: it sums to up to 255/248. The codec's bins end half way between
//! values; it can take up to log2(255/248) = 0.040 bits per dimension more than the likelihood
//! says. The three lowest bits of 8-bit images under such a model can be coded with
//! [`Coder::push_bits`].
//!
//! # In order
//!
//! A model of each pixel given those before it needs no latents, and borrows nothing. As the stack
//! gives back last what was pushed first, compression computes the parameters of all pixels, first to
//! last, and pushes the pixels last to first; decompression pops a pixel, shows it to the model, and
//! asks for the parameters of the next.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod bernoulli;
mod coder;
pub mod container;
mod dmol;
mod error;
mod gaussian;
mod grid;
mod math;
mod normal;
mod search;
mod softmax;
mod tiles;

pub use bernoulli::{pop_bernoulli, push_bernoulli};
pub use coder::{Coder, Interval, PRECISION, Stream};
pub use dmol::{PixelCodec, PixelShape};
pub use error::CodingError;
pub use gaussian::{LatentCodec, Normals};
pub use softmax::{pop_softmax, push_softmax};
pub use tiles::Tiling;
