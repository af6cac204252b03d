//! Gradients of weights and biases.
//!
//! Outputs stay where they are: a thread owns some rows of the gradient and goes over all
//! pixels in order, in chunks of fixed size whose sums are added one after the other. So the
//! order of all additions is fixed by the shape alone.

use crate::detect::{Kernel, dispatch};
use crate::grid::Map;
use crate::layer::Source;
use crate::pack::vectors;
use crate::parallel::{Job, Shared};
use crate::precision::{Arithmetic, Precision, Single};
use crate::rows::{Row, gelu_row};
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::tile::{Segment, load, outer_products, store};
use std::ops::Range;

/// Pixels, or steps, summed before their sum is added to the gradient.
pub(crate) const CHUNK: usize = 64;

/// Rows of a gradient that are worth a task of their own; fewer where there are few rows.
pub(crate) fn granule(rows: usize) -> usize {
    if rows < 64 { 8 } else { 16 }
}

/// The gradient of one convolution's weights and bias.
pub(crate) struct WeightGradient {
    pub source: Source,
    /// The taps, see [`crate::grid::Grid::segments`].
    pub segments: Vec<Segment>,
    /// The gradient with respect to the convolution's outputs.
    pub slope: Map,
    /// Receives the gradient of the weights, taps times channels rows of outputs.
    pub weights: Shared,
    /// Receives the gradient of the bias, if there is one.
    pub bias: Option<Shared>,
}

impl WeightGradient {
    /// Computes both gradients.
    ///
    /// # Safety
    /// All buffers must be alive until the job is done; those written must be used by nobody else,
    /// borders of those read must be clear where segments reach them.
    pub unsafe fn job(&self) -> Job<'_> {
        let rows: usize = self.segments.iter().map(|s| s.rows).sum();
        let pixels = self.slope.grid.pixels();
        Job {
            count: rows,
            granule: granule(rows),
            operations: 2 * pixels * rows * self.slope.channels,
            body: Box::new(move |rows| {
                dispatch(Part {
                    gradient: self,
                    rows,
                    pixels,
                });
            }),
        }
    }
}

/// Some rows of a gradient.
struct Part<'a> {
    gradient: &'a WeightGradient,
    rows: Range<usize>,
    pixels: usize,
}

/// Pixels, or tiles, whose inputs and slopes lie at regular distances.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub input: *const f32,
    pub slope: *const f32,
    pub count: usize,
}

/// The pixels of a chunk.
struct Runs {
    runs: [Run; CHUNK],
    count: usize,
    /// Distance between pixels of the input.
    stride: usize,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let WeightGradient {
            source,
            slope,
            bias,
            ..
        } = *self.gradient;
        let width = match source {
            Source::Map(_) => 0,
            Source::Gelu(..) => self.rows.len(),
        };
        let mut input = Scratch::take(CHUNK * width);
        let mut first = 0;
        while first < self.pixels {
            let count = CHUNK.min(self.pixels - first);
            // SAFETY: `WeightGradient::job` requires valid buffers, its row ranges are disjoint.
            unsafe {
                let runs = self.runs(s, first, count, &mut input);
                self.add_rows(s, &runs, first == 0);
                if let (0, Some(bias)) = (self.rows.start, bias) {
                    add_bias(s, slope, first..first + count, bias);
                }
            }
            first += count;
        }
    }
}

