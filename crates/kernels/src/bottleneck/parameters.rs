//! Gradients of the parameters.

use super::{Bottleneck, Gradients};
use crate::grid::{Grid, Map};
use crate::layer::Source;
use crate::paired::{PairedGradient, Pixels};
use crate::parallel::{Job, Shared, for_jobs};
use crate::precision::Precision;
use crate::weight_gradient::WeightGradient;
use crate::winograd::{self, WinogradGradient};

/// The gradient of one convolution's weights and bias, the fastest way for these images.
pub(super) enum Gradient {
    Direct(WeightGradient),
    Winograd(WinogradGradient),
    Paired(PairedGradient),
}

impl Gradient {
    /// The gradient for a convolution of a size over a grid of pixels, with the border that it needs,
    /// that read `source`, from the one with respect to its outputs; `to` are the places of weights
    /// and bias.
    ///
    /// # Panics
    /// If operands are rounded, and `source` is not the gelu of something.
    pub fn new(
        (kernel, grid): (usize, Grid),
        precision: Precision,
        source: Source,
        slope: Map,
        [weights, bias]: [Shared; 2],
    ) -> Self {
        match (precision, source) {
            (Precision::Fp32, Source::Map(map)) if winograd::suits(grid) => {
                Self::Winograd(WinogradGradient::new(map, slope, weights, bias))
            }
            (Precision::Fp32, _) => Self::Direct(WeightGradient {
                source,
                segments: grid.segments(kernel, source.channels()),
                slope,
                weights,
                bias: Some(bias),
            }),
            (Precision::Bf16, Source::Gelu(first, second)) => {
                let source = Pixels {
                    first,
                    second,
                    gelu: true,
                };
                let size = (kernel, grid);
                Self::Paired(PairedGradient::new(source, slope, size, weights, bias))
            }
            (Precision::Bf16, Source::Map(_)) => unreachable!("pairs are made from what is kept"),
        }
    }

    /// What must be done before [`Gradient::sum`].
    unsafe fn prepare(&mut self) -> Vec<Job<'_>> {
        match self {
            // SAFETY: promised by the caller.
            Self::Paired(gradient) => unsafe { gradient.lay_out() }.into(),
            Self::Direct(_) | Self::Winograd(_) => Vec::new(),
        }
    }

    unsafe fn sum(&self) -> Job<'_> {
        // SAFETY: promised by the caller.
        unsafe {
            match self {
                Self::Direct(gradient) => gradient.job(),
                Self::Winograd(gradient) => gradient.sum(),
                Self::Paired(gradient) => gradient.job(),
            }
        }
    }

    /// What must be done after [`Gradient::sum`].
    unsafe fn finish(&self) -> Option<Job<'_>> {
        match self {
            // SAFETY: promised by the caller.
            Self::Winograd(gradient) => Some(unsafe { gradient.back() }),
            Self::Direct(_) | Self::Paired(_) => None,
        }
    }
}

/// Computes the gradients, all together, so that threads rarely wait for one another.
///
/// # Safety
/// All buffers must be alive; those written must be used by nobody else, borders of those read must
/// be clear.
pub(super) unsafe fn run_all(mut gradients: [Gradient; 4]) {
    // SAFETY: promised by the caller.
    unsafe {
        let prepare = gradients.iter_mut().flat_map(|gradient| gradient.prepare());
        for_jobs(&prepare.collect::<Vec<_>>());
        for_jobs(&gradients.each_ref().map(|gradient| gradient.sum()));
        let finish = gradients.iter().filter_map(|gradient| gradient.finish());
        for_jobs(&finish.collect::<Vec<_>>());
    }
}

impl Gradients {
    /// The same room if it is right for the shape, new room otherwise; zero where [`super::backward()`]
    /// does not write.
    pub(super) fn fitted(mut self, shape: &Bottleneck) -> Self {
        let fits = self.all_mut().map(|g| g.len()) == shape.gradient_lengths();
        if fits && !shape.leaves_gradients() {
            self
        } else {
            Self::new(shape)
        }
    }
}

impl Bottleneck {
    /// Whether nothing contributes to some gradients: where there are no pixels or inputs, or
    /// where 3x3 convolutions see one pixel alone.
    pub(super) fn leaves_gradients(&self) -> bool {
        let no_inputs = self.c_x + self.c_act == 0 || self.mid == 0;
        no_inputs || self.pixels() == 0 || (self.kernel == 3 && self.bordered().is_plain())
    }
}
