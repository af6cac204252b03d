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
use crate::parallel::{Shared, for_ranges};
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
    pub source: Pixels,
    /// The gradient with respect to the convolution's outputs.
    pub slope: Map,
    /// The pixels, with the border that the convolution needs.
    pub grid: Grid,
    /// Size of the convolution.
    pub kernel: usize,
    /// Receives the gradient of the weights, taps times channels rows of outputs.
    pub weights: Shared,
    /// Receives the gradient of the bias.
    pub bias: Shared,
}

impl PairedGradient {
    /// Computes both gradients.
    ///
    /// # Safety
    /// All buffers must be alive; those written must be used by nobody else.
    pub unsafe fn run(&self) {
        let steps = Steps::of(self.grid);
        let (channels, outputs) = (self.source.channels(), self.slope.channels);
        let mut input = Scratch::take(steps.input_places() * steps.copies() * channels);
        let mut slope = Scratch::take(steps.count() * outputs);
        // SAFETY: promised by the caller.
        unsafe {
            steps.write_inputs(self.source, &mut input);
            steps.write(Pixels::as_they_are(self.slope), &mut slope);
        }
        let taps = steps.taps(self.kernel, channels);
        let rows = taps.len() * channels;
        let operations = 4 * steps.count() * rows * outputs;
        for_ranges(rows, granule(rows), operations, |rows| {
            dispatch(Part {
                gradient: self,
                steps,
                input: &input,
                slope: &slope,
                taps: &taps,
                rows,
            });
        });
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
    steps: Steps,
    input: &'a [f32],
    slope: &'a [f32],
    taps: &'a [Tap],
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
        while first < self.steps.count() {
            let count = CHUNK.min(self.steps.count() - first);
            // SAFETY: `PairedGradient::run` made inputs and slopes for all steps and taps, and
            // the rows of the gradient are disjoint.
            unsafe {
                self.add_rows(s, first, count);
                if self.rows.start == 0 {
                    let run = Run {
                        input: &raw const ones,
                        slope: self.slope.as_ptr().add(first * outputs),
                        count,
                    };
                    let block = Block {
                        runs: &[run],
                        offset: 0,
                        stride: 0,
                        rows: 1,
                        outputs,
                        to: self.gradient.bias.0,
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
        let stride = self.steps.copies() * channels;
        let nowhere = Run {
            input: std::ptr::null(),
            slope: std::ptr::null(),
            count: 0,
        };
        let mut runs = [nowhere; CHUNK];
        let (mut used, mut step) = (0, first);
        while step < first + count {
            let length = self.steps.run(step, first + count - step);
            runs[used] = Run {
                input: self
                    .input
                    .as_ptr()
                    .wrapping_add(self.steps.place(step) * stride),
                slope: self.slope.as_ptr().wrapping_add(step * outputs),
                count: length,
            };
            used += 1;
            step += length;
        }
        let mut row = self.rows.start;
        while row < self.rows.end {
            let (tap, channel) = (&self.taps[row / channels], row % channels);
            let rows = (channels - channel).min(self.rows.end - row);
            let block = Block {
                runs: &runs[..used],
                offset: tap.offset + channel as isize,
                stride,
                rows,
                outputs,
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