impl Part<'_> {
    /// Finds, or makes, the inputs of a chunk. Input pointers are those of the first of
    /// `self.rows` where the source is a gelu, those of channel 0 otherwise.
    #[inline(always)]
    unsafe fn runs<S: Simd>(&self, s: S, first: usize, count: usize, input: &mut [f32]) -> Runs {
        let nowhere = Run {
            input: std::ptr::null(),
            slope: std::ptr::null(),
            count: 0,
        };
        let slope = self.gradient.slope;
        let mut runs = Runs {
            runs: [nowhere; CHUNK],
            count: 0,
            stride: 0,
        };
        // SAFETY: pixels within their buffers, scratch rows within the scratch.
        unsafe {
            match self.gradient.source {
                Source::Map(map) => {
                    runs.stride = map.grid.step() * map.channels;
                    let mut i = 0;
                    while i < count {
                        let pixel = first + i;
                        let length = slope.grid.run(pixel, map.grid.run(pixel, count - i));
                        runs.runs[runs.count] = Run {
                            input: map.pixel(pixel),
                            slope: slope.pixel(pixel),
                            count: length,
                        };
                        runs.count += 1;
                        i += length;
                    }
                }
                Source::Gelu(x, act) => {
                    runs.stride = self.rows.len();
                    for i in 0..count {
                        let row = input.as_mut_ptr().add(i * runs.stride);
                        self.gelu_inputs(s, x, act, first + i, row);
                    }
                    runs.count = 1;
                    runs.runs[0] = Run {
                        input: input.as_ptr(),
                        slope: slope.pixel(first),
                        count,
                    };
                }
            }
        }
        runs
    }

    /// The gelu of those channels of a pixel that are in `self.rows`.
    #[inline(always)]
    unsafe fn gelu_inputs<S: Simd>(
        &self,
        s: S,
        x: Map,
        act: Option<Map>,
        pixel: usize,
        to: *mut f32,
    ) {
        let Range { start, end } = self.rows;
        let split = x.channels.clamp(start, end);
        let row = |at| Row {
            at,
            precision: Precision::Fp32,
        };
        // SAFETY: both parts are channels of their buffers.
        unsafe {
            let from = x.pixel(pixel).wrapping_add(start);
            gelu_row(s, from, None, row(to), split - start);
            if let Some(act) = act {
                let skipped = split.saturating_sub(x.channels);
                let from = act.pixel(pixel).wrapping_add(skipped);
                gelu_row(s, from, None, row(to.add(split - start)), end - split);
            }
        }
    }

    /// Adds a chunk to the rows, one tap after the other.
    #[inline(always)]
    unsafe fn add_rows<S: Simd>(&self, s: S, runs: &Runs, first: bool) {
        let slope = self.gradient.slope;
        let outputs = slope.channels;
        // Rows are counted over the segments, of which there may be fewer than taps.
        let mut taps_start = 0;
        for segment in &self.gradient.segments {
            let from = self.rows.start.max(taps_start);
            let end = self.rows.end.min(taps_start + segment.rows);
            if from < end {
                let offset = match self.gradient.source {
                    Source::Map(_) => segment.input + (from - taps_start) as isize,
                    Source::Gelu(..) => (from - self.rows.start) as isize,
                };
                let row = segment.row + from - taps_start;
                let block = Block {
                    runs: &runs.runs[..runs.count],
                    offset,
                    stride: runs.stride,
                    rows: end - from,
                    outputs,
                    slope_stride: slope.grid.step() * outputs,
                    // SAFETY: a row of the gradient.
                    to: unsafe { self.gradient.weights.0.add(row * outputs) },
                    to_stride: outputs,
                    first,
                };
                // SAFETY: promised by the caller.
                unsafe { block.add::<S, Single>(s) };
            }
            taps_start += segment.rows;
        }
    }
}

/// Rows of a gradient to which a chunk of pixels or tiles is added.
pub(crate) struct Block<'a> {
    pub runs: &'a [Run],
    /// Where the first row's input lies from each run's input pointer.
    pub offset: isize,
    /// Distance between a run's inputs.
    pub stride: usize,
    /// Rows: consecutive input channels.
    pub rows: usize,
    pub outputs: usize,
    /// Distance between the pixels of a slope.
    pub slope_stride: usize,
    /// The first row of the gradient.
    pub to: *mut f32,
    /// Distance between its rows.
    pub to_stride: usize,
    /// Whether these are the first pixels: their sums replace what the gradient holds.
    pub first: bool,
}

