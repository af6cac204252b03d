//! Weights as a forward pass wants them: packed, rounded, transformed.

use super::{Bottleneck, Weights};
use crate::detect::{Path, path};
use crate::pack::Weights as Packed;
use crate::precision::Precision;
use std::fmt;

/// The weights of a block as its forward pass wants them, for many passes with the same weights: laying
/// them out takes as long as one or two hundred pixels. Transformed 3x3 weights take four times the memory.
///
/// They are for the instruction set in use when they were made.
pub struct LaidOut {
    shape: Bottleneck,
    path: Path,
    pub(super) weights: [Packed<'static>; 4],
}

impl LaidOut {
    /// Of blocks of this shape, with any number of images.
    ///
    /// # Panics
    /// If a slice does not have the length that the shape says.
    pub fn new(shape: &Bottleneck, weights: &Weights) -> Self {
        shape.check_weights(weights);
        let packed = |weights: &[f32], rows, columns| Packed::packed(weights, rows, columns);
        Self {
            shape: *shape,
            path: path(),
            weights: shape.laid_out(weights, packed).map(|w| w.to_own()),
        }
    }

    /// Whether they are for blocks of this shape, and for the instruction set in use.
    pub fn suits(&self, shape: &Bottleneck) -> bool {
        let batch = self.shape.batch;
        Bottleneck { batch, ..*shape } == self.shape && self.path == path()
    }
}

impl fmt::Debug for LaidOut {
    /// Without the numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaidOut")
            .field("shape", &self.shape)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Bottleneck {
    /// The weights as the layers want them; `plain` lays out those that are neither rounded nor
    /// transformed, given their rows and columns.
    pub(super) fn laid_out<'a>(
        &self,
        weights: &Weights<'a>,
        plain: impl Fn(&'a [f32], usize, usize) -> Packed<'a>,
    ) -> [Packed<'a>; 4] {
        // Groups of inputs as in `Packed::paired`.
        let packed = |precision, weights, groups: &[usize], columns| match precision {
            Precision::Fp32 => plain(weights, groups.iter().sum(), columns),
            Precision::Bf16 => Packed::paired(weights, groups, columns),
        };
        let mid = self.mid;
        let taps = vec![mid; self.kernel * self.kernel];
        let [p1, p2, p3, p4] = self.precisions();
        [
            packed(p1, weights.w1, &[self.c_x, self.c_act], mid),
            self.inner_weights(packed(p2, weights.w2, &taps, mid)),
            self.inner_weights(packed(p3, weights.w3, &taps, mid)),
            packed(p4, weights.w4, &[mid], self.c_out),
        ]
    }
}
