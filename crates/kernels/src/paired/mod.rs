//! Gradients of weights and biases of operands rounded to bfloat16.
//!
//! Here sums run over pixels, so it is pixels that come in pairs: neighbours in a line, a step.
//! Inputs and slopes are first laid out in steps ([`steps`]); the rest is as in
//! [`crate::weight_gradient`]: a thread owns some rows of the gradient and goes over all steps in
//! chunks of fixed size.

mod steps;

pub(crate) use steps::Pixels;
use steps::Steps;

use crate::detect::{Kernel, dispatch};
use crate::grid::{Grid, Map};
use crate::parallel::{Job, Shared};
use crate::precision::Pairs;
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::weight_gradient::{Block, CHUNK, Run, granule};
use std::ops::Range;

/// A pair of ones: the inputs that a bias is multiplied with.
const ONES: u32 = 0x3f80_3f80;

/// The gradient of one convolution's weights and bias.
pub(crate) struct PairedGradient {
    /// What was convolved, without border.
    source: Pixels,
    /// The gradient with respect to the convolution's outputs.
    slope: Map,
    /// Receives the gradient of the weights, taps times channels rows of outputs.
    weights: Shared,
    /// Receives the gradient of the bias.
    bias: Shared,
    steps: Steps,
    taps: Vec<Tap>,
    /// Inputs and slopes, laid out in steps.
    inputs: Scratch,
    slopes: Scratch,
}

impl PairedGradient {
    /// The gradient for a convolution of a size that read `source`; `grid` are its pixels, with the
    /// border that the convolution needs.
    pub fn new(
        source: Pixels,
        slope: Map,
        (kernel, grid): (usize, Grid),
        weights: Shared,
        bias: Shared,
    ) -> Self {
        let steps = Steps::of(grid);
        let channels = source.channels();
        Self {
            source,
            slope,
            weights,
            bias,
            steps,
            taps: steps.taps(kernel, channels),
            inputs: Scratch::take(steps.input_places() * steps.copies() * channels),
            slopes: Scratch::take(steps.count() * slope.channels),
        }
    }

    /// Lays out inputs and slopes.
    ///
    /// # Safety
    /// All buffers must be alive until the jobs are done.
    pub unsafe fn lay_out(&mut self) -> [Job<'_>; 2] {
        let slope = Pixels::as_they_are(self.slope);
        // SAFETY: promised by the caller.
        unsafe {
            [
                self.steps.write_inputs(self.source, &mut self.inputs),
                self.steps.write(slope, &mut self.slopes),
            ]
        }
    }

    /// Computes both gradients.
    ///
    /// # Safety
    /// What is written must be alive until the job is done, and used by nobody else; the jobs of
    /// [`PairedGradient::lay_out`] must be done.
    pub unsafe fn job(&self) -> Job<'_> {
        let rows = self.taps.len() * self.source.channels();
        Job {
            count: rows,
            granule: granule(rows),
            operations: 4 * self.steps.count() * rows * self.slope.channels,
            body: Box::new(move |rows| {
                dispatch(Part {
                    gradient: self,
                    rows,
                });
            }),
        }
    }
}

/// Where a tap's inputs lie, and where its gradient.
struct Tap {
    /// Added to the place of a step, in elements.
    offset: isize,
    /// First row of the gradient.
    row: usize,
}

/// Some rows of a gradient.
struct Part<'a> {
    gradient: &'a PairedGradient,
    /// Counted over the taps in use.
    rows: Range<usize>,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let outputs = self.gradient.slope.channels;
        let ones = f32::from_bits(ONES);
        let mut first = 0;
        while first < self.gradient.steps.count() {
            let count = CHUNK.min(self.gradient.steps.count() - first);
            // SAFETY: `PairedGradient::lay_out` made inputs and slopes for all steps and taps, and
            // the rows of the gradient are disjoint.
            unsafe {
                self.add_rows(s, first, count);
                if self.rows.start == 0 {
                    let run = Run {
                        input: &raw const ones,
                        slope: self.gradient.slopes.as_ptr().add(first * outputs),
                        count,
                    };
                    let block = Block {
                        runs: &[run],
                        offset: 0,
                        stride: 0,
                        rows: 1,
                        outputs,
                        slope_stride: outputs,
                        to: self.gradient.bias.0,
                        to_stride: outputs,
                        first: first == 0,
                    };
                    block.add::<S, Pairs>(s);
                }
            }
            first += count;
        }
    }
}

impl Part<'_> {
    /// Adds a chunk of steps to the rows, one tap after the other.
    #[inline(always)]
    unsafe fn add_rows<S: Simd>(&self, s: S, first: usize, count: usize) {
        let (channels, outputs) = (
            self.gradient.source.channels(),
            self.gradient.slope.channels,
        );
        let stride = self.gradient.steps.copies() * channels;
        let nowhere = Run {
            input: std::ptr::null(),
            slope: std::ptr::null(),
            count: 0,
        };
        let mut runs = [nowhere; CHUNK];
        let (mut used, mut step) = (0, first);
        while step < first + count {
            let length = self.gradient.steps.run(step, first + count - step);
            runs[used] = Run {
                input: self
                    .gradient
                    .inputs
                    .as_ptr()
                    .wrapping_add(self.gradient.steps.place(step) * stride),
                slope: self.gradient.slopes.as_ptr().wrapping_add(step * outputs),
                count: length,
            };
            used += 1;
            step += length;
        }
        let mut row = self.rows.start;
        while row < self.rows.end {
            let (tap, channel) = (&self.gradient.taps[row / channels], row % channels);
            let rows = (channels - channel).min(self.rows.end - row);
            let block = Block {
                runs: &runs[..used],
                offset: tap.offset + channel as isize,
                stride,
                rows,
                outputs,
                slope_stride: outputs,
                to_stride: outputs,
                to: self
                    .gradient
                    .weights
                    .0
                    .wrapping_add((tap.row + channel) * outputs),
                first: first == 0,
            };
            // SAFETY: promised by the caller.
            unsafe { block.add::<S, Pairs>(s) };
            row += rows;
        }
    }
}