impl Block<'_> {
    /// Adds the chunk, one panel of outputs after the other.
    ///
    /// # Safety
    /// Inputs must be readable for `rows` numbers at each step of a run, slopes for `outputs`;
    /// the rows of the gradient must be valid and used by nobody else.
    #[inline(always)]
    pub unsafe fn add<S: Simd, A: Arithmetic>(&self, s: S) {
        let mut start = 0;
        while start < self.outputs {
            let v = vectors::<S>((self.outputs - start).div_ceil(S::LANES));
            // SAFETY: promised by the caller.
            unsafe {
                match (S::REGISTERS, v) {
                    (32, 1) => self.panel::<S, A, 16, 1>(s, start),
                    (32, 2) => self.panel::<S, A, 12, 2>(s, start),
                    (32, 3) => self.panel::<S, A, 8, 3>(s, start),
                    (32, _) => self.panel::<S, A, 6, 4>(s, start),
                    (16, 1) => self.panel::<S, A, 8, 1>(s, start),
                    (16, 2) => self.panel::<S, A, 6, 2>(s, start),
                    (16, _) => self.panel::<S, A, 4, 3>(s, start),
                    (_, 1) => self.panel::<S, A, 4, 1>(s, start),
                    (_, _) => self.panel::<S, A, 2, 2>(s, start),
                }
            }
            start += v * S::LANES;
        }
    }

    /// Adds the chunk to `V` vectors of all rows, by tiles of `R` rows.
    #[inline(always)]
    unsafe fn panel<S: Simd, A: Arithmetic, const R: usize, const V: usize>(
        &self,
        s: S,
        start: usize,
    ) {
        let mut row = 0;
        while row < self.rows {
            // SAFETY: promised by the caller; tiles stay within the rows.
            unsafe {
                row += match self.rows - row {
                    // Not where two or three single rows would remain.
                    left if left >= R && !matches!(left - R, 2 | 3) => {
                        self.tile::<S, A, R, V>(s, row, start)
                    }
                    left if left >= 4 => self.tile::<S, A, 4, V>(s, row, start),
                    _ => self.tile::<S, A, 1, V>(s, row, start),
                };
            }
        }
    }

    /// Adds the chunk to `R` rows of `V` vectors; returns `R`.
    #[inline(always)]
    unsafe fn tile<S: Simd, A: Arithmetic, const R: usize, const V: usize>(
        &self,
        s: S,
        row: usize,
        start: usize,
    ) -> usize {
        let last = S::LANES.min(self.outputs - start - (V - 1) * S::LANES);
        let full = last == S::LANES;
        let mut sum = [[s.splat(0.0); V]; R];
        // The rows of the gradient lie further away than what is summed: they come meanwhile.
        for r in 0..R {
            for v in 0..V {
                let at = (row + r) * self.to_stride + start + v * S::LANES;
                s.prefetch(self.to.wrapping_add(at));
            }
        }
        // SAFETY: promised by the caller.
        unsafe {
            for run in self.runs {
                outer_products::<S, A, R, V>(
                    s,
                    run.input.offset(self.offset).add(row),
                    self.stride,
                    run.slope.add(start),
                    self.slope_stride,
                    run.count,
                    last,
                    &mut sum,
                );
            }
            for (r, sum) in sum.into_iter().enumerate() {
                let to = self.to.add((row + r) * self.to_stride + start);
                add_to::<S, V>(s, to, sum, last, full, self.first);
            }
        }
        R
    }
}

/// The gradient of a bias: the sums of a buffer's channels over all pixels.
pub(crate) struct ColumnSums {
    pub of: Map,
    pub to: Shared,
}

impl Kernel for ColumnSums {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pixels = self.of.grid.pixels();
        for first in (0..pixels).step_by(CHUNK) {
            let chunk = first..pixels.min(first + CHUNK);
            // SAFETY: whoever makes a `ColumnSums` promises that both buffers are valid.
            unsafe { add_bias(s, self.of, chunk, self.to) };
        }
    }
}

/// Adds a chunk of pixels to the gradient of the bias.
#[inline(always)]
unsafe fn add_bias<S: Simd>(s: S, slope: Map, pixels: Range<usize>, bias: Shared) {
    let outputs = slope.channels;
    let mut start = 0;
    while start < outputs {
        let last = S::LANES.min(outputs - start);
        let full = last == S::LANES;
        let mut sum = [s.splat(0.0)];
        let mut places = slope.grid.places_from(pixels.start);
        // SAFETY: promised by the caller.
        unsafe {
            for _ in pixels.clone() {
                let from = slope.at_place(places.next()).add(start);
                sum[0] = s.add(sum[0], load::<S, 1>(s, from, last, full)[0]);
            }
            let to = bias.0.add(start);
            add_to::<S, 1>(s, to, sum, last, full, pixels.start == 0);
        }
        start += S::LANES;
    }
}

/// `to += sum`, or `to = sum` if this is the first.
#[inline(always)]
unsafe fn add_to<S: Simd, const V: usize>(
    s: S,
    to: *mut f32,
    mut sum: [S::F; V],
    last: usize,
    full: bool,
    first: bool,
) {
    // SAFETY: promised by the caller.
    unsafe {
        if !first {
            let before = load::<S, V>(s, to, last, full);
            for v in 0..V {
                sum[v] = s.add(before[v], sum[v]);
            }
        }
        store::<S, V>(s, to, sum, last, full);
    }
}
