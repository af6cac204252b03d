//! Who computes a network of pixels in order. A network is described once, generic over the [`Pass`]:
//!
//! - [`Whole`]: all pixels of whole images, with gradients.
//! - [`Start`]: the same, and every layer is scaled by what it sees of these images before it hands anything on.
//! - [`Step`]: the next pixel, or what is known of the next row before any of its pixels, from what was kept of
//!   earlier ones.

mod kept;
mod looks;
mod step;
mod whole;

pub use kept::KeptLayers;
pub use step::{Line, Step};
pub use whole::{Start, Starting, Weights, Whole};

use super::layers::{Attention, Conv, Deconv, GatedBlock, Kinds};
use crate::ops::Activation;

/// Computes layers. `level`: how often the sides of the image were halved where the layer is.
pub trait Pass {
    /// Features of the pixels that the pass is about.
    type Features: Clone + Send;

    /// Whether there is anything new at a level: a step comes to every second pixel of every second row there.
    fn active(&self, level: usize) -> bool;

    /// The convolution of the image with a channel of ones, which tells zeros around it from black.
    fn start(&mut self, conv: &Conv) -> Self::Features;

    /// The convolution, of stride 1, of what is activated.
    fn convolve(
        &mut self,
        conv: &Conv,
        before: Activation,
        x: &Self::Features,
        level: usize,
    ) -> Self::Features;

    /// The last convolution of a block, of what is activated and then dropped.
    fn convolve_dropped(
        &mut self,
        block: &GatedBlock,
        x: Self::Features,
        level: usize,
    ) -> Self::Features;

    /// The convolution of stride 2, from a level to the next; none where the next has nothing new.
    fn halve(&mut self, conv: &Conv, x: &Self::Features, level: usize) -> Option<Self::Features>;

    /// The transposed convolution to a level, of the features of the next, the newest that there are.
    fn double(&mut self, deconv: &Deconv, x: &Self::Features, level: usize) -> Self::Features;

    /// a + b.
    fn add(&mut self, a: Self::Features, b: Self::Features) -> Self::Features;

    /// The channels of both.
    fn concat(&mut self, a: &Self::Features, b: &Self::Features) -> Self::Features;

    /// x + a sigmoid(b), where (a, b) are the channels of y.
    fn add_gated(&mut self, x: &Self::Features, y: Self::Features) -> Self::Features;

    /// `y` and what is added for the image's kind.
    fn add_kind(&mut self, kinds: &Kinds, y: Self::Features) -> Self::Features;

    /// What a pass over whole rows found, for the pixels that this pass is about.
    fn at(&self, x: &Self::Features, level: usize) -> Self::Features;

    /// Where each pixel is, 2 C channels: (row - S/2) / S C times, then the same of the column.
    fn background(&self) -> Self::Features;

    /// What each pixel sees of earlier ones: its `query` against `keys_and_values` of (image, features, background),
    /// keys first. They need whole pixels, so that a step asks for those of the pixel before.
    fn attend(
        &mut self,
        attention: &Attention,
        features: &Self::Features,
        query: Self::Features,
        keys_and_values: impl FnOnce(
            &mut Self,
            &Self::Features,
            &Self::Features,
            &Self::Features,
        ) -> Self::Features,
    ) -> Self::Features;
}
